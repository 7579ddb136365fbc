"""`clean` says what it frees and frees nothing else; `merge` says what it made."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from sparsetune.cli.main import main
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import read_records
from sparsetune.storage.trial_state import fold_records


@pytest.fixture
def study(half_done: StudyDirectory, tmp_path: Path) -> Path:
    """A study with checkpoints of a finished and of an interrupted trial, a model, and links that
    lead out of it.
    """
    folder = Path(str(half_done.path))
    trials = fold_records(read_records(half_done.ledger))
    status = {trial.status: trial_id for trial_id, trial in trials.items()}
    elsewhere = tmp_path / "elsewhere" / "attempt-1"
    elsewhere.mkdir(parents=True)
    for name in ("checkpoint-1.pt", "model.safetensors"):
        (elsewhere / name).write_bytes(b"years of work")
    for one in ("COMPLETE", "RUNNING"):
        attempt = folder / "trials" / status[one] / "attempt-1"
        attempt.mkdir(parents=True)
        (attempt / "checkpoint-20.pt").write_bytes(b"x" * 3000)
        (attempt / "certificate.json").write_text("{}")
        (attempt / "checkpoint-40.pt").symlink_to(elsewhere / "checkpoint-1.pt")
        (attempt.parent / "attempt-2").symlink_to(elsewhere)
    (attempt / "model.safetensors").write_bytes(b"x" * 5000)
    (folder / "trials" / "linked").symlink_to(elsewhere.parent)
    return folder


def large_files(study: Path) -> list[str]:
    found = (study / "trials").glob("*/attempt-1/*")
    own = [path for path in found if path.resolve().is_relative_to(study)]
    return sorted(path.name for path in own if path.suffix != ".json")


def kept(study: Path, tmp_path: Path) -> bool:
    """Whether nothing outside of the study, and no other file in it, was deleted."""
    outside = list((tmp_path / "elsewhere" / "attempt-1").iterdir())
    return len(outside) == 2 and len(list(study.rglob("certificate.json"))) >= 2


def test_nothing_is_deleted_without_a_yes(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # no terminal
    before = large_files(study)
    assert main(["clean", str(study), "--checkpoints", "--models"]) == 0
    said = capsys.readouterr().out
    assert "checkpoints: 6 KiB in 2 files" in said
    assert "models: 5 KiB in 1 file\n" in said
    assert "Unfinished or failed trials that then start from their beginning: 1" in said
    assert "give --yes" in said
    assert main(["clean", str(study), "--models", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["bytes"], facts["deleted"]) == ({"models": 5000}, False)
    assert large_files(study) == before
    assert main(["clean", str(study)]) == 2
    assert "needs --checkpoints, --models or both" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--models"], ["checkpoint-20.pt", "checkpoint-20.pt"]),
        (["--checkpoints"], ["model.safetensors"]),
        (["--checkpoints", "--models"], []),
    ],
)
def test_what_was_asked_for_is_deleted_and_no_link_is_followed(
    study: Path,
    tmp_path: Path,
    options: list[str],
    left: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["clean", str(study), *options, "--yes"]) == 0
    assert "KiB in" in capsys.readouterr().out
    assert large_files(study) == left
    assert kept(study, tmp_path)
    assert main(["clean", str(study), *options, "--yes"]) == 0
    assert "Nothing to delete" in capsys.readouterr().out


@pytest.mark.parametrize(("answer", "count"), [("y\n", 1), ("\n", 3)])
def test_a_person_is_asked(
    study: Path, answer: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert main(["clean", str(study), "--checkpoints"]) == 0
    assert len(large_files(study)) == count


def test_a_study_that_runs_is_left_alone(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = large_files(study)
    with StudyDirectory(study).locked():
        assert main(["clean", str(study), "--checkpoints", "--yes"]) == 2
    assert "is being run by another process" in capsys.readouterr().err
    assert large_files(study) == before
    assert main(["clean", str(tmp_path), "--checkpoints", "--yes"]) == 2
    assert "is not a study directory" in capsys.readouterr().err


def test_merge_says_what_it_made(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["merge", str(study), str(study), "--into", "runs/both"]) == 0
    said = capsys.readouterr().out
    assert "Merged into runs/both: 1 complete, 1 diverged, 1 failed, 1 running" in said
    assert "sparsetune resume runs/both" in said
    assert main(["status", "runs/both"]) == 0
    assert "1 complete, 1 diverged, 1 failed, 1 running" in capsys.readouterr().out
    assert main(["merge", str(study), str(study), "--into", "runs/both"]) == 2
    assert "must be a new folder" in capsys.readouterr().err
