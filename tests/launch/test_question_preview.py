"""What a preview says of a study's questions: the family, its power, and margins out of reach."""

from __future__ import annotations

import pytest

from sparsetune import Remaining, UnderTrained
from sparsetune.answers import power
from sparsetune.launch.preview import preview_study, print_preview
from sparsetune.launch.question_preview import question_facts, question_lines
from sparsetune.spec import ScheduleSpec, TrialSpec
from sparsetune.spec.task import CustomTask, ImageTask
from sparsetune.study import Study
from tests.analysis.exact import TWO_ARMS


def test_the_family_is_every_contrast_of_every_question() -> None:
    facts = preview_study(TWO_ARMS)["questions"]
    assert [question["contrasts"] for question in facts["asked"]] == [2, 2, 2, 2, 1, 0, 0]
    assert facts["family"] == 9
    assert facts["asked"][0]["text"].startswith("Does GMP gain more from 4 times the training")
    assert [question["margin"] for question in facts["asked"]] == [0.002] * 5 + [None] * 2


def test_power_is_that_of_the_first_primary_contrast() -> None:
    rows = question_facts(TWO_ARMS)["power"]
    assert [(row["sd"], row["n"], row["gain"]) for row in rows[:4]] == [
        (0.002, 3, 0.005),
        (0.002, 3, 0.01),
        (0.002, 3, 0.02),
        (0.002, 5, 0.005),
    ]
    assert len(rows) == 12
    # A fifth of the level of the first look, and half of that for the primary contrast.
    level = 0.05 * 0.6079271 / 5 / 2
    # GMP at 98 % has two contrasts, which share their spread: 2 * 2 * 4 / (2 + 3) = 3.2.
    expected = power(3, 0.002, 0.01, level, 1, df=3.2)
    assert rows[1]["power"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("examples", "is_noted"), [(360, True), (10_000, True)])
def test_a_margin_that_the_test_set_cannot_show_is_noted(examples: int, is_noted: bool) -> None:
    base = TWO_ARMS.base
    if examples == 10_000:
        base = TrialSpec(task=ImageTask(), schedule=ScheduleSpec(epochs=8))
    (note,) = question_facts(TWO_ARMS.with_changes(base=base))["notes"]
    assert note.startswith("No answer can say that an effect is below 0.2 points:")
    assert f"{examples:,} test examples" in note
    wide = TWO_ARMS.with_changes(base=base, questions=[UnderTrained(margin=0.05), Remaining()])
    assert question_facts(wide)["notes"] == []


def test_a_score_that_is_no_fraction_has_no_points() -> None:
    task = CustomTask(data="mine:data", model="mine:net", loss="mse", metrics=("r2",))
    study = TWO_ARMS.with_changes(base=TrialSpec(task=task, schedule=ScheduleSpec(epochs=8)))
    facts = question_facts(study)
    assert facts["family"] == 9
    assert (facts["power"], facts["notes"]) == ([], [])
    assert not any("points" in line for line in question_lines(facts))


def test_the_text_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_preview(TWO_ARMS)
    shown = capsys.readouterr().out.splitlines()
    start = next(number for number, line in enumerate(shown) if line.startswith("Asks"))
    lines = shown[start:]
    assert lines[0] == "Asks 7 questions; of 9 answers any is wrong in at most 5 % of repetitions:"
    assert "  Do AC/DC and GMP differ at 98 % sparsity? (1 answer)" in lines
    assert "  What does GMP score at each sparsity? (an estimate)" in lines
    table = lines[
        lines.index("Chance that the first answer shows a gain, by its size in points:") :
    ]
    assert table[1].split() == ["seeds", "spread", "0.5", "1", "2"]
    assert table[2].split()[:2] == ["3", "0.2"]
    assert all(len(line) <= 80 for line in table[:6])


def test_a_study_of_dense_networks_alone_asks_nothing() -> None:
    assert list(question_lines(question_facts(Study(name="dense")))) == []


def test_looks_are_told_with_the_power_of_each() -> None:
    facts = question_facts(TWO_ARMS.with_changes(report_seeds=3, until_settled=12))
    assert (
        "3 report seeds each; up to 12 where a question is not settled (looks at 3, 6 and 12)."
        in question_lines(facts)
    )
    assert [row["n"] for row in facts["power"][::3]] == [3, 6, 12] * 2
    # A tenth of what the first stage may spend, of which the second look has 6 of 21 parts.
    expected = power(6, 0.002, 0.005, 0.05 * 0.6079271 / 10 * 6 / 21, 1, df=5 * 1.6)
    assert facts["power"][3]["power"] == pytest.approx(expected, rel=1e-4)
    preview = preview_study(TWO_ARMS.with_changes(report_seeds=3, until_settled=12))
    assert preview["trials_at_most"] == 10 * 12
    assert not any("looks" in line for line in question_lines(question_facts(TWO_ARMS)))
