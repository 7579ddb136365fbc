"""What checkpoints may take together, and which of them go, by hand."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from sparsetune.launch.followers.checkpoint_quota import CheckpointQuota
from sparsetune.storage import StudyDirectory
from sparsetune.storage.records import Ended
from sparsetune.storage.trial_state import TrialState
from tests.ledger_records import record

STATUS = {
    "complete": "COMPLETE",
    "diverged": "DIVERGED",
    "pruned": "PRUNED",
    "failed-1": "FAILED",
    "failed-2": "FAILED",
}


def state(name: str) -> TrialState:
    return TrialState([record({"type": "proposed", "trial_id": name})], 1, end(name))


def end(name: str) -> Ended | None:
    if name not in STATUS:
        return None
    return Ended(trial_id=name, attempt=1, status=STATUS[name])


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return StudyDirectory(tmp_path / "study")


def leave(
    directory: StudyDirectory,
    name: str,
    *,
    attempt: int = 1,
    step: int = 10,
    size: int = 100,
    age: int = 0,
) -> Path:
    path = directory.attempt(name, attempt) / f"checkpoint-{step}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return path


def left(directory: StudyDirectory) -> set[str]:
    return {f"{p.parent.parent.name}/{p.name}" for p in directory.trials.glob("*/*/checkpoint-*")}


def quota(directory: StudyDirectory, size: float, slots: int = 2, *more: str) -> CheckpointQuota:
    return CheckpointQuota(
        directory, {name: state(name) for name in (*STATUS, "running", *more)}, size, slots
    )


def test_a_share_for_each_running_trial_and_one_for_those_that_failed(
    directory: StudyDirectory,
) -> None:
    assert quota(directory, 900).share == 300
    assert quota(directory, math.inf).share == math.inf


def test_checkpoints_of_interrupted_trials_count_where_fewer_run_now(
    directory: StudyDirectory,
) -> None:
    for name in ("running", "a", "b"):
        leave(directory, name)
    assert quota(directory, 900, 3, "a", "b").share == 225
    assert quota(directory, 900, 2, "a", "b").share == 200
    assert quota(directory, 200, 2, "a", "b").share == 0


def test_ended_trials_leave_none_and_failed_ones_theirs(directory: StudyDirectory) -> None:
    for name in (*STATUS, "running"):
        leave(directory, name)
        torn = directory.attempt(name, 1) / "checkpoint-20.tmp"
        torn.write_bytes(b"torn")
    quota(directory, math.inf).sweep()
    assert left(directory) == {
        "failed-1/checkpoint-10.pt",
        "failed-2/checkpoint-10.pt",
        "running/checkpoint-10.pt",
    }


def test_files_of_unknown_trials_stay(directory: StudyDirectory) -> None:
    leave(directory, "foreign")
    quota(directory, math.inf).sweep()
    assert left(directory) == {"foreign/checkpoint-10.pt"}


def test_the_oldest_failures_go_first(directory: StudyDirectory) -> None:
    """A share of 300 bytes holds the three newest of four."""
    leave(directory, "failed-1", step=1, age=40)
    leave(directory, "failed-1", step=2, age=10)
    leave(directory, "failed-2", step=3, age=30)
    leave(directory, "failed-2", attempt=2, step=4, age=20)
    kept = quota(directory, 900)
    kept.follow(end("complete"))
    assert len(left(directory)) == 4
    kept.follow(end("failed-1"))
    assert left(directory) == {
        "failed-1/checkpoint-2.pt",
        "failed-2/checkpoint-3.pt",
        "failed-2/checkpoint-4.pt",
    }


def test_a_study_that_has_not_begun(directory: StudyDirectory) -> None:
    quota(directory, 900).sweep()
    assert left(directory) == set()
