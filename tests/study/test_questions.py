"""Questions of a study: what is declared, what follows from the axes, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import sparsetune
from sparsetune import (
    ArmsDiffer,
    BestValueMoves,
    DeclarationError,
    ExtensionGain,
    Remaining,
    RetuningGain,
    UnderTrained,
    default_questions,
)
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.task import CustomTask
from sparsetune.study import Arm, Quick, Study
from sparsetune.study.questions.contrasts import Term, plan_contrasts
from sparsetune.study.questions.defaults import asked_questions
from sparsetune.study.questions.names import parse_question, question_name
from sparsetune.study.questions.points import base_epochs, study_points
from sparsetune.study.questions.words import question_text
from sparsetune.study.space import Choice, LogUniform
from tests.analysis.exact import TWO_ARMS

SEARCHED = Study(
    name="searched",
    base=TrialSpec(schedule=ScheduleSpec(epochs=8)),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9, 0.98], "schedule.epoch_multiplier": [1, 2]},
    search={"optim.lr": LogUniform(0.01, 1.0), "optim.nesterov": Choice([False, True])},
)


def rules(study: Study) -> list[tuple[str, str]]:
    """Path and rule of every problem of a study's questions."""
    return [
        (problem.path, problem.rule)
        for problem in study.problems()
        if problem.path.startswith("questions")
    ]


def names(study: Study) -> list[str]:
    return [question_name(question) for question in asked_questions(study)]


def terms(study: Study, question: Any) -> list[list[tuple[str, int, str]]]:
    """Terms of a question's contrasts, as cell, sign and kind of runs."""
    planned = plan_contrasts(question, study_points(study), base_epochs(study))
    return [[(term.cell, term.sign, term.runs) for term in each.terms] for each in planned]


def test_defaults_follow_from_the_axes() -> None:
    assert names(TWO_ARMS) == [
        "extension:gmp:times=4",
        "extension:acdc:times=4",
        "under-trained:gmp:times=4",
        "under-trained:acdc:times=4",
        "arms-differ:acdc:other=gmp,sparsity=0.98",
        "remaining:gmp",
        "remaining:acdc",
    ]
    assert names(SEARCHED) == [
        "extension:gmp:times=2",
        "under-trained:gmp:times=2",
        "retuning:gmp",
        "remaining:gmp",
    ]
    assert default_questions(TWO_ARMS) == asked_questions(TWO_ARMS)
    dense = Study(name="dense")
    assert default_questions(dense) == ()


def test_questions_in_full_have_arm_margin_and_length() -> None:
    (gmp, acdc) = asked_questions(TWO_ARMS.with_changes(questions=[UnderTrained()]))
    assert gmp == UnderTrained("gmp", margin=0.002, times=4)
    assert acdc == UnderTrained("acdc", margin=0.002, times=4)
    study = TWO_ARMS.with_changes(questions=[ArmsDiffer(margin=0.01)])
    assert asked_questions(study) == (ArmsDiffer("acdc", "gmp", sparsity=0.98, margin=0.01),)


def test_questions_change_no_digest_and_are_stored() -> None:
    asking = TWO_ARMS.with_changes(questions=[RetuningGain("gmp"), Remaining()])
    assert asking.digest() == TWO_ARMS.digest()
    stored = Study.model_validate(asking.given())
    assert stored.questions == (RetuningGain("gmp"), Remaining())
    assert "questions" not in TWO_ARMS.given()


def test_a_contrast_adds_and_subtracts_the_cells_that_the_question_compares() -> None:
    short, long = "epoch_multiplier=1", "epoch_multiplier=4"
    assert terms(TWO_ARMS, ExtensionGain("gmp"))[0] == [
        (f"gmp/target=0.98/{long}", 1, "winner"),
        (f"gmp/target=0.98/{short}", -1, "winner"),
        (f"dense/{long}", -1, "winner"),
        (f"dense/{short}", 1, "winner"),
    ]
    assert [each[0][0] for each in terms(TWO_ARMS, UnderTrained("acdc"))] == [
        f"acdc/target=0.98/{long}",
        f"acdc/target=0.95/{long}",
    ]
    assert terms(TWO_ARMS, UnderTrained("dense")) == [
        [(f"dense/{long}", 1, "winner"), (f"dense/{short}", -1, "winner")]
    ]
    assert terms(TWO_ARMS, ArmsDiffer("gmp", "acdc", sparsity=0.95)) == [
        [
            (f"gmp/target=0.95/{long}", 1, "winner"),
            (f"acdc/target=0.95/{long}", -1, "winner"),
        ]
    ]
    # The dense recipe is compared at the base length.
    assert terms(SEARCHED, RetuningGain("gmp"))[0] == [
        ("gmp/target=0.98/epoch_multiplier=1", 1, "winner"),
        ("gmp/target=0.98/epoch_multiplier=1", -1, "control"),
    ]
    assert terms(SEARCHED, BestValueMoves("gmp", "optim.lr", margin=0.3)) == [
        [
            ("gmp/target=0.98/epoch_multiplier=1", 1, "winner"),
            ("dense/epoch_multiplier=1", -1, "winner"),
        ]
    ]


