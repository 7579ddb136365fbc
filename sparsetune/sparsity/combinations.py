"""Which scores, allocations, patterns and methods go together; what does not is refused with the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sparsetune.errors import Problem
from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import allocate, allocation_problems
from sparsetune.sparsity.masks.patterns import pattern_problems
from sparsetune.spec.sparsity import METHOD_FIELDS, SparsitySpec, parse_pattern


def combination_problems(given: SparsitySpec) -> list[Problem]:
    """What in a valid declaration of sparsity cannot work together; empty when all does."""
    spec = given.resolved()
    broken = [
        Problem(
            f"sparsity.{field}", rule, f"{getattr(spec, field)!r} with the method {spec.method!r}"
        )
        for field, rule, breaks in _FIELD_RULES
        if breaks(spec)
    ]
    return broken + _target_problems(spec)


def layer_problems(layers: Sequence[Layer], given: SparsitySpec) -> list[Problem]:
    """What in a declaration of sparsity does not fit a model's layers; empty when all does."""
    spec = given.resolved()
    if spec.method == "dense":
        return []
    return allocation_problems(layers, spec) or pattern_problems(
        layers, allocate(layers, spec.target, spec), spec
    )


def _has_pattern(spec: SparsitySpec) -> bool:
    return spec.pattern != "unstructured"


def _uses_regrow(spec: SparsitySpec) -> bool:
    return "regrow" in METHOD_FIELDS[spec.method]


_FIELD_RULES: list[tuple[str, str, Callable[[SparsitySpec], bool]]] = [
    (
        "pattern",
        "SR-STE makes N:M masks: give `pattern`, such as `2:4`",
        lambda spec: spec.method == "sr_ste" and not _has_pattern(spec),
    ),
    (
        "score",
        "SR-STE's masks follow the dense weights' `magnitude` at every step",
        lambda spec: spec.method == "sr_ste" and spec.score != "magnitude",
    ),
    (
        "pattern",
        "drop and grow moves weights from one group of M to another: the pattern must be `unstructured`",
        lambda spec: _uses_regrow(spec) and _has_pattern(spec),
    ),
    (
        "allocation",
        "an N:M pattern gives every pruned layer the same sparsity: must be `uniform` or `global`",
        lambda spec: _has_pattern(spec) and spec.allocation not in ("uniform", "global"),
    ),
    (
        "checkpoint",
        "transfer needs a sparse model to start from: give `sparsity.checkpoint`",
        lambda spec: spec.method == "transfer" and spec.checkpoint is None,
    ),
    (
        "score",
        "drop and grow drops by `magnitude`, `random` or `saliency`: the Fisher's survivors make up for what is pruned"
        " for good",
        lambda spec: _uses_regrow(spec) and spec.score == "fisher",
    ),
]
"""The field at fault, the rule, and whether a resolved declaration breaks it."""


def _target_problems(spec: SparsitySpec) -> list[Problem]:
    n_m = parse_pattern(spec.pattern)
    if n_m is None or abs(spec.target - (1 - n_m[0] / n_m[1])) < 1e-9:
        return []
    rule = f"the pattern {spec.pattern} has the sparsity 1 - {n_m[0]}/{n_m[1]}: {1 - n_m[0] / n_m[1]:g} would do"
    return [Problem("sparsity.target", rule, f"{spec.target:g}")]
