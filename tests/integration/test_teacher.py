"""A study with a teacher, killed while its students learn: it goes on without training the teacher
again.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import analysis
from sparsetune.train.distill import LOGITS_FILE
from tests.integration.runs import HERE, assert_equal_to_training_alone, start, trials, wait_for
from tests.integration.taught_study import RECIPE
from tests.ledger_records import plain_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def test_a_killed_study_does_not_train_its_teacher_again(tmp_path: Path) -> None:
    directory = tmp_path / "runs/taught"
    teacher = RECIPE.trial_id()

    def students_learn() -> bool:
        """Whether the teacher has ended and a student has reported."""
        if not (directory / "ledger").exists():
            return False
        states = trials(directory)
        waiting = [state for name, state in states.items() if name != teacher and state.reports]
        return teacher in states and states[teacher].finished and bool(waiting)

    driver = start("run", HERE / "taught_study.py", "--no-report", cwd=tmp_path)
    wait_for(students_learn, driver, 300)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert driver.stdout
    driver.stdout.close()
    before = plain_records(directory / "ledger")
    assert any(not state.finished for state in trials(directory).values()), (
        "it ended before it could be killed"
    )

    with start("resume", directory, cwd=tmp_path) as last:
        output, _ = last.communicate(timeout=300)
    assert last.returncode == 0, output
    records = plain_records(directory / "ledger")
    assert records[: len(before)] == before
    starts = [r["trial_id"] for r in records if r["type"] == "started"]
    assert starts.count(teacher) == 1 and starts[0] == teacher
    states = trials(directory)
    assert all(state.status == "COMPLETE" for state in states.values())
    assert (directory / "trials" / teacher / "attempt-1" / LOGITS_FILE).is_file()
    assert not any(
        (directory / "trials" / name / "attempt-1" / LOGITS_FILE).exists()
        for name in states
        if name != teacher
    )
    for name in ("report", "search"):  # `train` alone trains the teacher itself
        assert_equal_to_training_alone(
            next(state for state in states.values() if state.use.role == name)
        )
    shown = analysis.load(directory)
    assert set(shown.trials()["role"]) >= {"teacher", "search", "report"}
    assert "teacher" not in " ".join(shown.cells()["winner_id"].astype(str))