def test_the_gain_of_dense_is_that_of_the_twins_where_no_dense_cell_is_swept() -> None:
    study = TWO_ARMS.with_changes(
        sweep={"sparsity.target": [0.98], "schedule.epoch_multiplier": [1, 4]}
    )
    own = terms(study, ExtensionGain("gmp"))[0]
    assert own[2:] == [
        ("gmp/target=0.98/epoch_multiplier=4", -1, "twin"),
        ("gmp/target=0.98/epoch_multiplier=1", 1, "twin"),
    ]


@pytest.mark.parametrize(
    ("multipliers", "base"), [([1, 2, 4], 8), ([0.5, 1, 2], 8), ([0.25, 0.5, 1], 2)]
)
def test_the_base_length_is_the_bases_where_something_longer_is_swept(
    multipliers: list[float], base: float
) -> None:
    study = TWO_ARMS.with_changes(
        sweep={"sparsity.target": [0, 0.98], "schedule.epoch_multiplier": multipliers}
    )
    (planned,) = plan_contrasts(UnderTrained("gmp"), study_points(study), base_epochs(study))
    assert planned.base is not None
    assert planned.base.epochs == base
    assert planned.at.epochs == 8 * multipliers[-1]


@pytest.mark.parametrize("times", [None, 1.33333333, 1.33333])
def test_lengths_whose_quotient_has_no_end_are_compared(times: float | None) -> None:
    study = SEARCHED.with_changes(
        sweep={"sparsity.target": [0.9], "schedule.epoch_multiplier": [1.5, 2]},
        questions=[UnderTrained("gmp", times=times)],
    )
    assert study.problems() == []
    (question,) = asked_questions(study)
    (contrast,) = terms(study, question)
    assert [sign for _, sign, _ in contrast] == [1, -1]
    (question,) = asked_questions(study.with_changes(questions=[question]))
    assert terms(study, question) == [contrast], "as a directory has it"


def test_the_primary_contrast_is_the_highest_sparsity_and_there_is_one() -> None:
    planned = plan_contrasts(ExtensionGain("gmp"), study_points(TWO_ARMS), 8)
    assert [(each.at.sparsity, each.is_primary) for each in planned] == [
        (0.98, True),
        (0.95, False),
    ]


@pytest.mark.parametrize(
    ("question", "path", "rule"),
    [
        (UnderTrained("gpm"), "questions.0.arm", "must be an arm of the study: dense, gmp"),
        (UnderTrained(margin=0), "questions.0.margin", "must be greater than 0"),
        (UnderTrained("gmp", margin=-1), "questions.0.margin", "must be greater than 0"),
        (ExtensionGain(times=3), "questions.0.times", "longer than 8 epochs the arm trains: 2"),
        (ExtensionGain("dense"), "questions.0", "this arm is dense"),
        (ArmsDiffer(), "questions.0", "compares two sparse arms, and the study has fewer"),
        (ArmsDiffer("gmp", "gmp"), "questions.0.other", "must differ from `arm`"),
        (
            BestValueMoves("gmp", "optim.nesterov", margin=0.1),
            "questions.0.field",
            "must be searched in a range of numbers; such are optim.lr",
        ),
        (BestValueMoves("gmp", "optim.lr"), "questions.0.margin", "must be given"),  # type: ignore[call-arg]
    ],
)
def test_what_no_cell_can_answer_is_refused(question: Any, path: str, rule: str) -> None:
    found = rules(SEARCHED.with_changes(questions=[question]))
    assert [where for where, _ in found] == [path]
    assert rule in found[0][1]


