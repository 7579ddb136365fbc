"""`status` reads a study from its directory alone, also while another process runs it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sparsetune.errors import StudyDirectoryError
from sparsetune.ledger import Ledger
from sparsetune.store import StudyDirectory
from sparsetune.study import Study
from sparsetune.tune.status import show, status

HOLD = """
import sys
from sparsetune.store import StudyDirectory
with StudyDirectory(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(directory: StudyDirectory) -> Iterator[int]:
    """Another process drives the study; its id."""
    command = [sys.executable, "-c", HOLD, str(directory.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        yield holder.pid
        holder.communicate()


def test_a_study_that_nobody_runs(half_done: StudyDirectory) -> None:
    facts = status(half_done.path)
    errors = facts.pop("errors")
    cells = facts.pop("cells")
    assert facts == {
        "study": "half",
        "directory": str(half_done.path),
        "driver": None,
        "trials": {"COMPLETE": 1, "DIVERGED": 1, "RUNNING": 1, "FAILED": 1},
        "expected": 8,
        "progress": 140 / 960,
        "seconds_left": None,
    }
    assert [(error["status"], error["error"]) for error in errors] == [
        ("DIVERGED", "loss is nan [at] 30"),
        ("FAILED", "worker lost"),
    ]
    assert len(cells) == 4


def test_a_running_study_names_its_driver_and_the_time_left(half_done: StudyDirectory) -> None:
    with held(half_done) as pid:
        facts = status(half_done.path)
        assert facts["driver"].startswith(f"pid {pid} on ")
        # 7 epochs since the launch at 1000 seconds, 41 to go.
        assert facts["seconds_left"] == pytest.approx(820 * (time.time() - 1000) / 140, rel=1e-3)
    assert status(half_done.path)["driver"] is None


def test_a_driver_that_has_only_just_begun(tmp_path: Path) -> None:
    directory = StudyDirectory(tmp_path / "new")
    directory.create(Study(name="new"))
    with held(directory):
        facts = status(directory.path)
    assert (facts["trials"], facts["progress"], facts["seconds_left"]) == ({}, 0, None)


def test_reading_writes_nothing(half_done: StudyDirectory) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in half_done.path.rglob("*") if path.is_file()}

    before = files()
    status(half_done.path)
    assert files() == before


def test_what_a_person_sees(half_done: StudyDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    show(half_done.path)
    lines = capsys.readouterr().out.splitlines()
    assert "".join(lines).startswith("half, not running")
    assert "1 complete, 1 diverged, 1 failed, 1 running; 8 expected; 15 % of all epochs done" in lines
    assert any("DIVERGED" in line and "loss is nan [at] 30" in line for line in lines)


def test_extensions_count(half_done: StudyDirectory) -> None:
    with closing(Ledger(half_done.ledger)) as ledger:
        ledger.append({"type": "extended", "report_seeds": 1})
    assert status(half_done.path)["expected"] == 12


def test_what_is_not_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyDirectoryError, match="is not a study directory"):
        status(tmp_path)
    assert list(tmp_path.iterdir()) == []
