"""The moving average of the weights, by hand and in a trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import RampSpec, RegrowSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask
from sparsetune.train import train
from sparsetune.train.average import WeightAverage


def trial(ema: float, method: str = "gmp") -> TrialSpec:
    given: dict[str, Any] = {
        "method": method,
        "target": 0.9,
        "ramp": RampSpec(updates=4),
        "regrow": RegrowSpec(every="1 step"),
    }
    if method == "sr_ste":
        given |= {"pattern": "1:4", "target": 0.75}
    return TrialSpec(
        task=DigitsTask(model="resnet8", batch_size=64, validation=720),
        optim=OptimSpec(lr=0.05, ema=ema),
        schedule=ScheduleSpec(epochs=2),
        sparsity=SparsitySpec(**given),
    )


def test_the_average_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average = WeightAverage(model, 0.5)
    values = []
    for step, weight in enumerate([2.0, 4.0, 8.0]):
        nn.init.constant_(model.weight, weight)
        average.update(step)
        with average.averaged_weights(lambda: None):
            values.append(model.weight.item())
    # decays are min(0.5, 1/10), min(0.5, 2/11), min(0.5, 3/12)
    first = 0.1 * 1 + 0.9 * 2
    second = 2 / 11 * first + 9 / 11 * 4
    assert values == pytest.approx([first, second, 0.25 * second + 0.75 * 8])
    assert model.weight.item() == 8


def test_batch_norm_statistics_are_averaged_and_counters_are_not() -> None:
    model = nn.BatchNorm1d(2)
    average = WeightAverage(model, 0.9)
    model(torch.randn(8, 2) + 5)
    average.update(8)
    assert model.running_mean is not None and model.num_batches_tracked is not None
    live = model.running_mean.clone()
    with average.averaged_weights(lambda: None):
        assert torch.allclose(model.running_mean, 0.5 * live)
        assert model.num_batches_tracked == 1
    assert torch.equal(model.running_mean, live)


@pytest.mark.parametrize("method", ["gmp", "acdc", "rigl", "sr_ste"])
def test_what_is_measured_and_saved_is_averaged_and_as_sparse_as_asked(
    method: str, tmp_path: Path
) -> None:
    plain: list[Any] = []
    averaged: list[Any] = []
    train(trial(0, method), report=plain.append)
    final = train(
        trial(0.97, method), report=averaged.append, save_to=tmp_path / "model.safetensors"
    )
    assert final.certified, final.error
    assert [row["batch_loss"] for row in averaged] == [
        row["batch_loss"] for row in plain
    ]  # training is the same
    assert averaged[-1]["train_loss"] != plain[-1]["train_loss"]
    assert averaged[-1]["sparsity"] == plain[-1]["sparsity"]
