"""Parts of a declaration that must fit the layers of a network, each fault with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from sparsetune.errors import Problem
from sparsetune.sparsity.contracts import own_allocation_problems
from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import allocate, allocation_problems
from sparsetune.sparsity.masks.patterns import pattern_problems
from sparsetune.spec.sparsity import SparsitySpec


def layer_problems(layers: Sequence[Layer], given: SparsitySpec) -> list[Problem]:
    """Parts of a declaration that do not fit a model's layers; empty if all do."""
    spec = given.resolved()
    if spec.method == "dense":
        return []
    found = allocation_problems(layers, spec) or own_allocation_problems(layers, spec)
    if found:
        # Without a valid allocation it is not known which layers need to fit the pattern.
        return found
    return pattern_problems(layers, allocate(layers, spec.target, spec), spec)
