"""What may be added to a study that has started: names stay, everything wrong is said at once."""

from __future__ import annotations

from typing import Any

import pytest

from sparsetune import (
    ArmsDiffer,
    ExtensionGain,
    Remaining,
    RetuningGain,
    UnderTrained,
)
from sparsetune.errors import DeclarationError
from sparsetune.launch.extension import Extension
from sparsetune.storage.records import Record
from sparsetune.study import Arm, Study
from sparsetune.study.space import LogUniform
from tests.ledger_records import plain, records

GMP = Arm({"sparsity.method": "gmp"})
SR_STE = Arm(
    {"sparsity.method": "sr_ste", "sparsity.pattern": "2:4"}, sweep={"sparsity.target": [0.5]}
)


def study(**fields: Any) -> Study:
    declared = Study(**{
        "name": "s", "arms": {"gmp": GMP, "sr_ste": SR_STE},
        "sweep": {"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]},
        "search": {"optim.lr": LogUniform(0.01, 1)}, **fields,
    })  # fmt: skip
    assert declared.validate_declaration() == []
    return declared


def faults(declared: Study, **asked: Any) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        Extension(**asked).record(declared, [])
    assert f"in what is to be added to study `{declared.name}`:" in str(caught.value)
    return [str(problem) for problem in caught.value.problems]


def failed(trial: str, status: str = "FAILED") -> list[Record]:
    return records(
        [
            {
                "type": "proposed",
                "trial_id": trial,
                "role": "search",
                "cell": "dense/epoch_multiplier=1",
            },
            {"type": "started", "trial_id": trial, "attempt": 1, "resumed_from_step": 0},
            {"type": "ended", "trial_id": trial, "attempt": 1, "status": status},
        ]
    )


def test_the_record_says_what_is_added_and_nothing_else() -> None:
    asked = Extension(2, 4, {"sparsity.target": [0.97]}, retry_failed=True)
    before = [*failed("a"), *failed("b", "DIVERGED"), *failed("c", "INVALID"), *failed("d")]
    record = asked.record(study(), before)
    assert record
    line = plain(record)
    assert line.pop("time") > 0
    assert line == {
        "type": "extended", "report_seeds": 2, "configurations_per_cell": 4,
        "sweep": {"sparsity.target": [0.97]}, "retried": ["a", "d"],
    }  # fmt: skip
    assert Extension(retry_failed=True).record(study(), failed("b", "DIVERGED")) is None
    assert Extension().record(study(), before) is None


def test_new_cells_appear_and_all_others_stay_as_they_are() -> None:
    record = Extension(sweep={"sparsity.target": [0.97], "schedule.epoch_multiplier": [4]}).record(
        study(), []
    )
    assert record
    before, after = (
        {cell.name: cell for cell in s.cells()} for s in (study(), study().extended([record]))
    )
    assert {name: after[name] for name in before} == before
    assert sorted(after.keys() - before.keys()) == [
        "dense/epoch_multiplier=4",
        "gmp/target=0.9/epoch_multiplier=4",
        "gmp/target=0.97/epoch_multiplier=1",
        "gmp/target=0.97/epoch_multiplier=2",
        "gmp/target=0.97/epoch_multiplier=4",
        "sr_ste/target=0.5/epoch_multiplier=4",
    ]


def test_an_arms_own_axis_is_named_with_its_arm() -> None:
    arm = Arm({"sparsity.method": "gmp"}, sweep={"optim.momentum": [0.9]})
    record = Extension(sweep={"arms.gmp.sweep.optim.momentum": [0]}).record(
        study(arms={"gmp": arm}), []
    )
    assert record
    extended = study(arms={"gmp": arm}).extended([record])
    assert (extended.arms["gmp"].sweep, extended.sweep) == (
        {"optim.momentum": (0.9, 0)},
        study().sweep,
    )


def test_an_extension_is_judged_over_those_before_it() -> None:
    first = Extension(sweep={"sparsity.target": [0.97]}).record(study(), [])
    assert first
    with pytest.raises(
        DeclarationError, match=r"swept already are \[0, 0.9, 0.97\]; .* got \[0.97\]"
    ):
        Extension(sweep={"sparsity.target": [0.97]}).record(study(), [first])
    second = Extension(sweep={"sparsity.target": [0.99]}, report_seeds=1).record(study(), [first])
    assert second
    extended = study().extended([first, second])
    assert (extended.sweep["sparsity.target"], extended.report_seeds) == ((0, 0.9, 0.97, 0.99), 4)


def test_everything_wrong_is_said_at_once() -> None:
    sweep = {
        "sparsity.target": [0.9, 1.5],
        "sparsity.targte": [0.5],
        "schedule.epoch_multiplier": ["long"],
        "arms.sr_ste.sweep.sparsity.target": [0.75],
    }
    assert faults(study(search={}), sweep=sweep, configurations_per_cell=1) == [
        "`arms.sr_ste.sweep.sparsity.target`: the pattern 2:4 has the sparsity 1 - 2/4: 0.5 would"
        " do, got 0.75",
        "`configurations_per_cell`: the study searches nothing, so that it has none to add",
        "`sparsity.target`: swept already are [0, 0.9]; give values that are not, got [0.9]",
        "`sparsity.targte`: this is no sweep axis of the study; declared are `sparsity.target`,"
        " `schedule.epoch_multiplier`, `arms.sr_ste.sweep.sparsity.target`",
        "`sweep.schedule.epoch_multiplier`: must be a valid number,"
        " unable to parse string as a number, got 'long'",
        "`sweep.sparsity.target`: must be less than 1, got 1.5",
    ]


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([0.97, 0.97], "`sweep.sparsity.target`: the values of a sweep axis must differ"),
        ([[0.97]], "`sweep.sparsity.target"),
        ([float("nan")], "`sweep.sparsity.target"),
    ],
)
def test_values_that_cannot_be(values: list[Any], fault: str) -> None:
    assert any(
        problem.startswith(fault) for problem in faults(study(), sweep={"sparsity.target": values})
    )


