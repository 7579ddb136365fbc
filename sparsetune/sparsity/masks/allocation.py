"""Allocations: how a sparsity is shared among the layers of a network.

An allocation puts layers into groups. The layers of a group compete under one threshold, and the
group states how many of their weights are pruned.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from sparsetune.durations import round_half_up
from sparsetune.errors import Problem
from sparsetune.imports import import_function, is_import_path
from sparsetune.sparsity.layers import Layer
from sparsetune.spec.sparsity import TAKEN_AWAY, SparsitySpec

EXPLICIT_SPARSITY_TOLERANCE = 0.0005
"""Largest distance of explicit layers' overall sparsity from the target, in its third decimal."""


@dataclass(frozen=True)
class LayerGroup:
    """Layers under one threshold.

    Args:
        names: Names of the layers.
        pruned: Exact number of their weights that lie outside the mask.
    """

    names: tuple[str, ...]
    pruned: int


Allocation = Callable[[Sequence[Layer], float, SparsitySpec], list[LayerGroup]]
"""Function of the layers, a sparsity in [0, 1) and the resolved declaration."""


def allocate(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
    """Groups at a sparsity, with every layer in exactly one; a spared layer is alone and dense.

    As the sparsity rises, no group's count falls, so that each mask of a ramp lies within the one
    before.

    Args:
        layers: All prunable layers of the network.
        sparsity: Sparsity of the layers that are not spared, in [0, 1): the target, or less on the
            way there.
        spec: Resolved declaration: its allocation is named.

    Raises:
        ValueError: if the allocation is unknown.
        DeclarationError: if the import path of a user's own does not lead to a function.
    """
    allocation = allocation_function(spec.allocation)
    spared = spared_layers(layers, spec)
    others = [layer for layer in layers if layer not in spared]
    groups = list(allocation(others, sparsity, spec)) if others else []
    groups.extend(LayerGroup((layer.name,), 0) for layer in spared)
    return groups


def spared_layers(layers: Sequence[Layer], spec: SparsitySpec) -> list[Layer]:
    """Layers outside the request, which stay dense; see `SparsitySpec.spared` and ``layers``."""
    spared = []
    for index, layer in enumerate(layers):
        named = named_by(layer, spec)
        if named is not None:
            is_spared = named.startswith(TAKEN_AWAY)
        elif spec.spared is not None:
            is_spared = _matches_any(layer, spec.spared)
        else:
            # The first convolution is few weights and much accuracy (Evci et al. 2020, section 3).
            is_spared = index == 0 and layer.convolution and spec.allocation == "uniform"
        if is_spared:
            spared.append(layer)
    return spared


def named_by(layer: Layer, spec: SparsitySpec) -> str | None:
    """The last entry of `SparsitySpec.layers` that adds a layer or takes it away, or None."""
    for entry in reversed(spec.layer_patterns()):
        if layer.matches(entry.removeprefix(TAKEN_AWAY)):
            return entry
    return None


def _matches_any(layer: Layer, patterns: Sequence[str]) -> bool:
    """True if one of the patterns matches the layer."""
    return any(layer.matches(pattern) for pattern in patterns)


def global_(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
    """One group of all layers: one threshold over all weights."""
    pruned = round_half_up(sparsity * _total_weights(layers))
    return [LayerGroup(tuple(layer.name for layer in layers), pruned)]


def uniform(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
    """A group for each layer, all with the same sparsity."""
    return [LayerGroup((layer.name,), round_half_up(sparsity * layer.weights)) for layer in layers]


def erk(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
    """Density in proportion to sum(shape) / prod(shape): Erdős-Rényi-Kernel.

    Source: Evci et al. 2020, arXiv 1911.11134, section 3.
    """
    shares = [sum(layer.shape) for layer in layers]
    return _allocate_in_proportion(layers, sparsity, shares)


def er(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
    """Density in proportion to (n_in + n_out) / (n_in * n_out): Erdős-Rényi.

    Source: Mocanu et al. 2018, arXiv 1707.04780, equation 3.
    """
    shares = [sum(layer.shape[:2]) * math.prod(layer.shape[2:]) for layer in layers]
    return _allocate_in_proportion(layers, sparsity, shares)


def explicit(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
    """Declared sparsity of each layer, times the fraction of the target that is reached."""
    # On the way to the target, all layers have done the same fraction of their own way.
    scale = sparsity / spec.target if spec.target else 0.0
    groups = []
    for layer in layers:
        pruned = round_half_up(_declared_sparsity(layer, spec) * scale * layer.weights)
        groups.append(LayerGroup((layer.name,), pruned))
    return groups


ALLOCATIONS: dict[str, Allocation] = {
    "global": global_,
    "uniform": uniform,
    "erk": erk,
    "er": er,
    "explicit": explicit,
}
"""Allocations by name. Each puts the layers that are not spared, at least one, into groups."""


def allocation_function(name: str | None) -> Allocation:
    """Allocation of that name, or at that import path.

    Raises:
        ValueError: if the name is unknown.
        DeclarationError: if the import path does not lead to a function.
    """
    if name is not None and is_import_path(name):
        own: Allocation = import_function(name, "sparsity.allocation")
        return own
    if name is None or name not in ALLOCATIONS:
        valid = ", ".join(ALLOCATIONS)
        raise ValueError(f"`sparsity.allocation` must be one of {valid}, got {name!r}")
    return ALLOCATIONS[name]


def _allocate_in_proportion(
    layers: Sequence[Layer], sparsity: float, shares: Sequence[int]
) -> list[LayerGroup]:
    """A group for each layer, its kept weights in proportion to its share.

    A layer that would keep more weights than it has becomes dense; the others then share the rest.

    Args:
        layers: Layers that are not spared.
        sparsity: Overall sparsity, in [0, 1).
        shares: A positive number for each layer.
    """
    # Fractions are exact. With floats, a count could fall by one as the sparsity rises, at the
    # point where a layer stops being dense, and the masks of a ramp would not nest.
    left = (1 - Fraction(sparsity)) * _total_weights(layers)
    sparse = dict(zip(layers, shares, strict=True))
    while True:
        scale = left / sum(sparse.values())
        dense = [layer for layer, share in sparse.items() if scale * share > layer.weights]
        if not dense:
            break
        # Making a layer dense raises the scale for the others, and may make one of them dense too.
        for layer in dense:
            left -= layer.weights
            del sparse[layer]
    groups = []
    for layer in layers:
        kept = scale * sparse[layer] if layer in sparse else layer.weights
        groups.append(LayerGroup((layer.name,), round_half_up(float(layer.weights - kept))))
    return groups


def _declared_sparsity(layer: Layer, spec: SparsitySpec) -> float:
    """A layer's sparsity at the target: that of the first pattern that matches it, otherwise 0."""
    for pattern, sparsity in spec.explicit_sparsities():
        if layer.matches(pattern):
            return sparsity
    return 0.0


def allocation_problems(layers: Sequence[Layer], spec: SparsitySpec) -> list[Problem]:
    """Parts of a resolved declaration that do not fit the layers; empty if all do.

    Each problem names the layers that there are, or the value that would do.
    """
    found = []
    for pattern in spec.spared or ():
        matching = [layer for layer in layers if layer.matches(pattern)]
        if not matching:
            rule = f"each pattern must match a layer of {_format_names(layers)}"
            found.append(Problem("sparsity.spared", rule, repr(pattern)))
    spared = spared_layers(layers, spec)
    if len(spared) == len(layers):
        rule = (
            "must leave a layer to prune; `uniform` spares a first convolution unless another list"
            " is given, `()` too"
        )
        got = f"{_format_names(spared)} spared, all there are"
        found.append(Problem("sparsity.spared", rule, got))
    elif spec.allocation == "explicit":
        others = [layer for layer in layers if layer not in spared]
        found += _explicit_problems(others, spec)
    return found


def _explicit_problems(layers: Sequence[Layer], spec: SparsitySpec) -> list[Problem]:
    """Problems of `SparsitySpec.layers` with the layers that are not spared."""
    names = _format_names(layers)
    if not spec.explicit_sparsities():
        rule = f"`explicit` needs pairs of a name or pattern and a sparsity, for layers of {names}"
        return [Problem("sparsity.layers", rule, "none")]
    found = []
    unmatched = list(layers)
    for pattern, _ in spec.explicit_sparsities():
        # An earlier pattern takes a layer from later ones, as `_declared_sparsity` does.
        others = [layer for layer in unmatched if not layer.matches(pattern)]
        if len(others) == len(unmatched):
            rule = f"each pattern must be the first that matches some layer of {names}"
            found.append(Problem("sparsity.layers", rule, repr(pattern)))
        unmatched = others
    pruned = sum(_declared_sparsity(layer, spec) * layer.weights for layer in layers)
    overall = pruned / _total_weights(layers)
    if abs(overall - spec.target) > EXPLICIT_SPARSITY_TOLERANCE:
        rule = (
            f"must be what `sparsity.layers` come to, within {EXPLICIT_SPARSITY_TOLERANCE};"
            f" {overall:.4f} would do"
        )
        found.append(Problem("sparsity.target", rule, f"{spec.target:g}"))
    return found


def _total_weights(layers: Sequence[Layer]) -> int:
    return sum(layer.weights for layer in layers)


def _format_names(layers: Sequence[Layer]) -> str:
    return ", ".join(f"`{layer.name}`" for layer in layers)
