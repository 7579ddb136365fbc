"""FLOPs of a trial's training, forecast from its declaration alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise

from sparsetune.costs.magnitudes import Magnitudes
from sparsetune.seeds import seeded_generators
from sparsetune.sparsity.flops import ForwardFlops, prunable_flops, step_cost
from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import LayerGroup, allocate
from sparsetune.sparsity.methods.registry import method_of
from sparsetune.sparsity.plans.changes import MaskChange
from sparsetune.sparsity.plans.schedule import mask_schedule
from sparsetune.spec import TrialSpec
from sparsetune.spec.rates import image_resolution
from sparsetune.spec.sparsity import PrunableRule, SparsitySpec
from sparsetune.tasks.kinds import network_of
from sparsetune.tasks.network import ImageNetwork, Network, Outline, outline_of


def train_flops(spec: TrialSpec) -> float:
    """FLOPs of a trial's training, in epochs of the dense network: the column ``train_flops``.

    The network's shapes are worked out here; `train_flops_of_layers` starts from them.

    Raises:
        DeclarationError: if the trial's model cannot be built.
    """
    network = network_of(spec.task)
    layers, flops = _layers_and_flops(network, spec.sparsity)
    magnitudes = None
    if _needs_magnitudes(spec.sparsity.resolved(), layers, flops):
        magnitudes = _initial_magnitudes(network, tuple(layer.name for layer in layers))
    return train_flops_of_layers(spec, layers, flops, _step_scales(spec, flops), magnitudes)


def train_flops_of_layers(
    spec: TrialSpec,
    layers: Sequence[Layer],
    flops: ForwardFlops,
    scales: Sequence[tuple[int, float]] = ((0, 1.0),),
    magnitudes: Magnitudes | None = None,
) -> float:
    """FLOPs of a trial's training, in epochs of the dense network, given its layers.

    Exact where the allocation follows from the layers' shapes. Under ``global``, where it follows
    from the weights, layers are pruned as they would be before training.

    Args:
        spec: A valid trial.
        layers: Prunable layers of the network.
        flops: Dense forward FLOPs of one example.
        scales: Steps (from 0) from which a dense step costs another fraction of ``flops``, and that
            fraction; in order, the first at step 0.
        magnitudes: Magnitudes of the weights before training. Without them, layers under one
            threshold count as pruned equally.
    """
    ends = [step for step, _ in scales[1:]] + [spec.total_steps()]
    spent = 0.0
    for span in _density_spans(spec, layers, flops, magnitudes):
        dense_steps = 0.0
        for (first, scale), end in zip(scales, ends, strict=True):
            dense_steps += scale * max(0, min(span.end, end) - max(span.first, first))
        spent += span.step_cost * dense_steps
    return spent / spec.steps_per_epoch()


@dataclass(frozen=True)
class _DensitySpan:
    """Part of training at one density.

    Args:
        first: First step, from 0.
        end: Step after the last.
        step_cost: Cost of a step, as a fraction of a dense step on examples of the same size.
    """

    first: int
    end: int
    step_cost: float


def _density_spans(
    spec: TrialSpec, layers: Sequence[Layer], flops: ForwardFlops, magnitudes: Magnitudes | None
) -> Iterator[_DensitySpan]:
    """Parts of training in order."""
    total = spec.total_steps()
    request = spec.sparsity.resolved()
    method = method_of(request.method)
    # Shadow weights outside the mask are trained too: all of them, or those of a backward mask.
    trained = 1.0
    if method.backward:
        groups = allocate(layers, method.backward(request), request)
        trained = flops.fraction(_densities(groups, layers, magnitudes))
    fraction = 1.0
    has_shadow = False

    @cache
    def masked_fraction(sparsity: float, allocation: str | None) -> float:
        asked = request.model_copy(update={"allocation": allocation}) if allocation else request
        return flops.fraction(_densities(allocate(layers, sparsity, asked), layers, magnitudes))

    changes = mask_schedule(spec)
    for change, following in pairwise([*changes, MaskChange(total, "fixed", 0.0)]):
        if change.step >= total:
            return
        first = change.step
        if change.action == "regrow":
            # Weights regrow after the gradient of their own step is known. A gradient that replaces
            # the step is among the extra FLOPs, except under SET, which grows without gradients.
            if not change.replaces_step or method.grows_by == "random":
                yield _DensitySpan(first, first + 1, step_cost(fraction, fraction))
            first += 1
        has_shadow = has_shadow or change.action == "shadow"
        if change.action == "release":
            fraction = 1.0
        elif change.action != "keep":
            fraction = masked_fraction(change.sparsity, change.allocation)
        # Shadow weights outside the mask are trained too, so their gradients are computed.
        cost = step_cost(fraction, trained if has_shadow else fraction)
        yield _DensitySpan(first, min(total, following.step), cost)


def _densities(
    groups: Sequence[LayerGroup], layers: Sequence[Layer], magnitudes: Magnitudes | None
) -> dict[str, float]:
    """Fraction of each layer's weights inside the mask, by parameter name."""
    weights = {layer.name: layer.weights for layer in layers}
    density: dict[str, float] = {}
    for group in groups:
        if magnitudes and len(group.names) > 1:
            density.update(magnitudes.densities(group))
        else:
            size = sum(weights[name] for name in group.names)
            density.update(dict.fromkeys(group.names, 1 - group.pruned / size))
    return density


