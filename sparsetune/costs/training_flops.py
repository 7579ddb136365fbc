"""What a trial's training will cost in FLOPs, from its declaration alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

from sparsetune.costs.magnitudes import Magnitudes
from sparsetune.sparsity.flops import ForwardFlops, step_cost
from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import LayerGroup, allocate
from sparsetune.sparsity.methods.changes import MaskChange
from sparsetune.sparsity.methods.plan import mask_schedule
from sparsetune.spec import TrialSpec


def planned_train_flops(
    spec: TrialSpec,
    layers: Sequence[Layer],
    flops: ForwardFlops,
    scales: Sequence[tuple[int, float]] = ((0, 1.0),),
    magnitudes: Magnitudes | None = None,
) -> float:
    """FLOPs of the whole training in epochs of the dense network, as the column ``planned_train_flops`` will have it.

    Exact where the allocation follows from the layers' shapes. Under ``global``, where it follows from the weights,
    layers share as they would before training.

    Args:
        spec: A valid trial.
        layers: The network's prunable layers.
        flops: Dense forward FLOPs of one example.
        magnitudes: Of the weights before training; without, layers under one threshold count as pruned equally.
        scales: What a dense step costs from a step (from 0) on, as a fraction of ``flops``; in order, the first at 0.
    """
    parts = [
        (first, end, scale)
        for (first, scale), (end, _) in pairwise([*scales, (spec.total_steps(), 0.0)])
    ]
    spent = 0.0
    for start, until, cost in _density_spans(spec, layers, flops, magnitudes):
        spent += cost * sum(
            scale * max(0, min(until, end) - max(start, first)) for first, end, scale in parts
        )
    return spent / spec.steps_per_epoch()


def _density_spans(
    spec: TrialSpec, layers: Sequence[Layer], flops: ForwardFlops, magnitudes: Magnitudes | None
) -> Iterator[tuple[int, int, float]]:
    """First step and end of each part of training at one density, and what a step costs in dense steps."""
    total = spec.total_steps()
    request = spec.sparsity.resolved()
    fraction = 1.0
    shadow = False

    @cache
    def masked(sparsity: float) -> float:
        return flops.fraction(_densities(allocate(layers, sparsity, request), layers, magnitudes))

    changes = mask_schedule(spec)
    for change, following in pairwise([*changes, MaskChange(total, "fixed", 0.0)]):
        if change.step >= total:
            return
        start = change.step + int(
            change.action == "regrow"
        )  # which waits for the gradient of its own step
        if start > change.step and not (
            change.replaces_step and request.method != "set"
        ):  # SET's needs no gradient
            yield change.step, start, step_cost(fraction, fraction)
        shadow = shadow or change.action == "shadow"
        if change.action != "keep":
            fraction = 1.0 if change.action == "release" else masked(change.sparsity)
        yield start, min(total, following.step), step_cost(fraction, 1.0 if shadow else fraction)


def _densities(
    groups: Sequence[LayerGroup], layers: Sequence[Layer], magnitudes: Magnitudes | None
) -> dict[str, float]:
    """The share of each layer's weights inside the mask."""
    weights = {layer.name: layer.weights for layer in layers}
    density: dict[str, float] = {}
    for group in groups:
        if magnitudes and len(group.names) > 1:
            density |= magnitudes.densities(group)
        else:
            size = sum(weights[name] for name in group.names)
            density |= dict.fromkeys(group.names, 1 - group.pruned / size)
    return density
