"""How a sparsity is shared among the layers: which of them compete, and for how many places."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from sparsetune.durations import round_half_up
from sparsetune.errors import Problem
from sparsetune.sparsity.layers import Layer
from sparsetune.spec.sparsity import SparsitySpec

EXPLICIT_SPARSITY_TOLERANCE = 0.0005
"""How far the overall sparsity of explicit layers may lie from the target: the target's third decimal holds."""


@dataclass(frozen=True)
class LayerGroup:
    """Layers under one threshold, and exactly how many of their weights lie outside the mask."""

    names: tuple[str, ...]
    pruned: int


def allocate(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
    """Every layer in exactly one group; a spared one alone, with nothing pruned.

    As the sparsity rises, no group's count falls, so that each mask of a ramp lies within the one before.

    Args:
        layers: All prunable layers of the network.
        sparsity: Of the layers that are not spared, in [0, 1): the target, or less on the way there.
        spec: Resolved: its allocation is named.

    Raises:
        ValueError: if the allocation is unknown.
    """
    if spec.allocation not in ALLOCATIONS:
        raise ValueError(
            f"`sparsity.allocation` must be one of {', '.join(ALLOCATIONS)}, got {spec.allocation!r}"
        )
    spared = spared_layers(layers, spec)
    others = [layer for layer in layers if layer not in spared]
    groups = ALLOCATIONS[spec.allocation](others, sparsity, spec) if others else []
    return [*groups, *(LayerGroup((layer.name,), 0) for layer in spared)]


def spared_layers(layers: Sequence[Layer], spec: SparsitySpec) -> list[Layer]:
    """Layers outside the request, which stay dense; see `SparsitySpec.spared`."""
    if spec.spared is None:
        return [layer for layer in layers[:1] if spec.allocation == "uniform" and layer.convolution]
    return [layer for layer in layers if any(layer.matches(pattern) for pattern in spec.spared)]


def global_(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
    """One threshold over all weights."""
    pruned = round_half_up(sparsity * sum(layer.weights for layer in layers))
    return [LayerGroup(tuple(layer.name for layer in layers), pruned)]


def uniform(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
    """The same sparsity in every layer."""
    return [LayerGroup((layer.name,), round_half_up(sparsity * layer.weights)) for layer in layers]


def erk(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
    """Density in proportion to sum(shape) / prod(shape): Erdős-Rényi-Kernel (Evci et al. 2020, section 3)."""
    return _allocate_in_proportion(layers, sparsity, [sum(layer.shape) for layer in layers])


def er(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
    """Density in proportion to (n_in + n_out) / (n_in * n_out): Erdős-Rényi (Mocanu et al. 2018, equation 3)."""
    return _allocate_in_proportion(
        layers, sparsity, [sum(layer.shape[:2]) * math.prod(layer.shape[2:]) for layer in layers]
    )


def explicit(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
    """The declared sparsity of each layer, scaled by what ``sparsity`` is of the target."""
    scale = sparsity / spec.target if spec.target else 0.0
    return [
        LayerGroup(
            (layer.name,), round_half_up(_declared_sparsity(layer, spec) * scale * layer.weights)
        )
        for layer in layers
    ]


ALLOCATIONS: dict[str, Callable[[Sequence[Layer], float, SparsitySpec], list[LayerGroup]]] = {
    "global": global_,
    "uniform": uniform,
    "erk": erk,
    "er": er,
    "explicit": explicit,
}
"""Each puts every layer that is not spared, at least one, into exactly one group."""


def _allocate_in_proportion(
    layers: Sequence[Layer], sparsity: float, shares: Sequence[int]
) -> list[LayerGroup]:
    """Kept weights in proportion to ``shares``; a layer that would keep more than it has is dense, the rest re-solved.

    Fractions are exact: rounding errors could let a count fall by one where a layer stops being dense.
    """
    sparse = dict(zip(layers, shares, strict=True))
    left = (1 - Fraction(sparsity)) * sum(layer.weights for layer in layers)
    while True:
        scale = left / sum(sparse.values())
        dense = [layer for layer, share in sparse.items() if scale * share > layer.weights]
        if not dense:
            break
        left -= sum(layer.weights for layer in dense)
        sparse = {layer: share for layer, share in sparse.items() if layer not in dense}
    kept = {layer: scale * share for layer, share in sparse.items()}
    return [
        LayerGroup(
            (layer.name,), round_half_up(float(layer.weights - kept.get(layer, layer.weights)))
        )
        for layer in layers
    ]


def _declared_sparsity(layer: Layer, spec: SparsitySpec) -> float:
    """A layer's sparsity at the target: of the first pattern that matches it, otherwise 0."""
    return next((sparsity for pattern, sparsity in spec.layers if layer.matches(pattern)), 0.0)


def allocation_problems(layers: Sequence[Layer], spec: SparsitySpec) -> list[Problem]:
    """What of a resolved declaration does not fit the layers, naming those there are or the value that would do."""
    rule = f"each pattern must match a layer of {_format_names(layers)}"
    unknown = [p for p in spec.spared or () if not any(layer.matches(p) for layer in layers)]
    found = [Problem("sparsity.spared", rule, repr(pattern)) for pattern in unknown]
    spared = spared_layers(layers, spec)
    if len(spared) == len(layers):
        rule = "must leave a layer to prune; `uniform` spares a first convolution unless another list is given, `()` too"
        return [
            *found,
            Problem("sparsity.spared", rule, f"{_format_names(spared)} spared, all there are"),
        ]
    if spec.allocation == "explicit":
        found += _explicit_problems([layer for layer in layers if layer not in spared], spec)
    return found


def _explicit_problems(layers: Sequence[Layer], spec: SparsitySpec) -> list[Problem]:
    if not spec.layers:
        rule = f"`explicit` needs pairs of a name or pattern and a sparsity, for layers of {_format_names(layers)}"
        return [Problem("sparsity.layers", rule, "none")]
    patterns = [pattern for pattern, _ in spec.layers]
    first = {
        next((i for i, pattern in enumerate(patterns) if layer.matches(pattern)), -1)
        for layer in layers
    }
    rule = f"each pattern must be the first that matches some layer of {_format_names(layers)}"
    found = [
        Problem("sparsity.layers", rule, repr(p)) for i, p in enumerate(patterns) if i not in first
    ]
    overall = sum(_declared_sparsity(layer, spec) * layer.weights for layer in layers) / sum(
        layer.weights for layer in layers
    )
    if abs(overall - spec.target) > EXPLICIT_SPARSITY_TOLERANCE:
        rule = f"must be what `sparsity.layers` come to, within {EXPLICIT_SPARSITY_TOLERANCE}; {overall:.4f} would do"
        found.append(Problem("sparsity.target", rule, f"{spec.target:g}"))
    return found


def _format_names(layers: Sequence[Layer]) -> str:
    return ", ".join(f"`{layer.name}`" for layer in layers)
