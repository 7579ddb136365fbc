"""The forecast of training FLOPs against what training itself counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsetune.costs.magnitudes import Magnitudes
from sparsetune.costs.training_flops import train_flops, train_flops_of_layers
from sparsetune.sparsity.flops import forward_flops
from sparsetune.sparsity.layers import layers_of, prunable_weights
from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.rates import image_resolution
from sparsetune.spec.sparsity import RampSpec, RegrowSpec, SparsitySpec
from sparsetune.spec.task import FolderTask, GrowthSpec
from sparsetune.tasks.residual import resnet8
from sparsetune.train import train

REGROW = RegrowSpec(every="5 steps", until=0.9)
RAMP = RampSpec(updates=12)


def trial(**sparsity: Any) -> TrialSpec:
    return TrialSpec(
        schedule=ScheduleSpec(epochs=4), sparsity=SparsitySpec(**{"target": 0.9, **sparsity})
    )


@pytest.mark.parametrize(
    "spec",
    [
        trial(method="dense", target=0),
        trial(method="static", allocation="erk"),
        trial(method="one_shot", allocation="er", prune_at=0.3),
        trial(method="gmp", allocation="uniform", ramp=RAMP),
        trial(
            method="gmp", ramp=RAMP
        ),  # global: exact here, since in this network every weight is used once
        trial(method="acdc", allocation="erk"),
        trial(method="set", regrow=REGROW),
        trial(method="rigl", regrow=REGROW),
        trial(method="granet", allocation="uniform", ramp=RAMP, regrow=REGROW),
        trial(method="sr_ste", target=0.5, pattern="2:4"),
        trial(method="ste", allocation="erk"),
        trial(method="top_kast", allocation="erk"),
        trial(method="powerpropagation", allocation="erk", ramp=RAMP),
    ],
    ids=lambda spec: f"{spec.sparsity.method}-{spec.sparsity.allocation}",
)
def test_the_forecast_is_what_training_counts(spec: TrialSpec) -> None:
    rows: list[Any] = []
    train(spec, report=rows.append)
    assert train_flops(spec) == pytest.approx(rows[-1]["train_flops"], rel=1e-9)


def network() -> tuple[list[Any], Any]:
    """Two convolutions of 16 and 4 uses a weight."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AvgPool2d(2), nn.Conv2d(2, 3, 1))
    return layers_of(prunable_weights(model)), forward_flops(model, (1, 4, 4))


def test_without_weights_every_layer_counts_as_pruned_equally_under_global() -> None:
    """At 75 % everywhere a quarter of the FLOPs is left."""
    layers, flops = network()
    static = trial(method="static", target=0.75, allocation="global", score="magnitude")
    assert train_flops_of_layers(static, layers, flops) == pytest.approx(4 * 0.25)


def test_weights_before_training_tell_how_layers_share_under_global() -> None:
    """The two largest of two and six weights stay, one in each layer.

    They have 16 + 4 uses of 2 * 16 + 6 * 4.
    """
    layers, flops = network()
    weights = {
        "0.weight": torch.tensor([0.1, -9.0]),
        "2.weight": torch.tensor([0.2, 0.3, 8.0, -0.4, 0.5, -0.6]),
    }
    static = trial(method="static", target=0.75, allocation="global", score="magnitude")
    spent = train_flops_of_layers(static, layers, flops, magnitudes=Magnitudes(weights))
    assert spent == pytest.approx(4 * 20 / 56)
    spared = trial(
        method="static", target=0.5, allocation="global", score="magnitude", spared=["0"]
    )
    spent = train_flops_of_layers(spared, layers, flops, magnitudes=Magnitudes(weights))
    assert spent == pytest.approx(4 * (32 + 12) / 56)


@pytest.mark.parametrize("method", ["one_shot", "acdc"])
def test_a_convolutional_network_under_global_is_forecast_within_some_percent(method: str) -> None:
    """With every layer pruned equally, 0.1 of the dense FLOPs would be left instead of 0.21."""
    spec = trial(method=method, prune_at=0.25).with_values(
        {"task.model": "resnet8", "task.batch_size": 256}
    )
    rows: list[Any] = []
    train(spec, report=rows.append)
    assert rows[-1]["inference_flops"] > 0.18
    assert train_flops(spec) == pytest.approx(rows[-1]["train_flops"], rel=0.03)
    assert train_flops(spec) < 0.8 * 4


@given(target=st.floats(0.01, 0.99), sizes=st.lists(st.integers(1, 9000), min_size=2, max_size=5))
@settings(deadline=None, max_examples=30)
def test_shares_by_magnitude_keep_what_is_asked_for_in_all(target: float, sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(len(sizes))
    weights = {
        str(i): torch.randn(size, generator=generator) * (i + 1) for i, size in enumerate(sizes)
    }
    pruned = round(target * sum(sizes))
    densities = Magnitudes(weights).densities(LayerGroup(tuple(weights), pruned))
    kept = sum(densities[str(i)] * size for i, size in enumerate(sizes))
    assert kept == pytest.approx(sum(sizes) - pruned, abs=3)
    assert all(0 <= density <= 1 for density in densities.values())


def test_smaller_images_cost_less() -> None:
    """Half of 80 steps at a quarter of the cost, dense and sparse.

    Then a ramp that lies in the second half.
    """
    layers, flops = network()
    growing = [(0, 0.25), (40, 1.0)]
    assert train_flops_of_layers(
        trial(method="dense", target=0), layers, flops, growing
    ) == pytest.approx(2.5)
    static = trial(method="static", target=0.5, allocation="uniform", spared=[])
    assert train_flops_of_layers(static, layers, flops, growing) == pytest.approx(1.25, rel=0.01)
    late = trial(method="one_shot", target=0.5, allocation="uniform", spared=[], prune_at=0.75)
    assert train_flops_of_layers(late, layers, flops, growing) == pytest.approx(0.5 + 1 + 0.5)


def test_growing_images_are_counted_at_their_size_each_epoch() -> None:
    """ResNet-8 on 32, 48 and 64 pixels: 8 epochs of 32, then two steps up to the last two at 64."""
    growth = GrowthSpec(first=32, start="8 epochs", length="4 epochs", multiple=16)
    task = FolderTask(
        examples=1000, validation=0, batch_size=100, classes=10, model="resnet8",
        resolution=64, growth=growth, eval_resolution=64, eval_resize=72,
    )  # fmt: skip
    spec = TrialSpec(task=task, schedule=ScheduleSpec(epochs=14))
    sides = [image_resolution(spec, step) for step in range(140)]
    assert {side: sides.count(side) for side in sides} == {32: 90, 48: 20, 64: 30}
    cost = {
        side: forward_flops(resnet8((3, side, side), 10), (3, side, side)).total
        for side in (32, 48, 64)
    }
    wanted = (90 * cost[32] + 20 * cost[48] + 30 * cost[64]) / cost[64] / 10
    assert train_flops(spec) == pytest.approx(wanted)
    assert 5 < wanted < 14
