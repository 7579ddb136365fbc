"""Parts of a declaration that must fit the layers of a network, each fault with its reason."""

from __future__ import annotations

from collections.abc import Sequence

from sparsetune.errors import Problem
from sparsetune.sparsity.contracts import own_allocation_problems
from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import LayerGroup, allocate, allocation_problems
from sparsetune.sparsity.masks.patterns import pattern_problems
from sparsetune.spec.sparsity import SparsitySpec


def layer_problems(layers: Sequence[Layer], given: SparsitySpec) -> list[Problem]:
    """Parts of a declaration that do not fit a model's layers; empty if all do."""
    spec = given.resolved()
    if not spec.prunes:
        return []
    found = allocation_problems(layers, spec) or own_allocation_problems(layers, spec)
    if found:
        # Without a valid allocation it is not known which layers need to fit the pattern.
        return found
    groups = allocate(layers, spec.target, spec)
    return [*pattern_problems(layers, groups, spec), *_slice_problems(layers, groups, spec)]


def _slice_problems(
    layers: Sequence[Layer], groups: Sequence[LayerGroup], spec: SparsitySpec
) -> list[Problem]:
    """Problem of groups that keep too few weights for one in each slice of a weight norm."""
    by_name = {layer.name: layer for layer in layers}
    problems = []
    for group in groups:
        own = [by_name[name] for name in group.names]
        slices = sum(layer.slices for layer in own)
        kept = sum(layer.weights for layer in own) - group.pruned
        if kept < slices:
            named = ", ".join(f"`{layer.name}`" for layer in own if layer.slices)
            rule = (
                f"must leave a weight in each slice of a weight norm, which divides by the slice's"
                f" size: {slices:,} in {named}"
            )
            problems.append(Problem("sparsity.target", rule, f"{kept:,} at {spec.target:.9g}"))
    return problems
