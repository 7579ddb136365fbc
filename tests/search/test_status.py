"""`study_status` reads a study from its directory alone, also while another process runs it."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stdout
from pathlib import Path

import pytest

from sparsetune.errors import StudyDirectoryError
from sparsetune.search.planner import build_planner
from sparsetune.search.status import WATCH_SECONDS, load_study_view, print_status, study_status
from sparsetune.spec import TrialSpec
from sparsetune.spec.task import ImageTask
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import Ledger
from sparsetune.storage.records import Extended
from sparsetune.study import Arm, Study
from tests.ledger_records import plain, record

HOLD = """
import sys
from sparsetune.storage import StudyDirectory
with StudyDirectory(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held(directory: StudyDirectory) -> Iterator[int]:
    """Another process drives the study; its id."""
    command = [sys.executable, "-c", HOLD, str(directory.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        yield holder.pid
        holder.communicate()


def test_a_study_that_nobody_runs(half_done: StudyDirectory) -> None:
    facts = study_status(half_done.path)
    errors = facts.pop("errors")
    cells = facts.pop("cells")
    assert facts == {
        "study": "half",
        "directory": str(half_done.path),
        "driver": None,
        "trials": {"COMPLETE": 1, "DIVERGED": 1, "RUNNING": 1, "FAILED": 1},
        "expected": 8,
        "expected_at_most": 8,
        "progress": 18 / 48,
        "trials_per_hour": None,
        "epochs_per_minute": None,
        "seconds_left": None,
        "running": [],
        "retried": 0,
        "retries": [],
        "notices": [],
        "memory": [],
    }
    assert [(error["status"], error["error"]) for error in errors] == [
        ("DIVERGED", "loss is nan [at] 30"),
        ("FAILED", "worker lost"),
    ]
    assert len(cells) == 4


def test_a_running_study_names_its_driver_its_pace_and_the_age_of_reports(
    half_done: StudyDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(half_done) as pid:
        facts = study_status(half_done.path)
        assert facts["driver"].startswith(f"pid {pid} on ")
        # 7 epochs and 3 ends since the first start at 1010 seconds; a pace of all at once is none.
        since = time.time() - 1010
        assert facts["seconds_left"] is None
        assert facts["epochs_per_minute"] == pytest.approx(60 * 7 / since, rel=1e-3)
        assert facts["trials_per_hour"] == pytest.approx(3600 * 3 / since, rel=1e-3)
        # One that never reported would be as old as its start.
        (running,) = facts["running"]
        assert running["cell"] == "gmp/target=0.9/epoch_multiplier=1"
        assert running["attempt"] == 1 and running["progress"] == 0.5
        assert running["age"] == pytest.approx(time.time() - 1040, abs=60)
        print_status(half_done.path)
        shown = capsys.readouterr().out
        assert "the running trial last reported " in shown and " ago" in shown
    assert study_status(half_done.path)["driver"] is None


def test_a_driver_that_has_only_just_begun(tmp_path: Path) -> None:
    directory = StudyDirectory(tmp_path / "new")
    directory.create(Study(name="new"))
    with held(directory):
        facts = study_status(directory.path)
    assert (facts["trials"], facts["progress"], facts["seconds_left"]) == ({}, 0, None)


def test_reading_writes_nothing(half_done: StudyDirectory) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in half_done.path.rglob("*") if path.is_file()}

    before = files()
    study_status(half_done.path)
    assert files() == before


def test_what_a_person_sees(half_done: StudyDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    print_status(half_done.path)
    lines = capsys.readouterr().out.splitlines()
    assert "".join(lines).startswith("half, not running")
    assert (
        "1 complete, 1 diverged, 1 failed, 1 running; 8 expected; 38 % of all epochs done" in lines
    )
    assert any("DIVERGED" in line and "loss is nan [at] 30" in line for line in lines)


def test_extensions_count(half_done: StudyDirectory) -> None:
    with closing(Ledger(half_done.ledger)) as ledger:
        ledger.append(Extended(report_seeds=1))
    assert study_status(half_done.path)["expected"] == 12


def test_what_is_not_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyDirectoryError, match="is not a study directory"):
        study_status(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_retries_and_memory(half_done: StudyDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    """The running trial was tried twice; two trials of the same network took 300 and 400 MiB of 2
    GiB.
    """
    running = next(
        t for t in load_study_view(half_done).trials() if t.status == "RUNNING"
    ).use.trial_id
    ended = [
        t.use.trial_id
        for t in load_study_view(half_done).trials()
        if t.status in ("COMPLETE", "DIVERGED")
    ]
    again = {
        "type": "started",
        "trial_id": running,
        "attempt": 2,
        "resumed_from_step": 40,
        "time": 1020.0,
    }
    machine = {"device": "cpu", "device_memory": 2 << 30, "resumed_from_step": 80, "time": 1030.0}
    with closing(Ledger(half_done.ledger)) as ledger:
        ledger.append(record(again | {"device": "cpu", "reason": "the worker [died]"}))
        for trial_id, peak in zip(ended, (300 << 20, 400 << 20), strict=True):
            names = {"trial_id": trial_id, "attempt": 2}
            ledger.append(record({"type": "started", **names, **machine}))
            end = {"type": "ended", **names, "status": "COMPLETE", "peak_memory": peak}
            ledger.append(record({**end, "time": 1040.0}))
    facts = study_status(half_done.path)
    assert (facts["retried"], facts["retries"]) == (
        1,
        [{"trial_id": running, "attempt": 2, "reason": "the worker [died]"}],
    )
    (memory,) = facts["memory"]
    assert (memory["model"], memory["batch_size"], memory["peak"], memory["trials"]) == (
        "mlp",
        64,
        400 << 20,
        2,
    )
    assert memory["advice"] == "4 at once fit in RAM"  # 2,048 MiB by 480
    print_status(half_done.path)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["retried", f"{running}:", "the", "worker", "[died]"] in lines
    assert ["mlp", "64", "cpu", "400", "MiB", "2", "4", "at", "once", "fit", "in", "RAM"] in lines


def test_only_the_newest_errors_are_shown(half_done: StudyDirectory) -> None:
    failed = next(t for t in load_study_view(half_done).trials() if t.status == "FAILED").use
    with closing(Ledger(half_done.ledger)) as ledger:
        for number in range(6):
            spec = TrialSpec.model_validate(failed.spec).with_seed(2000 + number)
            names = {"trial_id": spec.trial_id(), "attempt": 1, "time": 2000.0 + number}
            ledger.append(record({**plain(failed), **names, "spec": spec.given()}))
            end = {"type": "ended", **names, "status": "FAILED", "error": f"no {number}"}
            ledger.append(record(end))
    assert [error["error"] for error in study_status(half_done.path)["errors"]] == [
        "no 1",
        "no 2",
        "no 3",
        "no 4",
        "no 5",
    ]


def test_watching_looks_again_until_it_is_interrupted(
    half_done: StudyDirectory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        with closing(Ledger(half_done.ledger)) as ledger:
            ledger.append(Extended(report_seeds=1))
        if len(waited) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("sparsetune.search.status.time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        print_status(half_done.path, watch=True)
    assert min(waited) >= WATCH_SECONDS
    assert (
        "16 expected" in capsys.readouterr().out
    )  # 8, then 4 more with each seed, seen at the third look


OWN = """
import pathlib
pathlib.Path(__file__).with_suffix(".ran").touch()
from torch import nn
def build(input_shape, n_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, n_classes))
"""


def test_lengths_of_equal_flops_come_from_the_first_launch_or_are_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    study = Study(
        name="equal",
        base=TrialSpec(task=ImageTask(model="own_net:build")),
        arms={"gmp": Arm({"sparsity.method": "gmp"})},
        sweep={"sparsity.target": [0, 0.9]},
        equal="train_flops",
    )
    StudyDirectory(tmp_path / "old").create(study)
    facts = study_status(tmp_path / "old")
    assert facts["progress"] is None
    monkeypatch.setenv("COLUMNS", "200")
    assert "own network tells" in _printed(tmp_path / "old")
    assert not (tmp_path / "own_net.ran").exists() and "own_net" not in sys.modules

    planner = build_planner(study, {})
    assert len(planner.expected_epochs()) == facts["expected"]
    stretches = planner.resolved_stretches()  # what a launch writes
    assert max(stretches.values()) > 1 and "own_net" in sys.modules
    StudyDirectory(tmp_path / "new").create(study, stretches=stretches)
    (tmp_path / "own_net.ran").unlink()
    del sys.modules["own_net"]
    assert study_status(tmp_path / "new")["progress"] == 0.0
    view = load_study_view(StudyDirectory(tmp_path / "new"))
    assert view.planner.expected_epochs() == planner.expected_epochs()
    assert not (tmp_path / "own_net.ran").exists()


def _printed(path: Path) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        print_status(path)
    return out.getvalue()