def test_an_extension_that_would_rename_cells_is_refused() -> None:
    """Only `acdc` has a dense cell, named `dense`; with one of its own, `gmp` would take that
    name.
    """
    arms = {
        "gmp": Arm({"sparsity.method": "gmp"}, sweep={"sparsity.target": [0.9]}),
        "acdc": Arm(
            {"sparsity.method": "acdc", "optim.name": "adamw"}, sweep={"sparsity.target": [0, 0.9]}
        ),
    }
    declared = study(arms=arms, sweep={})
    (problem,) = faults(declared, sweep={"arms.gmp.sweep.sparsity.target": [0]})
    assert (
        "would give existing cells other names, and so lose their trials;"
        " start a new study, got `dense`" in problem
    )


def test_an_axis_that_every_arm_replaces_opens_no_cell() -> None:
    declared = study(arms={"sr_ste": SR_STE})
    assert faults(declared, sweep={"sparsity.target": [0.7]}) == [
        "`sweep`: these values open no new cell"
    ]


def test_questions_are_recorded_in_full_and_once() -> None:
    asked = Extension(asked=[RetuningGain(), ExtensionGain("gmp", times=2)])
    record = asked.record(study(), [])
    assert record
    line = plain(record)
    assert line.pop("time") > 0
    assert line == {
        "type": "extended",
        "asked": [
            {"kind": "retuning", "arm": "gmp", "margin": 0.002},
            {"kind": "retuning", "arm": "sr_ste", "margin": 0.002},
            {"kind": "extension", "arm": "gmp", "margin": 0.002, "times": 2.0},
        ],
    }
    assert asked.record(study(), [record]) is None
    again = Extension(asked=[RetuningGain("gmp"), Remaining("gmp")]).record(study(), [record])
    assert again is not None
    assert [question["kind"] for question in again.asked] == ["remaining"]


def test_a_question_may_be_about_lengths_that_are_added_with_it() -> None:
    asked = [ExtensionGain("gmp", times=4)]
    assert faults(study(), asked=asked) == [
        "`ask.0.times`: must be how many times longer than 4 epochs the arm trains: 2, got 4"
    ]
    record = Extension(sweep={"schedule.epoch_multiplier": [4]}, asked=asked).record(study(), [])
    assert record is not None
    assert record.asked[0]["times"] == 4
    assert faults(study(), asked=[UnderTrained("acdc"), ArmsDiffer("gmp", "gmp")]) == [
        "`ask.0.arm`: must be an arm of the study: dense, gmp, sr_ste, got 'acdc'",
        "`ask.1.other`: must differ from `arm`, got 'gmp'",
    ]
