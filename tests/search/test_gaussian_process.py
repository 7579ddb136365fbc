"""Suggestions of the Gaussian process: after points that cells share, away from what failed."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sparsetune.search.sampling.gaussian_process import MAX_TOLD, assume_objectives, thin_out
from sparsetune.search.sampling.optuna_form import to_optuna_trial
from sparsetune.search.sampling.points import sample_point, sample_sequence_point
from sparsetune.spec import TrialSpec
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.study import Arm, Study
from sparsetune.study.cells import Cell
from sparsetune.study.samplers import GP, TPE, startup_points
from sparsetune.study.space import Choice, LogUniform, Uniform, Value

SEARCH: dict[str, Any] = {"optim.lr": LogUniform(0.01, 1), "optim.momentum": Uniform(0, 0.8)}


def study(**fields: Any) -> Study:
    fields = {"search": SEARCH, "configurations_per_cell": 16, "sampler": GP(), **fields}
    declared = Study(name="s", known_base=True, **fields)
    assert declared.validate_declaration() == []
    return declared


def bowl(point: dict[str, Value]) -> float:
    """A smooth loss with its minimum at 0.1 and 0.5."""
    return (math.log10(float(point["optim.lr"])) + 1) ** 2 + (
        float(point["optim.momentum"]) - 0.5
    ) ** 2


def search(declared: Study, cell: Cell, *, cliff: float = math.inf) -> list[dict[str, Value]]:
    """Points of a whole search, of which those with a rate above ``cliff`` diverge."""
    told = optuna.create_study()
    points = []
    for index in range(declared.configurations_per_cell):
        point = sample_point(declared, cell, index, told)
        assert point is not None
        points.append(point)
        has_diverged = float(point["optim.lr"]) > cliff
        trial = to_optuna_trial(cell, point, None if has_diverged else bowl(point))
        assert trial is not None
        told.add_trial(trial)
    return points


@pytest.mark.parametrize(
    ("sampler", "configurations", "shared"),
    [
        (GP(), 8, 8),
        (GP(), 15, 15),  # below 16 all are Sobol's
        (GP(), 16, 7),
        (GP(), 21, 9),
        (GP(), 22, 10),
        (GP(), 200, 10),
        (GP(n_startup=3), 8, 3),
        (TPE(n_startup=5), 64, 5),
    ],
)
def test_so_many_points_are_shared(sampler: GP | TPE, configurations: int, shared: int) -> None:
    assert startup_points(sampler, configurations) == shared


def test_cells_share_the_first_points_and_then_each_goes_to_its_own_optimum() -> None:
    declared = study(
        arms={"gmp": Arm({"sparsity.method": "gmp"})}, sweep={"sparsity.target": [0, 0.9]}
    )
    one, other = (search(declared, cell) for cell in declared.cells())
    sequence = [
        sample_sequence_point(declared, declared.cells()[0], k, sobol=True) for k in range(7)
    ]
    assert one[:7] == other[:7] == sequence
    assert all(mine != theirs for mine, theirs in zip(one[7:], other[7:], strict=True))
    for points in (one, other):
        found = sorted(map(bowl, points[7:]))
        assert found[0] < 0.01 < min(map(bowl, points[:7]))
        assert found[len(found) // 2] < 0.1


def test_a_declared_start_up_must_be_below_half() -> None:
    problems = Study(
        name="s", known_base=True, search=SEARCH, sampler=GP(n_startup=8),
        configurations_per_cell=16,
    ).validate_declaration()  # fmt: skip
    assert [problem.path for problem in problems] == ["sampler.n_startup"]


def test_it_does_not_return_to_where_training_diverged() -> None:
    declared = study(configurations_per_cell=24)
    points = search(declared, declared.cells()[-1], cliff=0.12)[10:]
    assert sum(float(point["optim.lr"]) > 0.12 for point in points) <= 4
    assert min(map(bowl, points)) < 0.01


def trial(
    objective: float | None, *, rungs: dict[int, float] | None = None, stopped: bool = False
) -> FrozenTrial:
    declared = study()
    point: dict[str, Value] = {"optim.lr": 0.1, "optim.momentum": 0.5}
    found = to_optuna_trial(declared.cells()[-1], point, objective, rungs=rungs, is_stopped=stopped)
    assert found is not None
    return found


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1.0), ("maximize", -1.0)])
def test_objectives_are_assumed_by_hand(direction: str, sign: float) -> None:
    def rungs(**values: float) -> dict[int, float]:
        return {int(name[1:]): sign * value for name, value in values.items()}

    trials = [
        trial(sign * 1.0, rungs=rungs(r0=3.0, r1=2.0)),
        trial(sign * 2.0, rungs=rungs(r0=5.0, r1=2.5)),
        trial(sign * 4.0, rungs=rungs(r0=6.0)),
        trial(None, rungs=rungs(r0=7.0), stopped=True),  # changes are -2, -3 and -2
        trial(None, rungs=rungs(r0=2.5, r1=2.4), stopped=True),  # at the last rung: -1 and -0.5
        trial(None, rungs=rungs(r2=1.0), stopped=True),  # nobody finished after this rung
        trial(None, rungs=rungs(r0=1.0)),  # diverged
    ]
    told = assume_objectives(trials, getattr(StudyDirection, direction.upper()))
    assert [each.state for each in told] == [TrialState.COMPLETE] * 7
    assert [sign * float(each.value or 0) for each in told[3:]] == pytest.approx(
        [
            5.0,
            1.65,  # 2.4 - 0.75, which is no better than the median of 1 and 2
            5.0,
            5.0,
        ]
    )
    assert [each.params for each in told] == [each.params for each in trials]


def test_a_stopped_configuration_is_no_better_than_the_median_of_who_finished() -> None:
    trials = [trial(1.0, rungs={0: 3.0}), trial(2.0, rungs={0: 4.0})]
    told = assume_objectives(
        [*trials, trial(None, rungs={0: 3.1}, stopped=True)], StudyDirection.MINIMIZE
    )
    assert told[2].value == 1.5  # 3.1 - 2 = 1.1 would be


def test_without_any_objective_nothing_is_assumed() -> None:
    trials = [trial(None), trial(None, rungs={0: 1.0}, stopped=True)]
    told = assume_objectives(trials, StudyDirection.MINIMIZE)
    assert [each.state for each in told] == [TrialState.PRUNED] * 2


def test_workers_who_ask_at_once_are_sent_apart() -> None:
    declared = study()
    cell = declared.cells()[-1]
    told = optuna.create_study()
    for index in range(8):
        point = sample_sequence_point(declared, cell, index, sobol=True)
        done = to_optuna_trial(cell, point, bowl(point))
        assert done is not None
        told.add_trial(done)
    first = sample_point(declared, cell, 8, told)
    alone = sample_point(declared, cell, 9, told)
    beside = sample_point(declared, cell, 9, told, pending=[first or {}])
    assert first and alone and beside

    def apart(point: dict[str, Value]) -> float:
        return abs(math.log10(float(point["optim.lr"]) / float(first["optim.lr"]))) + abs(
            float(point["optim.momentum"]) - float(first["optim.momentum"])
        )

    assert apart(beside) > 3 * apart(alone)


CONDITIONAL: dict[str, Any] = {
    "sparsity.method": Choice(["gmp", "acdc"]),
    "sparsity.acdc.final": Uniform(0.1, 0.3),
    "sparsity.ramp.start": Uniform(0, 0.3),
    "optim.lr": LogUniform(0.01, 1),
}


def test_a_choice_comes_first_and_the_rest_of_it_is_learnt_from_who_shares_it() -> None:
    base = TrialSpec(sparsity=SparsitySpec(method="gmp"))
    declared = study(base=base, sweep={"sparsity.target": [0.9]}, search=CONDITIONAL)
    cell = declared.cells()[-1]
    told = optuna.create_study()
    points = []
    for index in range(16):
        point = sample_point(declared, cell, index, told)
        assert point is not None
        is_gmp = point["sparsity.method"] == "gmp"
        own = "sparsity.ramp.start" if is_gmp else "sparsity.acdc.final"
        assert point.keys() == {"sparsity.method", "optim.lr", own}
        points.append(point)
        # GMP is better, with an early ramp.
        loss = float(point[own]) if is_gmp else 1.0
        done = to_optuna_trial(cell, point, loss)
        assert done is not None
        told.add_trial(done)
    chosen = [point for point in points[7:] if point["sparsity.method"] == "gmp"]
    assert len(chosen) >= 7
    assert min(float(point["sparsity.ramp.start"]) for point in chosen) < 0.01


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1.0), ("maximize", -1.0)])
def test_of_very_many_configurations_the_best_are_told_and_some_of_the_others(
    direction: str, sign: float
) -> None:
    goal = StudyDirection.MINIMIZE if direction == "minimize" else StudyDirection.MAXIMIZE
    finished = [optuna.trial.create_trial(value=sign * (999 - rank)) for rank in range(1000)]
    running = optuna.trial.create_trial(state=TrialState.RUNNING)
    few = [*finished[:MAX_TOLD], running]
    assert thin_out(few, goal) == few
    told = thin_out([*finished, running], goal)
    losses = [sign * trial.value for trial in told[:-1] if trial.value is not None]
    assert told[-1] is running
    # The best hundred, and every ninth of the other 900.
    assert sorted(losses) == [*range(100), *range(100, 1000, 9)]
    assert losses == sorted(losses, reverse=True)  # in the order in which they were tried
