"""Published counts of FLOPs, and of layers that stay dense."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from statistics import fmean

import pytest

from sparsetune.sparsity.flops import ForwardFlops, forward_flops, step_cost
from sparsetune.sparsity.layers import Layer, layers_of, prunable_weights
from sparsetune.sparsity.masks.allocation import allocate
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.tasks.models import meta_model


@cache
def resnet50() -> tuple[list[Layer], ForwardFlops]:
    model = meta_model("resnet50", (3, 224, 224), 1000)
    return layers_of(prunable_weights(model)), forward_flops(model, (3, 224, 224))


def pruned(allocation: str, sparsity: float) -> dict[str, int]:
    """Pruned weights of each layer of ResNet50."""
    spec = SparsitySpec(method="gmp", target=sparsity, allocation=allocation)
    return {group.names[0]: group.pruned for group in allocate(resnet50()[0], sparsity, spec)}


def inference(allocation: str, sparsity: float) -> float:
    """FLOPs of the sparse ResNet50 as a fraction of dense."""
    counts = pruned(allocation, sparsity)
    layers, flops = resnet50()
    return flops.fraction({layer.name: 1 - counts[layer.name] / layer.weights for layer in layers})


@pytest.mark.parametrize(
    ("allocation", "sparsity", "computed", "published"),
    [
        ("erk", 0.8, 0.414, 0.42),
        ("erk", 0.9, 0.242, 0.24),
        ("erk", 0.95, 0.122, 0.12),
        ("uniform", 0.8, 0.223, 0.23),
        ("uniform", 0.9, 0.126, 0.13),
        ("uniform", 0.95, 0.077, 0.08),
    ],
)
def test_inference_flops_of_resnet50(
    allocation: str, sparsity: float, computed: float, published: float
) -> None:
    """Evci et al. 2020, table 2 and the repository's README.

    `computed` was computed twice, independently of this code.
    """
    fraction = inference(allocation, sparsity)
    assert fraction == pytest.approx(computed, abs=0.001)
    assert fraction == pytest.approx(published, abs=0.01)


@pytest.mark.parametrize(("sparsity", "dense"), [(0.8, 8), (0.9, 1), (0.95, 0)])
def test_layers_of_resnet50_that_erk_leaves_dense(sparsity: float, dense: int) -> None:
    counts = pruned("erk", sparsity)
    assert list(counts.values()).count(0) == dense
    assert len(counts) == 54
    total = sum(layer.weights for layer in resnet50()[0])
    assert total == 25_502_912
    # Without solving again for the other layers, 0.8 would be 0.8041.
    assert sum(counts.values()) / total == pytest.approx(sparsity, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "size", "billions"),
    [
        ("resnet18", 224, 1.814),
        ("mobilenet_v2", 224, 0.301),
        ("inception_v3", 299, 5.713),
        ("regnet_y_400mf", 224, 0.402),
        ("vit_b_16", 224, 17.564),
        ("swin_t", 224, 4.491),
    ],
)
def test_multiply_adds_that_torchvision_publishes(name: str, size: int, billions: float) -> None:
    """From the metadata of its weights, in billions."""
    flops = forward_flops(meta_model(name, (3, size, size), 1000), (3, size, size))
    assert flops.total / 2e9 == pytest.approx(billions, abs=0.0005)


SPARSE_FLOPS = 0.126
"""f_S in f_D: uniform, 90 %."""


def training(steps: list[tuple[float, float]]) -> float:
    """Mean cost of training steps, each (forward, weight gradient), in f_D.

    Three forward passes are a dense step.
    """
    return 3 * fmean(step_cost(*step) for step in steps)


def test_static_and_set_take_three_sparse_passes() -> None:
    """Evci et al. 2020, appendix H: 3 f_S."""
    assert training([(SPARSE_FLOPS, SPARSE_FLOPS)] * 100) == pytest.approx(3 * SPARSE_FLOPS)


def test_rigl_takes_a_dense_weight_gradient_at_each_update() -> None:
    """Evci et al. 2020, appendix H: (3 f_S dT + 2 f_S + f_D) / (dT + 1), with dT = 100."""
    steps = [(SPARSE_FLOPS, 1.0 if step % 101 == 100 else SPARSE_FLOPS) for step in range(5 * 101)]
    assert training(steps) == pytest.approx((3 * SPARSE_FLOPS * 100 + 2 * SPARSE_FLOPS + 1) / 101)


def test_a_dense_weight_gradient_at_every_step() -> None:
    """Evci et al. 2020, appendix H, for SNFS: 2 f_S + f_D."""
    assert training([(SPARSE_FLOPS, 1.0)] * 10) == pytest.approx(2 * SPARSE_FLOPS + 1)


def test_pruning_takes_the_mean_over_its_ramp() -> None:
    """Evci et al. 2020, appendix H: the mean over t of 3 f_D (1 - s_t).

    Every layer has the same sparsity here.
    """
    flops = ForwardFlops({"a": 600, "b": 400})
    sparsities = [0.9 * (1 - (1 - min(step / 60, 1)) ** 3) for step in range(100)]
    passes = [flops.fraction(dict.fromkeys("ab", 1 - sparsity)) for sparsity in sparsities]
    assert all(later <= earlier for earlier, later in pairwise(passes))
    expected = fmean(3 * (1 - sparsity) for sparsity in sparsities)
    assert training([(f, f) for f in passes]) == pytest.approx(expected)


def test_acdc_is_half_dense_and_half_sparse() -> None:
    """Peste et al. 2021: 3 f_S while compressed, as 50 of 100 epochs are, else 3 f_D."""
    compressed = [*range(10, 75, 10), 85, 90, 95]
    steps = [
        SPARSE_FLOPS if any(begin <= epoch < begin + 5 for begin in compressed) else 1.0
        for epoch in range(100)
    ]
    assert training([(f, f) for f in steps]) == pytest.approx((3 * SPARSE_FLOPS + 3) / 2)
