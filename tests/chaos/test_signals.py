"""Ctrl-C and a scheduler's signals save and stop; the same command again, as SLURM requeues it,
goes on from there.
"""

from __future__ import annotations

import os
import pty
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sparsetune.train.checkpoint import latest_checkpoint
from tests.chaos.chaos import PATIENCE
from tests.integration.runs import HERE, start, trials, wait_for
from tests.ledger_records import plain_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2 * PATIENCE)]
RARELY = ("--checkpoint-seconds", "100000", "--no-report", "--set", "schedule.epochs=2000")
"""Trials that outlast the test, of which no checkpoint is due but that of the signal."""


def interrupted(directory: Path) -> dict[str, int]:
    """The trials that a signal ended, and the steps from which they will go on; none lost what it
    had reported.
    """
    found = {}
    for trial_id, state in trials(directory).items():
        if state.status == "RUNNING":
            checkpoint = latest_checkpoint((directory / "trials" / trial_id).glob("attempt-*"))
            assert checkpoint is not None, "a trial that ran when the signal came was not saved"
            assert checkpoint.step >= max(state.reports, default=1)
            found[trial_id] = checkpoint.step
    return found


def progressed(directory: Path, since: dict[str, int]) -> bool:
    """Whether a trial has reported anything beyond the step that it was saved at."""
    states = trials(directory) if directory.exists() else {}
    return any(
        max(state.reports, default=0) > since.get(trial, 0) for trial, state in states.items()
    )


def continued(directory: Path) -> list[tuple[str, int]]:
    """Trial and step of every start from a checkpoint."""
    starts = [
        record for record in plain_records(directory / "ledger") if record["type"] == "started"
    ]
    return [
        (start["trial_id"], start["resumed_from_step"]) for start in starts if start["attempt"] > 1
    ]


def test_every_signal_saves_and_stops_and_the_same_command_goes_on(
    tmp_path: Path, cluster: Any
) -> None:
    directory = tmp_path / "runs" / "small"
    saved = {}
    expected = set()
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
        ray = () if number == signal.SIGTERM else ("--address", cluster.address)
        driver = start("run", HERE / "small_study.py", *RARELY, *ray, cwd=tmp_path)
        wait_for(lambda since=saved: progressed(directory, since), driver, PATIENCE)
        driver.send_signal(number)
        sent = time.monotonic()
        output, _ = driver.communicate(timeout=PATIENCE)
        assert (driver.returncode, "Traceback" in output) == (130, False), output
        assert time.monotonic() - sent < 30
        assert f"sparsetune resume {directory.relative_to(tmp_path)}\n" in output
        expected |= set(saved.items())
        assert set(continued(directory)) <= expected
        saved = interrupted(directory)
        assert saved, "nothing was running"
    assert len(continued(directory)) >= 2


def test_a_closed_terminal_saves_and_stops(tmp_path: Path) -> None:
    """The terminal hangs up on the driver and on Ray's processes alike."""
    directory = tmp_path / "runs" / "small"
    command = [sys.executable, "-m", "sparsetune", "run", str(HERE / "small_study.py"), *RARELY]
    driver, terminal = pty.fork()
    if driver == 0:
        os.chdir(tmp_path)
        os.execv(sys.executable, command)
    # Read, or the driver would wait for room in the terminal.
    reader = threading.Thread(target=read_to_end, args=(terminal,), daemon=True)
    reader.start()
    deadline = time.monotonic() + PATIENCE
    while not progressed(directory, {}) and time.monotonic() < deadline:
        time.sleep(0.2)
    os.close(terminal)
    _, status = os.waitpid(driver, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert interrupted(directory), "nothing was running"


def read_to_end(terminal: int) -> None:
    with suppress(OSError):
        while os.read(terminal, 65536):
            pass
