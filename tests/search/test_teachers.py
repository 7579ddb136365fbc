"""Teachers: run first, once, whatever interrupts; shared by every trial that learns from them."""

from __future__ import annotations

from typing import Any

import pytest

from sparsetune.errors import TeacherError
from sparsetune.spec import DistillSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.columns import Status
from sparsetune.study import Arm, Study
from tests.ledger_records import Plain
from tests.search.test_planner import Simulation, complete, study

TEACHER = TrialSpec(optim=OptimSpec(lr=0.3), schedule=ScheduleSpec(epochs=2), seed=77)


def taught(teacher: TrialSpec = TEACHER, **fields: Any) -> Study:
    """An arm of labels alone, and one that learns from a teacher."""
    pupils = {
        "sparsity.method": "gmp",
        "distill": DistillSpec(hardness=1, temperature=2, teacher=teacher),
    }
    arms = {"gmp": Arm({"sparsity.method": "gmp"}), "taught": Arm(pupils)}
    return study(**{"arms": arms, "sweep": {"sparsity.target": [0, 0.9]}, **fields})


def pupils_of(done: Simulation) -> set[str]:
    return {use.trial_id for use in done.handed_out if use.configuration.spec.distill.teacher}


@pytest.mark.parametrize("slots", [1, 3])
def test_a_teacher_runs_once_and_before_all_that_learn_from_it(slots: int) -> None:
    done = Simulation(taught(), slots=slots).run()
    order = [use.trial_id for use in done.handed_out]
    assert order.count(TEACHER.trial_id()) == 1
    ended = [record["trial_id"] for record in done.records if record["type"] == "ended"]
    started = [record["trial_id"] for record in done.records if record["type"] == "started"]
    taught_after = done.records.index(
        next(
            r for r in done.records if r["type"] == "ended" and r["trial_id"] == TEACHER.trial_id()
        )
    )
    first_pupil = next(
        i
        for i, r in enumerate(done.records)
        if r["type"] == "started" and r["trial_id"] in pupils_of(done)
    )
    assert taught_after < first_pupil
    assert set(ended) == set(started) == set(done.trials)
    assert len(pupils_of(done)) > 8


def test_trials_of_labels_alone_do_not_wait() -> None:
    done = Simulation(taught(), slots=3)
    while done.start():
        pass
    roles = [use.role for use in done.handed_out]
    assert "search" in roles


def test_each_cell_notes_the_teacher_that_it_learns_from() -> None:
    done = Simulation(taught()).run()
    cells = [r["cell"] for r in done.records if r["type"] == "proposed" and r["role"] == "teacher"]
    assert sorted(cells) == sorted(name for name in done.planner.plans if "taught" in name)
    assert set(done.planner.expected_epochs()) == set(done.trials)


@pytest.mark.parametrize("cut", [1, 2, 7, 20])
def test_a_study_that_was_cut_does_not_train_its_teacher_again(cut: int) -> None:
    first = Simulation(taught(), slots=2).run(steps=cut)
    # a driver that dies leaves its running trials unfinished
    second = Simulation(
        taught(), records=[r for r in first.records if r["type"] != "started"], slots=2
    ).run()
    whole = Simulation(taught(), slots=2).run()
    ended = [r["trial_id"] for r in second.records if r["type"] == "ended"]
    assert ended.count(TEACHER.trial_id()) == 1
    assert set(second.trials) == set(whole.trials)


def test_a_teacher_may_be_a_trial_of_the_study_itself() -> None:
    """The dense recipe with a search seed: trained once, for both."""
    teacher = TrialSpec()
    done = Simulation(taught(teacher)).run()
    uses = {
        r["role"]
        for r in done.records
        if r["type"] == "proposed" and r["trial_id"] == teacher.trial_id()
    }
    assert uses == {"search", "teacher"}
    assert [use.trial_id for use in done.handed_out].count(teacher.trial_id()) == 1
    assert teacher.trial_id() in done.planner.teachers


@pytest.mark.parametrize("status", ["DIVERGED", "FAILED"])
def test_a_teacher_that_ends_badly_ends_the_launch_with_one_message(status: Status) -> None:
    def outcome(record: Plain) -> Status:
        return status if record["trial_id"] == TEACHER.trial_id() else complete(record)

    with pytest.raises(
        TeacherError, match=rf"the teacher {TEACHER.trial_id()} of `.*` must end well, got {status}"
    ):
        Simulation(taught(), outcome=outcome).run()


def test_twins_and_controls_learn_as_their_arm_does() -> None:
    done = Simulation(taught()).run()
    for record in done.records:
        if record["type"] == "proposed" and record["role"] in ("twin", "control"):
            spec = TrialSpec.model_validate(record["spec"])
            assert (spec.distill.teacher is not None) == record["cell"].startswith("taught"), (
                record["cell"]
            )


def test_without_hardness_a_cell_has_no_teacher() -> None:
    pupils = {
        "sparsity.method": "gmp",
        "distill": DistillSpec(hardness=1, temperature=2, teacher=TEACHER),
    }
    swept = study(
        arms={"gmp": Arm(pupils)}, sweep={"sparsity.target": [0.9], "distill.hardness": [0, 1]}
    )
    done = Simulation(swept).run()
    plain = [
        r
        for r in done.records
        if r["type"] == "proposed" and "hardness=0" in r["cell"] and r["role"] != "teacher"
    ]
    assert plain and all("distill" not in record["spec"] for record in plain)
    assert [use.trial_id for use in done.handed_out].count(TEACHER.trial_id()) == 1
