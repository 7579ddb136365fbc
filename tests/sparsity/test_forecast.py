"""The forecast of training FLOPs against what training itself counts."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from sparsetune.cost import train_flops
from sparsetune.sparsity import forecast
from sparsetune.sparsity.flops import forward_flops
from sparsetune.sparsity.layers import layers_of, prunable_weights
from sparsetune.sparsity_spec import RampSpec, RegrowSpec, SparsitySpec
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.train import train

REGROW = RegrowSpec(every="5 steps", until=0.9)
RAMP = RampSpec(updates=12)


def trial(**sparsity: Any) -> TrialSpec:
    return TrialSpec(schedule=ScheduleSpec(epochs=4), sparsity=SparsitySpec(**{"target": 0.9, **sparsity}))


@pytest.mark.parametrize(
    "spec",
    [
        trial(method="dense", target=0),
        trial(method="static", allocation="erk"),
        trial(method="one_shot", allocation="er", prune_at=0.3),
        trial(method="gmp", allocation="uniform", ramp=RAMP),
        trial(method="gmp", ramp=RAMP),  # global: exact here, since in this network every weight is used once
        trial(method="acdc", allocation="erk"),
        trial(method="set", regrow=REGROW),
        trial(method="rigl", regrow=REGROW),
        trial(method="granet", allocation="uniform", ramp=RAMP, regrow=REGROW),
        trial(method="sr_ste", target=0.5, pattern="2:4"),
    ],
    ids=lambda spec: f"{spec.sparsity.method}-{spec.sparsity.allocation}",
)
def test_the_forecast_is_what_training_counts(spec: TrialSpec) -> None:
    rows: list[Any] = []
    train(spec, report=rows.append)
    assert train_flops(spec) == pytest.approx(rows[-1]["train_flops"], rel=1e-9)


def test_under_global_every_layer_counts_as_pruned_equally() -> None:
    """Two convolutions of 16 and 4 uses a weight: at 75 % everywhere a quarter of their FLOPs is left."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AvgPool2d(2), nn.Conv2d(2, 3, 1))
    layers, flops = layers_of(prunable_weights(model)), forward_flops(model, (1, 4, 4))
    static = trial(method="static", target=0.75, allocation="global", score="magnitude")
    assert forecast.train_flops(static, layers, flops) == pytest.approx(4 * 0.25)
