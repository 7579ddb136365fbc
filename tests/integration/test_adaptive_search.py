"""A search by a Gaussian process with early stopping on a real Ray, killed and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from sparsetune.analysis import checks, load
from sparsetune.machine import usable_cpus
from sparsetune.study.samplers import GP, startup_points
from sparsetune.study.stopping import EARLY_HALVING
from tests.integration.runs import HERE, rows, start, trials, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


# More than half of the CPUs: one trial at a time, and a whole number of threads below that.
ONE_WORKER = ("--cpus-per-trial", str(usable_cpus() / 2 + 0.25), "--no-report")


def test_a_search_that_was_killed_is_the_one_that_was_not(tmp_path: Path) -> None:
    # With one worker, what is known at a suggestion, and at a rung, is everything before it.
    whole = run_study(tmp_path, "whole")
    states = trials(whole)
    sources = [state.use.source for state in states.values() if state.use.role == "search"]
    shared = [f"gp:{number}" for number in range(startup_points(GP(), 16))]
    assert sources[: 1 + len(shared)] == ["base", *shared]
    assert len(sources) == 2 * 16  # the dense cell, which gives the control, comes first
    assert sum(state.status == "PRUNED" for state in states.values()) > 5
    results = load(whole)
    assert results.study.sampler == GP()
    assert results.study.stopping == EARLY_HALVING
    assert "SPT007" not in set(checks(results)["code"])

    home = tmp_path / "killed" / "adaptive"
    driver = start_study(tmp_path, "killed")
    # The process has proposed, and rungs have stopped, before the kill and after it.
    assert wait_for(lambda: finished(home) >= 12, driver, seconds=300)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert driver.stdout
    driver.stdout.close()  # its workers, which outlive it by seconds, hold the other end
    run_study(tmp_path, "killed")
    again = trials(home)
    assert list(again) == list(states)
    assert [s.status for s in again.values()] == [s.status for s in states.values()]
    for name, state in states.items():
        assert rows(again[name]) == rows(state)
        assert state.ended and again[name].ended
        assert again[name].ended.error == state.ended.error


def start_study(folder: Path, storage: str) -> subprocess.Popen[str]:
    """A launch of the study, or of what is left of it."""
    place = ("--storage", folder / storage, *ONE_WORKER)
    return start("run", HERE / "adaptive_study.py", *place, cwd=folder)


def run_study(folder: Path, storage: str) -> Path:
    """Launch the study to its end; returns its directory."""
    driver = start_study(folder, storage)
    said, _ = driver.communicate(timeout=400)
    assert driver.returncode == 0, said
    return folder / storage / "adaptive"


def finished(home: Path) -> int:
    """Trials of a study that have ended."""
    return sum(state.finished for state in trials(home).values()) if home.exists() else 0
