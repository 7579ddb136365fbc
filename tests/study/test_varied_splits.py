"""Splits that vary with the seed: equal for trials of one seed, other ones for others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import analysis
from sparsetune.errors import DeclarationError
from sparsetune.search.planner import build_planner
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.task import DigitsTask
from sparsetune.spec.trial import DistillSpec
from sparsetune.study import Arm, Study
from sparsetune.tasks.kinds import load_task
from sparsetune.train import train
from sparsetune.train.rows import Row
from tests.analysis.simulation import Simulation

VARY = DigitsTask(split_seed="vary")
SPEC = TrialSpec(task=VARY, schedule=ScheduleSpec(epochs=1))
STUDY = Study(
    name="varied",
    base=SPEC,
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.5]},
    report_seeds=3,
)


def rows_of(spec: TrialSpec) -> tuple[list[Row], dict[str, float]]:
    rows: list[Row] = []
    test = train(spec, report=rows.append, read_test=True).test
    return [{name: one[name] for name in one if name != "seconds"} for one in rows], test


def test_a_trial_has_the_split_of_its_seed() -> None:
    assert SPEC.with_seed(7).task_of_seed() == DigitsTask(split_seed=7)
    assert SPEC.with_seed(2**32 + 7).task_of_seed() == DigitsTask(split_seed=7)
    fixed = TrialSpec(task=DigitsTask(split_seed=3), seed=7)
    assert fixed.task_of_seed() is fixed.task
    by_number = SPEC.edited({"task.split_seed": 7}).with_seed(7)
    assert rows_of(SPEC.with_seed(7)) == rows_of(by_number)
    other = SPEC.edited({"task.split_seed": 8}).with_seed(7)
    assert rows_of(other) != rows_of(by_number)


def test_validation_differs_by_seed_and_the_test_set_does_not() -> None:
    first, second = (load_task(SPEC.with_seed(seed).task_of_seed()).splits for seed in (1, 2))
    indices = [
        set(map(tuple, one.validation.inputs.flatten(1).tolist())) for one in (first, second)
    ]  # type: ignore[attr-defined]
    assert indices[0] != indices[1]
    assert (first.test.inputs == second.test.inputs).all()  # type: ignore[attr-defined]


def test_ids_of_fixed_splits_stay_and_a_varied_one_is_one_configuration() -> None:
    fixed = TrialSpec(schedule=ScheduleSpec(epochs=1))
    assert fixed.trial_id() == fixed.edited({"task.split_seed": 0}).trial_id()
    assert SPEC.trial_id() != fixed.trial_id()
    assert SPEC.with_seed(1).config_id() == SPEC.with_seed(2).config_id()
    assert TrialSpec.model_validate(SPEC.given()) == SPEC


def test_a_twin_has_the_split_of_its_sparse_network() -> None:
    planner = build_planner(STUDY, {})
    plan = planner.plans["gmp/target=0.5"]
    pairs = 0
    while use := planner.next()[0]:
        if use.role != "report" or use.plan is not plan:
            continue
        _, spec = use.configuration.trial(use.seed)
        assert spec.task_of_seed() == spec.dense().task_of_seed()
        assert spec.task_of_seed().split_seed == use.seed
        assert use.record().twin_id == spec.dense().trial_id()
        pairs += 1
    assert pairs == 3


@pytest.mark.parametrize("split", [-1, 0.5, "seed", None, float("nan"), 2**60, [1]])
def test_other_splits_are_refused(split: Any) -> None:
    (problem,) = TrialSpec(task=DigitsTask(split_seed=split)).problems()
    assert problem.path == "task.split_seed"
    assert "must be a whole number from 0 to" in problem.rule and "or 'vary'" in problem.rule


def test_a_teacher_has_the_split_of_its_students() -> None:
    taught = TrialSpec(task=VARY, distill=DistillSpec(hardness=1, teacher=SPEC))
    with pytest.raises(DeclarationError, match=r"got another `task\.split_seed`"):
        taught.checked()


def test_curves_say_so(tmp_path: Path) -> None:
    note = "means over 3 seeds and splits"
    results = analysis.load(Simulation(STUDY, tmp_path / "varied").run())
    assert note in analysis.sparsity_curve(results).note()
    assert "SPT011" not in set(analysis.checks(results)["code"])
    fixed = STUDY.with_changes(base=STUDY.base.edited({"task.split_seed": 0}))
    results = analysis.load(Simulation(fixed, tmp_path / "fixed").run())
    assert note not in analysis.sparsity_curve(results).note()
