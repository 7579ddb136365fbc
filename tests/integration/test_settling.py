"""Report seeds until answers are settled, on a real Ray, killed around the look and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

import analysis
from sparsetune.storage.ledger import read_records
from sparsetune.storage.records import Ended, Granted
from tests.integration.runs import HERE, rows, start, trials, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
FIRST_LOOK = 2 * 2 * 2
"""Trials of the first look: a report and its twin, in two cells, with two seeds."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a launch that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    return finish(start_study(folder), folder)


def test_open_answers_get_whole_blocks_of_seeds(whole: Path) -> None:
    (grant,) = grants(whole)
    assert (grant.look, grant.report_seeds, len(grant.cells)) == (2, 2, 2)
    states = trials(whole)
    assert len(states) == 2 * FIRST_LOOK
    assert {state.status for state in states.values()} == {"COMPLETE"}
    found = analysis.answers(analysis.load(whole))
    (answer,) = found.answers
    assert (answer.primary.bound.look, answer.primary.bound.n) == (2, 4)


@pytest.mark.parametrize("after", [FIRST_LOOK - 1, FIRST_LOOK + 2])
def test_a_killed_study_takes_the_same_decision(whole: Path, tmp_path: Path, after: int) -> None:
    driver = start_study(tmp_path)
    home = tmp_path / "settling"
    assert wait_for(lambda: ended(home) >= after, driver, seconds=300)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert driver.stdout
    driver.stdout.close()  # its workers, which outlive it by seconds, hold the other end
    finish(start_study(tmp_path), tmp_path)
    assert [grant.cells for grant in grants(home)] == [grant.cells for grant in grants(whole)]
    expected = trials(whole)
    again = trials(home)
    assert again.keys() == expected.keys()
    for name, state in expected.items():
        assert rows(again[name]) == rows(state)


def start_study(folder: Path) -> subprocess.Popen[str]:
    """A launch of the study, or of what is left of it."""
    place = ("--storage", folder, "--no-report")
    return start("run", HERE / "settling_study.py", *place, cwd=folder)


def finish(driver: subprocess.Popen[str], folder: Path) -> Path:
    """Wait for a launch to end well; returns the study's directory."""
    said, _ = driver.communicate(timeout=400)
    assert driver.returncode == 0, said
    return folder / "settling"


def grants(home: Path) -> list[Granted]:
    """Seeds that were granted at looks."""
    return [record for record in read_records(home / "ledger") if isinstance(record, Granted)]


def ended(home: Path) -> int:
    """Trials that have ended."""
    if not (home / "ledger").exists():
        return 0
    return sum(isinstance(record, Ended) for record in read_records(home / "ledger"))