def _needs_magnitudes(request: SparsitySpec, layers: Sequence[Layer], flops: ForwardFlops) -> bool:
    """Return True if FLOPs depend on the layers in which the smallest of all weights lie."""
    keeps_largest = (
        request.allocation == "global"
        and request.score == "magnitude"
        and request.pattern == "unstructured"
        and method_of(request.method).keeps_largest
    )
    # One number where all layers are linear: then every weight costs the same.
    uses_per_weight = {flops.weights[layer.name] / layer.weights for layer in layers}
    return keeps_largest and len(uses_per_weight) > 1


# Cached by network: a search asks for the FLOPs of hundreds of trials of a few networks.
@lru_cache(maxsize=8)
def _initial_magnitudes(network: Network, names: tuple[str, ...]) -> Magnitudes:
    with seeded_generators(0):
        parameters = dict(network.build().named_parameters())
    return Magnitudes({name: parameters[name] for name in names})


def _layers_and_flops(network: Network, sparsity: SparsitySpec) -> tuple[list[Layer], ForwardFlops]:
    """Prunable layers of a network, and its dense forward FLOPs for one example."""
    is_dense = not sparsity.prunes
    named = () if is_dense else sparsity.layer_patterns()
    return _named_layers_and_flops(network, named, sparsity.prunable_by, is_dense)


@lru_cache(maxsize=32)
def _named_layers_and_flops(
    network: Network, named: tuple[str, ...], prunable_by: PrunableRule | None, is_dense: bool
) -> tuple[list[Layer], ForwardFlops]:
    method = "dense" if is_dense else "gmp"
    sparsity = SparsitySpec(method=method, layers=named, prunable_by=prunable_by)
    outline = _outline(network)
    layers = outline.account(sparsity).layers
    names = [layer.name for layer in layers]
    return layers, prunable_flops(outline.trace, names, computed=prunable_by != "modules")


@lru_cache(maxsize=32)
def _outline(network: Network) -> Outline:
    return outline_of(network)


def _step_scales(spec: TrialSpec, flops: ForwardFlops) -> list[tuple[int, float]]:
    """Steps from which training images have another size, and the cost of a dense step there.

    The cost is a fraction of that at full size; see `train_flops_of_layers`.
    """
    network = network_of(spec.task)
    if not isinstance(network, ImageNetwork):
        return [(0, 1.0)]

    def side_at(step: int) -> int:
        return image_resolution(spec, step) or 0

    scales: list[tuple[int, float]] = []
    total = spec.total_steps()
    step = 0
    while step < total and (side := side_at(step)):
        small = prunable_flops(_outline(network.at(side)).trace, ())
        scales.append((step, small.total / flops.total))
        # Images never shrink, so the end of this size can be bisected.
        step = bisect_right(range(total), side, lo=step, key=side_at)
    return scales or [(0, 1.0)]
