"""Five times kill -9 of the driver, once of a worker: nothing is lost, nothing runs twice, no number changes."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from sparsetune import ledger
from tests.integration.runs import HERE, assert_equal_to_training_alone, start, trials, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
DRIVER_KILLS = 5


def lines(directory: Path) -> list[bytes]:
    return list(ledger.read_lines(directory / "ledger"))


def kill_worker(directory: Path) -> int:
    """Kill the process that runs a trial now; its pid stands in the ledger."""
    running = [record for record in ledger.read(directory / "ledger") if record["type"] == "started"]
    alive = [record["pid"] for record in running if Path(f"/proc/{record['pid']}").exists()]
    os.kill(alive[-1], signal.SIGKILL)
    return alive[-1]


def test_killed_study_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    chance = random.Random(0)
    directory = tmp_path / "runs" / "small"
    resumed = 0
    for kill in range(DRIVER_KILLS):
        command = ("run", HERE / "small_study.py") if kill == 0 else ("resume", directory)
        before = lines(directory) if directory.exists() else []
        driver = start(*command, "--checkpoint-seconds", "0.2", "--no-report", cwd=tmp_path)
        reports = len(before) + chance.randint(8, 30)
        wait_for(lambda enough=reports: len(lines(directory)) >= enough, driver)
        acknowledged = lines(directory)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        driver.stdout.close()  # its workers, which outlive it by seconds, hold the other end
        assert acknowledged[: len(before)] == before
        assert lines(directory)[: len(acknowledged)] == acknowledged
        unfinished = [trial for trial in trials(directory).values() if not trial.finished]
        assert unfinished, "the study ended before it could be killed: make its trials longer"
    last = start("resume", directory, "--checkpoint-seconds", "0.2", "--no-report", cwd=tmp_path)
    before = len(lines(directory))
    wait_for(lambda: len(lines(directory)) >= before + 12, last)
    kill_worker(directory)
    output, _ = last.communicate(timeout=240)
    assert last.returncode == 0, output

    records = ledger.read(directory / "ledger")
    ended = [record["trial_id"] for record in records if record["type"] == "ended"]
    assert len(ended) == len(set(ended))
    states = trials(directory)
    assert set(ended) == set(states) and all(state.status == "COMPLETE" for state in states.values())
    attempts = [record for record in records if record["type"] == "started" and record["attempt"] > 1]
    resumed = [record for record in attempts if record["resumed_from_step"] > 0]
    assert len(attempts) >= DRIVER_KILLS and resumed, "no trial was continued from a checkpoint: the test shows nothing"
    for state in states.values():
        assert_equal_to_training_alone(state)
    assert not list((directory / "trials").glob("*/*/checkpoint-*")), "finished trials keep no checkpoint"
