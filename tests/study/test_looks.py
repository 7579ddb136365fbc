"""Report seeds that double until answers are settled, as a study declares them."""

from __future__ import annotations

from typing import Any

import pytest

from sparsetune import BestValueMoves, Remaining, UnderTrained
from sparsetune.storage.records import Extended, Granted
from sparsetune.study import Arm, Study
from sparsetune.study.additions import granted_seeds, reached_look
from sparsetune.study.space import LogUniform


def study(**fields: Any) -> Study:
    """GMP and the dense network at two lengths."""
    declared = {
        "name": "looks",
        "arms": {"gmp": Arm({"sparsity.method": "gmp"})},
        "sweep": {"sparsity.target": [0, 0.9], "schedule.epoch_multiplier": [1, 2]},
        "questions": [UnderTrained("gmp")],
    }
    return Study(**{**declared, **fields})


def problems(**fields: Any) -> list[str]:
    """Problems of a study with these fields."""
    return [str(problem) for problem in study(**fields).problems()]


@pytest.mark.parametrize(
    ("first", "most", "looks"),
    [(3, None, (3,)), (3, 6, (3, 6)), (3, 12, (3, 6, 12)), (2, 32, (2, 4, 8, 16, 32))],
)
def test_looks_double_the_seeds(first: int, most: int | None, looks: tuple[int, ...]) -> None:
    declared = study(report_seeds=first, until_settled=most)
    assert declared.validate_declaration() == []
    assert declared.looks() == looks


@pytest.mark.parametrize("most", [-3, 2, 3, 5, 10, 96])
def test_seeds_that_do_not_double_are_refused_with_those_that_would_do(most: int) -> None:
    assert problems(until_settled=most) == [
        "`until_settled`: must be `report_seeds` doubled one to 4 times; from 3 these are 6, 12,"
        f" 24, 48, got {most}"
    ]


def test_one_seed_settles_nothing() -> None:
    assert problems(report_seeds=1, until_settled=4) == [
        "`until_settled`: needs at least 2 `report_seeds`, since one seed settles no answer; raise"
        " `report_seeds`, or leave this out, got 1 report seed"
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"questions": [Remaining("gmp")]},
        {"questions": [], "sweep": {}, "arms": {}},
        {
            "questions": [BestValueMoves("gmp", "optim.lr", margin=0.1)],
            "search": {"optim.lr": LogUniform(0.01, 1)},
        },
    ],
    ids=["an estimate", "nothing to ask", "search seeds"],
)
def test_a_question_that_seeds_can_answer_is_needed(fields: dict[str, Any]) -> None:
    assert problems(**fields, until_settled=12) == [
        "`until_settled`: needs a question that report seeds can answer with yes or no, such as"
        " `UnderTrained` or `RetuningGain`; ask one, or leave this out"
    ]


def test_what_is_no_number_is_refused_once() -> None:
    (problem,) = problems(until_settled="many")
    assert problem.startswith("`until_settled`: must be a valid integer")


def test_a_study_without_looks_keeps_its_digest() -> None:
    # As it was before the field came.
    assert study().digest() == study(until_settled=None).digest() == "b579447e684c"
    assert study(until_settled=12).digest() != "b579447e684c"


def test_the_quick_form_has_one_look() -> None:
    assert study(until_settled=12).quick().looks() == (2,)


def test_seeds_that_are_added_end_the_looks() -> None:
    declared = study(until_settled=12)
    assert declared.extended([Extended(report_seeds=2)]).looks() == (5,)
    assert declared.extended([Extended(configurations_per_cell=2)]).looks() == (3, 6, 12)


def test_grants_add_up_by_cell() -> None:
    records = [
        Granted(look=2, report_seeds=3, cells=["dense", "gmp"]),
        Extended(report_seeds=1),
        Granted(look=3, report_seeds=6, cells=["gmp"]),
    ]
    assert granted_seeds(records) == {"dense": 3, "gmp": 9}
    assert reached_look(records) == 3
    assert (granted_seeds([]), reached_look([])) == ({}, 1)
    assert study().seeds("report", 3) == [1000, 1001, 1002, 1003, 1004, 1005]
    assert "3 to 12 of report" in study(until_settled=12)._repr_html_()
