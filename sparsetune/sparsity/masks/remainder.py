"""What a target leaves of a network: nothing, too little for its outputs, or enough."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sparsetune.errors import Problem
from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import LayerGroup, allocate
from sparsetune.spec.sparsity import SparsitySpec

MAX_NAMED = 3
"""Layers that a problem names; of more, the number follows."""
BISECTIONS = 40
"""Halvings of the interval in which the highest target lies."""


def remainder_problems(layers: Sequence[Layer], given: SparsitySpec) -> list[Problem]:
    """Refuse a target that leaves no weight in a group of layers; warn of one that leaves few.

    A group is a layer under an allocation that sets each layer's sparsity, and all layers under
    ``global``.

    Args:
        layers: All prunable layers of the network.
        given: Declaration whose allocation fits the layers.
    """
    spec = given.resolved()
    if not spec.prunes:
        return []
    by_name = {layer.name: layer for layer in layers}
    groups = allocate(layers, spec.target, spec)
    path = "sparsity.layers" if spec.allocation == "explicit" else "sparsity.target"
    empty = [group for group in groups if _kept(group, by_name) < 1]
    if empty:
        weights = sum(by_name[name].weights for group in empty for name in group.names)
        where = _named([name for group in empty for name in group.names])
        rule = f"must leave a weight in {where}, {weights:,} in all"
        highest = _highest_target(layers, spec)
        advice = f"; at most {highest} would do" if highest else ""
        return [Problem(path, rule + advice, f"{spec.target:.9g}", "first_launch")]
    few = [group for group in groups if _kept(group, by_name) < _outputs(group, by_name)]
    if few:
        where = _named([name for group in few for name in group.names])
        kept = sum(_kept(group, by_name) for group in few)
        outputs = sum(_outputs(group, by_name) for group in few)
        rule = f"leaves fewer weights than outputs in {where}: {kept:,} for {outputs:,}"
        return [Problem(path, rule, f"{spec.target:.9g}", "warning")]
    return []


def _kept(group: LayerGroup, layers: dict[str, Layer]) -> int:
    return sum(layers[name].weights for name in group.names) - group.pruned


def _outputs(group: LayerGroup, layers: dict[str, Layer]) -> int:
    return sum(layers[name].shape[0] for name in group.names)


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:MAX_NAMED])
    more = len(names) - MAX_NAMED
    return f"{shown} and {more} more layers" if more > 0 else shown


def _highest_target(layers: Sequence[Layer], spec: SparsitySpec) -> str | None:
    """Highest target, rounded down, that leaves a weight everywhere; None where none does."""
    by_name = {layer.name: layer for layer in layers}

    def leaves_weights(target: float) -> bool:
        # Explicit sparsities are each layer's own, and no target changes them.
        groups = allocate(layers, target, spec)
        return all(_kept(group, by_name) >= 1 for group in groups)

    low = 0.0
    high = spec.target
    if spec.allocation == "explicit" or not leaves_weights(low):
        return None
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if leaves_weights(middle):
            low = middle
        else:
            high = middle
    # Three digits of what is left: 0.99979, not 0.9998, of which nothing may be left.
    digits = 2 - math.floor(math.log10(1 - low))
    return f"{math.floor(low * 10**digits) / 10**digits:.{digits}g}"
