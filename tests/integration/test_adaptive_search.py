"""A search by a Gaussian process with early stopping on a real Ray, killed and resumed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sparsetune.analysis import checks, load
from sparsetune.launch.launch import Options, launch
from sparsetune.study.samplers import GP, startup_points
from sparsetune.study.stopping import EARLY_HALVING
from tests.integration.adaptive_study import STUDY
from tests.integration.runs import HERE, rows, start, trials, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


@pytest.mark.usefixtures("ray_session")
def test_a_search_that_was_killed_is_the_one_that_was_not(tmp_path: Path) -> None:
    # One worker: what is known at a suggestion, and at a rung, is everything before it.
    options = Options(storage=tmp_path / "whole", cpus_per_trial=2, quiet=True)
    whole = launch(STUDY, options).directory
    states = trials(whole)
    sources = [state.use.source for state in states.values() if state.use.role == "search"]
    shared = [f"gp:{number}" for number in range(startup_points(GP(), 16))]
    assert sources[: 1 + len(shared)] == ["base", *shared] and len(sources) == 16
    stopped = [state for state in states.values() if state.status == "PRUNED"]
    assert len(stopped) > 5

    results = load(whole)
    assert results.study.sampler == GP()
    assert results.study.stopping == EARLY_HALVING
    assert "SPT007" not in set(checks(results)["code"])

    home = tmp_path / "killed" / "adaptive"
    place = ("--storage", tmp_path / "killed", "--cpus-per-trial", "2", "--no-report")
    driver = start("run", HERE / "adaptive_study.py", *place, cwd=tmp_path)
    # The process has proposed, and rungs have stopped, before the kill and after it.
    assert wait_for(lambda: finished(home) >= 11, driver, seconds=300)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    launch(
        STUDY, Options(storage=tmp_path / "killed", cpus_per_trial=2, quiet=True), directory=home
    )
    again = trials(home)
    assert list(again) == list(states)
    assert [s.status for s in again.values()] == [s.status for s in states.values()]
    for name, state in states.items():
        assert rows(again[name]) == rows(state)
        assert state.ended and again[name].ended
        assert again[name].ended.error == state.ended.error


def finished(home: Path) -> int:
    """Trials of a study that have ended."""
    return sum(state.finished for state in trials(home).values()) if home.exists() else 0
