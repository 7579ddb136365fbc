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
def test_a_search_killed_twice_is_the_one_that_was_not(tmp_path: Path) -> None:
    # One worker: what is known at a suggestion, and at a rung, is everything before it.
    options = Options(storage=tmp_path / "whole", cpus_per_trial=2, quiet=True)
    whole = launch(STUDY, options).directory
    states = trials(whole)
    shared = startup_points(GP(), 16)
    by_cell: dict[str, list[str]] = {}
    for state in states.values():
        if state.use.role == "search":
            by_cell.setdefault(state.use.cell, []).append(state.use.source)
    # The base and the control come first; the dense cell has no control.
    assert {cell: len(sources) for cell, sources in by_cell.items()} == dict.fromkeys(by_cell, 16)
    assert all(f"gp:{shared}" in sources for sources in by_cell.values())
    stopped = [state for state in states.values() if state.status == "PRUNED"]
    assert len(stopped) > 10
    assert {str(state.ended.error).split()[3] for state in stopped if state.ended} >= {"1", "4"}

    results = load(whole)
    assert results.study.sampler == GP()
    assert results.study.stopping == EARLY_HALVING
    assert "SPT007" not in set(checks(results)["code"])

    home = tmp_path / "killed" / "adaptive"
    for enough in (8, 22):
        command = ("resume", home) if home.exists() else ("run", HERE / "adaptive_study.py")
        more = () if home.exists() else ("--storage", tmp_path / "killed")
        driver = start(*command, *more, "--cpus-per-trial", "2", "--no-report", cwd=tmp_path)
        assert wait_for(lambda least=enough: finished(home) >= least, driver, seconds=300)
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
