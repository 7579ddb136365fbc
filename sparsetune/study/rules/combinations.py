"""Combinations of score, allocation, pattern and method that cannot work, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sparsetune.errors import Problem
from sparsetune.spec.sparsity import METHOD_FIELDS, SparsitySpec, parse_pattern


def combination_problems(given: SparsitySpec) -> list[Problem]:
    """Fields of a valid declaration that cannot work together; empty if all can."""
    spec = given.resolved()
    found = []
    for rule in _COMBINATION_RULES:
        if rule.breaks(spec):
            got = f"{getattr(spec, rule.field)!r} with the method {spec.method!r}"
            found.append(Problem(f"sparsity.{rule.field}", rule.text, got))
    return found + _target_problems(spec)


class CombinationRule(NamedTuple):
    """A rule on fields of `SparsitySpec` that each alone is valid.

    Args:
        field: Name of the field at fault.
        text: The rule with its reason.
        breaks: True if a resolved declaration breaks the rule.
    """

    field: str
    text: str
    breaks: Callable[[SparsitySpec], bool]


def _has_pattern(spec: SparsitySpec) -> bool:
    return spec.pattern != "unstructured"


def _uses_regrow(spec: SparsitySpec) -> bool:
    return "regrow" in METHOD_FIELDS[spec.method]


_COMBINATION_RULES = [
    CombinationRule(
        "pattern",
        "SR-STE makes N:M masks: give `pattern`, such as `2:4`",
        lambda spec: spec.method == "sr_ste" and not _has_pattern(spec),
    ),
    CombinationRule(
        "score",
        "SR-STE's masks follow the dense weights' `magnitude` at every step",
        lambda spec: spec.method == "sr_ste" and spec.score != "magnitude",
    ),
    CombinationRule(
        "pattern",
        "drop and grow moves weights from one group of M to another:"
        " the pattern must be `unstructured`",
        lambda spec: _uses_regrow(spec) and _has_pattern(spec),
    ),
    CombinationRule(
        "allocation",
        "an N:M pattern gives every pruned layer the same sparsity: must be `uniform` or `global`",
        lambda spec: _has_pattern(spec) and spec.allocation not in ("uniform", "global"),
    ),
    CombinationRule(
        "checkpoint",
        "transfer needs a sparse model to start from: give `sparsity.checkpoint`",
        lambda spec: spec.method == "transfer" and spec.checkpoint is None,
    ),
    CombinationRule(
        "score",
        "drop and grow drops by `magnitude`, `random` or `saliency`: the Fisher's survivors make up"
        " for what is pruned for good",
        lambda spec: _uses_regrow(spec) and spec.score == "fisher",
    ),
]


def _target_problems(spec: SparsitySpec) -> list[Problem]:
    """Problem of a target that is not the pattern's sparsity."""
    n_m = parse_pattern(spec.pattern)
    if n_m is None:
        return []
    n, m = n_m
    sparsity = 1 - n / m
    if abs(spec.target - sparsity) < 1e-9:
        return []
    rule = f"the pattern {spec.pattern} has the sparsity 1 - {n}/{m}: {sparsity:g} would do"
    return [Problem("sparsity.target", rule, f"{spec.target:g}")]
