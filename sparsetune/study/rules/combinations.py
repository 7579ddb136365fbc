"""Combinations of score, allocation, pattern and method that cannot work, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable

from sparsetune.errors import Problem
from sparsetune.sparsity.methods.method import CombinationRule
from sparsetune.sparsity.methods.registry import known_method
from sparsetune.spec.sparsity import SparsitySpec, parse_pattern


def combination_problems(given: SparsitySpec) -> list[Problem]:
    """Fields of a valid declaration that cannot work together; empty if all can.

    The rules of a user's own method, which is not imported, are not among them.
    """
    spec = given.resolved()
    method = known_method(spec.method)
    rules = [*method.rules, ALLOCATION_RULE]
    if "ramp" in method.fields:
        rules.append(FIRST_MASK_RULE)
    return broken_rules(rules, spec) + _target_problems(spec)


FIRST_MASK_RULE = CombinationRule(
    "pattern",
    "a random first mask, `ramp.first_mask`, is in no pattern: the pattern must be `unstructured`",
    lambda spec: spec.pattern != "unstructured" and spec.ramp.first_mask == "erk",
)


def broken_rules(rules: Iterable[CombinationRule], spec: SparsitySpec) -> list[Problem]:
    """Problems of the rules that a resolved declaration breaks."""
    found = []
    for rule in rules:
        if rule.breaks(spec):
            got = f"{getattr(spec, rule.field)!r} with the method {spec.method!r}"
            found.append(Problem(f"sparsity.{rule.field}", rule.text, got))
    return found


ALLOCATION_RULE = CombinationRule(
    "allocation",
    "an N:M pattern gives every pruned layer the same sparsity: must be `uniform` or `global`",
    lambda spec: spec.pattern != "unstructured" and spec.allocation not in ("uniform", "global"),
)


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
