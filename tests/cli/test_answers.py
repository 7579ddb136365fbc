"""The answer at the end of what `status` and `report` print, in 80 columns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sparsetune.cli.main import main
from tests.analysis.exact import TWO_ARMS, Exact, planted
from tests.storage.old_directories import without_questions

LEVELS = {
    (method, target, multiplier): 0.9 + 0.05 * (multiplier > 1 and target > 0)
    for method, targets in {"dense": (0,), "gmp": (0.95, 0.98), "acdc": (0.95, 0.98)}.items()
    for target in targets
    for multiplier in (1, 4)
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A finished study in which longer training gains five points."""
    return Exact(TWO_ARMS, tmp_path / "two-arms", planted(LEVELS)).run()


def test_status_ends_in_the_answer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(home)]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("From 8 to 32"))
    text = " ".join(lines[start:])
    assert text.startswith("From 8 to 32 epochs GMP at 98 % gains")
    assert ": 5.00 points more (interval " in text
    assert "Next: GMP at 98 % may gain beyond 32 epochs." in lines
    assert lines[-1].strip().startswith("sparsetune resume ")
    assert lines[-1].endswith("--add-sweep schedule.epoch_multiplier=8")
    assert all(len(line) <= 80 for line in lines[start:-1])


def test_status_as_json_has_the_answer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(home), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["answer"]
    assert answer["verdict"] == "yes"
    assert len(answer["sentences"]) == 3
    assert answer["question"].startswith("Does longer training help sparse networks")


def test_an_unfinished_study_says_one_thing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Exact(TWO_ARMS, tmp_path / "two-arms", planted(LEVELS)).run(cells=3)
    assert main(["status", str(home), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["answer"]
    (sentence,) = answer["sentences"]
    assert sentence.endswith("is open until the study has finished.")


def test_what_was_asked_after_the_data_is_said_to_be(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_questions(home)
    assert main(["status", str(home)]) == 0
    assert "Asked after the data: whether GMP at 98 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("growth:gmp", "begins with its kind, one of under-trained, extension, retuning"),
        ("extension:gmp:times=three", "`ask.times`"),
    ],
)
def test_a_question_that_is_none_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], question: str, message: str
) -> None:
    assert main(["resume", str(home), "--ask", question]) == 2
    assert message in capsys.readouterr().err