def test_axes_that_are_not_there_are_named_all_at_once() -> None:
    study = Study(
        name="short",
        arms={"gmp": Arm({"sparsity.method": "gmp"}), "acdc": Arm({"sparsity.method": "acdc"})},
        sweep={"sparsity.target": [0, 0.9]},
        questions=[
            UnderTrained("gmp"),
            RetuningGain("gmp"),
            ArmsDiffer("gmp", "acdc", sparsity=0.5),
            Remaining("nobody"),
            Remaining("gmp"),
            Remaining(),
        ],
    )
    found = dict(rules(study))
    assert list(found) == [
        "questions.0",
        "questions.1",
        "questions.2.sparsity",
        "questions.3.arm",
        "questions.5",
    ]
    assert "sweep `schedule.epoch_multiplier` or `schedule.epochs`" in found["questions.0"]
    assert "needs a search" in found["questions.1"]
    assert "asked by another question already" in found["questions.5"]


def test_a_margin_must_be_given_where_the_score_is_no_fraction() -> None:
    task = CustomTask(data="mine:data", model="mine:net", loss="mse", metrics=("r2",))
    study = TWO_ARMS.with_changes(
        base=TrialSpec(task=task, schedule=ScheduleSpec(epochs=8)), questions=[UnderTrained("gmp")]
    )
    assert [path for path, _ in rules(study)] == ["questions.0.margin"]
    assert rules(study.with_changes(questions=[UnderTrained("gmp", margin=0.1)])) == []
    assert rules(study.with_changes(questions=[Remaining()])) == []
    # By default nothing is refused: there is no margin, and so no answer that says no effect.
    default = study.with_changes(questions=())
    margins = {getattr(question, "margin", None) for question in asked_questions(default)}
    assert margins == {None}


def test_a_quick_form_and_a_pinned_axis_leave_out_what_they_cannot_answer() -> None:
    study = TWO_ARMS.with_changes(
        questions=[ExtensionGain("gmp"), Remaining("gmp")],
        quick_form=Quick(sweep={"schedule.epoch_multiplier": [1]}),
    )
    assert study.problems() == []
    for changed in (study.quick(), study.pinned({"schedule.epoch_multiplier": 1})):
        assert changed.questions == (Remaining("gmp"),)
        assert changed.problems() == []


@pytest.mark.parametrize(
    ("question", "name"),
    [
        (UnderTrained("gmp"), "under-trained:gmp"),
        (ExtensionGain("gmp", times=4), "extension:gmp:times=4"),
        (RetuningGain(), "retuning"),
        (ArmsDiffer("gmp", "acdc", sparsity=0.98), "arms-differ:gmp:other=acdc,sparsity=0.98"),
        (Remaining("gmp"), "remaining:gmp"),
    ],
)
def test_a_name_is_read_back(question: Any, name: str) -> None:
    assert question_name(question) == name
    assert parse_question(name) == question


def test_a_margin_is_read_and_is_no_part_of_a_name() -> None:
    moves = BestValueMoves("gmp", "optim.lr", margin=0.3, along="length")
    assert question_name(moves) == "best-value:gmp:field=optim.lr,along=length"
    assert parse_question("best-value:gmp:field=optim.lr,along=length,margin=0.3") == moves


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tuning:gmp", "begins with its kind, one of under-trained, extension, retuning"),
        ("extension:gmp:4", "is written KIND, KIND:ARM or KIND:ARM:field=value"),
        ("extension:gmp:times=fast", "`ask.times`"),
        ("extension:gmp:factor=2", "unknown field; valid are"),
        ("retuning:gmp:margin=0", "`ask.margin`"),
        ("best-value:gmp:field=optim.lr", "`ask.margin`: must be given"),
    ],
)
def test_a_text_that_is_no_question_is_refused(text: str, message: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        parse_question(text)
    assert message in str(caught.value)


def test_every_question_is_said_in_words() -> None:
    planned = {
        question: plan_contrasts(question, study_points(study), 8)
        for study in (SEARCHED, TWO_ARMS)
        for question in asked_questions(study)
    }
    texts = [question_text(question, contrasts) for question, contrasts in planned.items()]
    assert texts[:4] == [
        "Does GMP gain more from twice the training than the dense network does?",
        "Is GMP under-trained after 8 epochs?",
        "Does re-tuning GMP gain over the dense recipe?",
        "What does GMP score at each sparsity?",
    ]
    assert "Do AC/DC and GMP differ at 98 % sparsity?" in texts
    moves = BestValueMoves("gmp", "optim.lr", margin=0.3)
    contrasts = plan_contrasts(moves, study_points(SEARCHED), 8)
    assert question_text(moves, contrasts) == (
        "Does the best learning rate of GMP move with sparsity?"
    )


def test_the_questions_are_public_names() -> None:
    for name in ("ArmsDiffer", "BestValueMoves", "ExtensionGain", "Remaining", "RetuningGain"):
        assert name in sparsetune.__all__
    assert Term("dense", 1).runs == "winner"
