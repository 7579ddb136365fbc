import math
from typing import Any

import pytest
import torch
from torch import nn

from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.rates import learning_rate
from sparsetune.spec.task import DigitsTask
from sparsetune.train.optim import build_optimizer


def rates(lr: str, warmup: float) -> list[float]:
    spec = TrialSpec(
        optim=OptimSpec(lr=0.8),
        task=DigitsTask(batch_size=1293),
        schedule=ScheduleSpec(epochs=10, lr=lr, warmup=warmup),
    )
    return [learning_rate(spec)(step) for step in range(10)]


def test_linear_decay_after_warmup_by_hand() -> None:
    assert rates("linear", 0.2) == pytest.approx([0.4, 0.8, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


def test_cosine_and_constant() -> None:
    assert rates("cosine", 0)[0] == 0.8
    assert rates("cosine", 0)[5] == pytest.approx(0.4)
    assert rates("cosine", 0)[9] == pytest.approx(0.4 * (1 + math.cos(0.9 * math.pi)))
    assert rates("constant", 0.2) == pytest.approx([0.4, *[0.8] * 9])


MODEL = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


@pytest.mark.parametrize("everything", [False, True])
def test_biases_and_norms_are_decayed_only_on_request(everything: bool) -> None:
    spec = OptimSpec(weight_decay=0.1, decay_bias_and_norm=everything)
    decayed, spared = build_optimizer(spec, MODEL).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0)
    assert (len(decayed["params"]), len(spared["params"])) == ((6, 0) if everything else (2, 4))


def step(spec: OptimSpec, steps: int = 2) -> torch.Tensor:
    """The weight of a 1 x 1 layer, 1 at first, after steps with a gradient of 1."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.ones_(layer.weight)
    optimizer = build_optimizer(spec, layer)
    for _ in range(steps):
        layer.weight.grad = torch.ones(1, 1)
        optimizer.step()
    return layer.weight.detach()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"momentum": 0.5, "weight_decay": 0}, 1 - 0.1 - 0.15),
        ({"momentum": 0, "weight_decay": 0}, 0.8),
        ({"momentum": 0, "nesterov": True, "weight_decay": 0}, 0.8),
        ({"momentum": 0.5, "nesterov": True, "weight_decay": 0}, 1 - 0.15 - 0.175),
        ({"momentum": 0, "weight_decay": 0.5}, 0.85 - 0.1 * (1 + 0.5 * 0.85)),
        ({"name": "adamw", "weight_decay": 0}, 0.8),
        ({"name": "adamw", "weight_decay": 0.5}, (1 * 0.95 - 0.1) * 0.95 - 0.1),
    ],
)
def test_two_steps_by_hand(fields: dict[str, Any], expected: float) -> None:
    assert step(OptimSpec(lr=0.1, **fields)).item() == pytest.approx(expected, abs=1e-6)


def declared(
    batch_size: int = 129, optim: dict[str, Any] | None = None, **schedule: Any
) -> list[float]:
    """Two epochs, of ten steps each at batch 129."""
    task = DigitsTask(batch_size=batch_size)
    optim_spec = OptimSpec(**{"lr": 1.0, **(optim or {})})
    spec = TrialSpec(
        task=task, optim=optim_spec, schedule=ScheduleSpec(epochs=2, **schedule)
    ).checked()
    rate = learning_rate(spec)
    return [rate(step) for step in range(spec.total_steps())]


def test_steps_fall_at_their_anchors_after_the_warmup() -> None:
    rates = declared(lr="step", warmup="2 steps", anchors=[0.5, "15 steps"], factor=0.2)
    assert rates == pytest.approx([0.5, 1, *[1] * 8, *[0.2] * 5, *[0.04] * 5])


def test_anchors_in_fractions_stretch_and_those_in_steps_do_not() -> None:
    rates = declared(lr="step", warmup=0, anchors=[0.5, "15 steps"], epoch_multiplier=2)
    assert rates == pytest.approx([*[1] * 15, *[0.1] * 5, *[0.01] * 20])


def test_a_rate_per_epoch_stays_through_the_epoch() -> None:
    assert declared(lr="cosine", warmup=0, lr_per="epoch") == pytest.approx(
        [*[1] * 10, *[0.5] * 10]
    )
    assert declared(lr="linear", warmup="1 epoch", lr_per="epoch") == pytest.approx([1] * 20)
    assert declared(lr="linear", warmup="1.5 epochs", lr_per="epoch") == pytest.approx(
        [*[2 / 3] * 10, *[1] * 10]
    )


def test_a_rate_is_scaled_from_the_batch_that_it_is_given_for() -> None:
    assert declared(64, {"lr": 0.256, "lr_batch": 256}, lr="constant", warmup=0)[
        0
    ] == pytest.approx(0.064)
    assert declared(64, {"lr": 0.256}, lr="constant", warmup=0)[0] == 0.256


@pytest.mark.parametrize("given", [{"lr": "step"}, {"lr": "cosine", "anchors": [0.5]}])
def test_anchors_and_the_decay_by_steps_belong_together(given: dict[str, Any]) -> None:
    (problem,) = ScheduleSpec(**given).problems()
    assert problem.rule.startswith("`anchors` belong to the decay `step`, and only there")


def test_anchors_do_not_count_under_another_decay() -> None:
    spec = TrialSpec(schedule=ScheduleSpec(lr="step", anchors=[0.5]))
    assert spec.with_values({"schedule.lr": "linear"}).trial_id() == TrialSpec().trial_id()
