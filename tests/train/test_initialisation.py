"""Initialisation of a user's network: which builders are refused, and which twins run."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.task import DigitsTask
from sparsetune.train import train
from sparsetune.train.checkpoint import Checkpoints, Row
from sparsetune.train.initialisation import initialisation_problems

CALLS = itertools.count()
OWN = torch.Generator().manual_seed(0)
TRAINED = Path(os.environ.get("TRAINED_BODY", "body.pt"))


def fresh(shape: tuple[int, ...], n: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, n))


def seeds_itself(shape: tuple[int, ...], n: int) -> nn.Module:
    torch.manual_seed(0)
    return fresh(shape, n)


def seeds_itself_late(shape: tuple[int, ...], n: int) -> nn.Module:
    body = nn.Linear(64, 8)
    torch.manual_seed(7)
    return nn.Sequential(nn.Flatten(), body, nn.Linear(8, n))


def seeds_at_the_end(shape: tuple[int, ...], n: int) -> nn.Module:
    network = fresh(shape, n)
    torch.manual_seed(0)
    return network


def seeds_in_a_fork(shape: tuple[int, ...], n: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return fresh(shape, n)


def zeros(shape: tuple[int, ...], n: int) -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, n))
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    return network


def drawn_by_numpy(shape: tuple[int, ...], n: int) -> nn.Module:
    network = fresh(shape, n)
    with torch.no_grad():
        for parameter in network.parameters():
            drawn = np.random.standard_normal(parameter.shape)
            parameter.copy_(torch.from_numpy(0.1 * drawn))
    return network


def drawn_by_python(shape: tuple[int, ...], n: int) -> nn.Module:
    network = fresh(shape, n)
    with torch.no_grad():
        network[1].weight.fill_(random.gauss(0, 1))
    return network


def drawn_anywhere(shape: tuple[int, ...], n: int) -> nn.Module:
    network = fresh(shape, n)
    with torch.no_grad():
        network[1].bias[0] = np.random.default_rng().random()
    return network


def drawn_from_the_clock(shape: tuple[int, ...], n: int) -> nn.Module:
    torch.manual_seed(time.time_ns())
    return fresh(shape, n)


def counted(shape: tuple[int, ...], n: int) -> nn.Module:
    torch.manual_seed(next(CALLS))
    return fresh(shape, n)


def drawn_from_its_own(shape: tuple[int, ...], n: int) -> nn.Module:
    network = fresh(shape, n)
    with torch.no_grad():
        network[1].weight.normal_(generator=OWN)
    return network


def drawn_from_its_own_fixed(shape: tuple[int, ...], n: int) -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, n, bias=False))
    with torch.no_grad():
        network[1].weight.normal_(generator=torch.Generator().manual_seed(3))
    return network


def of_the_process(shape: tuple[int, ...], n: int) -> nn.Module:
    torch.manual_seed(os.getpid())
    return fresh(shape, n)


def loaded(shape: tuple[int, ...], n: int) -> nn.Module:
    network = fresh(shape, n)
    network.load_state_dict(torch.load(TRAINED, weights_only=True))
    return network


def loaded_body(shape: tuple[int, ...], n: int) -> nn.Module:
    network = loaded(shape, n)
    network[3].reset_parameters()
    return network


def loaded_body_and_a_table(shape: tuple[int, ...], n: int) -> nn.Module:
    """Numpy is seeded for a table; the head is fresh."""
    np.random.seed(0)
    network = loaded_body(shape, n)
    network.register_buffer("table", torch.from_numpy(np.random.standard_normal(8)))
    return network


def loaded_body_and_the_same_head(shape: tuple[int, ...], n: int) -> nn.Module:
    torch.manual_seed(0)
    network = fresh(shape, n)
    body = {k: v for k, v in torch.load(TRAINED, weights_only=True).items() if k[0] != "3"}
    with torch.no_grad():
        for name, tensor in body.items():
            network.state_dict()[name].copy_(tensor)
    return network


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(fresh((1, 8, 8), 10).state_dict(), tmp_path / "body.pt")
    monkeypatch.setattr("tests.train.test_initialisation.TRAINED", tmp_path / "body.pt")


def task_of(builder: Callable[..., nn.Module], fixed: bool = False) -> DigitsTask:
    model = f"tests.train.test_initialisation:{builder.__name__}"
    return DigitsTask(model=model, initialisation="fixed" if fixed else "drawn")


IGNORING = [
    seeds_itself,
    seeds_itself_late,
    seeds_in_a_fork,
    zeros,
    drawn_from_its_own_fixed,
    of_the_process,
    loaded_body_and_the_same_head,
]
UNREPEATABLE = [drawn_anywhere, drawn_from_the_clock, counted, drawn_from_its_own]
INNOCENT = [
    fresh,
    seeds_at_the_end,
    drawn_by_numpy,
    drawn_by_python,
    loaded,
    loaded_body,
    loaded_body_and_a_table,
]


@pytest.mark.parametrize("builder", IGNORING)
@pytest.mark.usefixtures("trained")
def test_a_builder_that_ignores_its_seed_is_refused_unless_declared(
    builder: Callable[..., nn.Module],
) -> None:
    (problem,) = initialisation_problems(task_of(builder))
    assert problem.path == "task.model" and builder.__name__ in problem.got
    assert '`task.initialisation="fixed"`' in problem.rule
    assert "seed" in problem.rule and "the same `" in problem.got
    assert initialisation_problems(task_of(builder, fixed=True)) == []


@pytest.mark.parametrize("builder", UNREPEATABLE)
def test_a_builder_that_differs_at_one_seed_is_refused_in_any_case(
    builder: Callable[..., nn.Module],
) -> None:
    for fixed in (False, True):
        (problem,) = initialisation_problems(task_of(builder, fixed))
        assert problem.rule.startswith("must draw the same weights at the same seed")
        assert "other values in `" in problem.got


@pytest.mark.parametrize("builder", INNOCENT)
@pytest.mark.usefixtures("trained")
def test_a_builder_that_draws_or_loads_is_accepted(builder: Callable[..., nn.Module]) -> None:
    state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert initialisation_problems(task_of(builder)) == []
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert torch.equal(state[0], after[0]) and state[1:] == after[1:]


def test_a_built_in_model_is_not_built() -> None:
    assert initialisation_problems(DigitsTask(model="no such model")) == []


# What the field and the seeds do in training.


class Noisy(nn.Module):
    """Draws from the three generators in every forward pass of training."""

    def __init__(self, shape: tuple[int, ...], n: int) -> None:
        super().__init__()
        self.body = drawn_by_numpy(shape, n)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and not x.is_meta:
            x = x + 0.1 * random.random() * torch.rand(1) + 0.1 * float(np.random.random())
            x = x + 0.01 * random.gauss(0, 1) + 0.01 * float(np.random.standard_normal())
        return self.body(x)


def history(spec: TrialSpec, **options: object) -> list[Row]:
    rows: list[Row] = []
    train(spec, report=rows.append, **options)  # type: ignore[arg-type]
    # NaN differs from itself.
    kept = [name for name in rows[0] if name not in ("seconds", "mask_iou")]
    return [{name: row[name] for name in kept} for row in rows]


def test_one_spec_gives_one_history_whatever_generator_it_draws_from(tmp_path: Path) -> None:
    spec = TrialSpec(task=task_of(Noisy), schedule=ScheduleSpec(epochs=2))
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    whole = history(spec)
    random.random()
    np.random.random()
    np.random.standard_normal()
    random.gauss(0, 1)
    assert history(spec) == whole
    assert history(spec.with_seed(1)) != whole

    class EveryFewSteps(Checkpoints):
        def due(self, evaluated: bool) -> bool:
            return True

        def write(self, step: int, *rest: object) -> Path:  # type: ignore[override]
            path = super().write(step, *rest)  # type: ignore[arg-type]
            if step == 27:
                raise KeyboardInterrupt
            return path

    with pytest.raises(KeyboardInterrupt):
        train(spec, checkpoints=EveryFewSteps(tmp_path))
    resumed = history(spec, resume_from=tmp_path / "checkpoint-27.pt")
    assert resumed == [row for row in whole if row["step"] > 27]


def test_fixed_shares_the_initialisation_and_nothing_else() -> None:
    def initial(task: DigitsTask, seed: int) -> list[Row]:
        spec = TrialSpec(task=task, schedule=ScheduleSpec(epochs=1), seed=seed)
        return history(spec.edited({"optim.lr": 1e-30}))

    def losses(task: DigitsTask) -> set[object]:
        return {initial(task, seed)[-1]["val_loss"] for seed in (3, 4)}

    plain = DigitsTask(model="mlp")
    assert len(losses(plain)) == 2
    assert len(losses(plain.model_copy(update={"initialisation": "fixed"}))) == 1
    default = TrialSpec(task=plain)
    assert default.trial_id() == TrialSpec(task=DigitsTask(initialisation="drawn")).trial_id()
    assert default.trial_id() != TrialSpec(task=DigitsTask(initialisation="fixed")).trial_id()
    assert "task.initialisation" not in default.columns()
