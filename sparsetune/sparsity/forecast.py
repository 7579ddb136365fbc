"""What a trial's training will cost in FLOPs, from its declaration alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from sparsetune.sparsity.allocation import allocate
from sparsetune.sparsity.flops import Flops, step_cost
from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.methods import Change
from sparsetune.sparsity.plan import plan
from sparsetune.sparsity_spec import SparsitySpec
from sparsetune.spec import TrialSpec


def train_flops(spec: TrialSpec, layers: Sequence[Layer], flops: Flops) -> float:
    """FLOPs of the whole training in epochs of the dense network, as the column ``train_flops`` will have it.

    Exact where the allocation follows from the layers' shapes. Under ``global``, where it follows from the weights,
    every layer counts as pruned equally.

    Args:
        spec: A valid trial.
        layers: The network's prunable layers.
        flops: Dense forward FLOPs of one example.
    """
    return sum(steps * cost for steps, cost in _stretches(spec, layers, flops)) / spec.steps_per_epoch()


def _stretches(spec: TrialSpec, layers: Sequence[Layer], flops: Flops) -> Iterator[tuple[int, float]]:
    """Steps at the same density, and what each of them costs in dense steps."""
    total, request, fraction, shadow = spec.total_steps(), spec.sparsity.resolved(), 1.0, False
    changes = plan(spec)
    for change, following in pairwise([*changes, Change(total, "fixed", 0.0)]):
        if change.step >= total:
            return
        before = int(change.action == "regrow")  # which waits for the gradient of its own step
        if before and not (change.replaces_step and request.method != "set"):  # SET's update needs no gradient
            yield 1, step_cost(fraction, fraction)
        shadow = shadow or change.action == "shadow"
        fraction = _fraction(change, fraction, layers, flops, request)
        until = min(total, following.step)
        yield until - change.step - before, step_cost(fraction, 1.0 if shadow else fraction)


def _fraction(change: Change, before: float, layers: Sequence[Layer], flops: Flops, request: SparsitySpec) -> float:
    """FLOPs of a forward pass after the change, as a fraction of the dense one's."""
    if change.action in ("keep", "release"):
        return before if change.action == "keep" else 1.0
    weights = {layer.name: layer.weights for layer in layers}
    density: dict[str, float] = {}
    for group in allocate(layers, change.sparsity, request):
        size = sum(weights[name] for name in group.names)
        density |= dict.fromkeys(group.names, 1 - group.pruned / size)
    return flops.fraction(density)
