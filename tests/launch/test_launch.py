"""A launch without Ray: where nothing is left to run, none is started."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from sparsetune.cluster.assignment import Assignment
from sparsetune.errors import ClusterError
from sparsetune.launch.driver import Driver
from sparsetune.launch.extension import Extension
from sparsetune.launch.launch import Options, launch
from sparsetune.search.planner import build_planner
from sparsetune.storage import StudyDirectory, ledger
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Study
from tests.assignments import SETTINGS, sent

STUDY = Study(name="short", report_seeds=1)
NOWHERE = "127.0.0.1:1"


def finish(storage: Path) -> None:
    """Write the ledger of a study whose one trial has ended."""
    directory = StudyDirectory(storage / STUDY.name)
    directory.create(STUDY)
    with closing(ledger.Ledger(directory.ledger)) as segment:
        trials: dict[str, TrialState] = {}
        planner = build_planner(STUDY, trials)
        driver = Driver(directory, segment, trials, planner, SETTINGS, 1, [])
        given = driver.next_assignment()
        assert isinstance(given, Assignment)
        driver.receive([sent(given, "started"), sent(given, "ended", status="COMPLETE")])


def test_a_finished_study_needs_no_cluster(tmp_path: Path) -> None:
    finish(tmp_path)
    outcome = launch(STUDY, Options(storage=tmp_path, address=NOWHERE, quiet=True))
    assert (outcome.counts, outcome.exit_status) == ({"COMPLETE": 1}, 0)
    assert len(outcome.directory.joinpath("provenance.jsonl").read_text().splitlines()) == 1


def test_one_with_something_left_does(tmp_path: Path) -> None:
    finish(tmp_path)
    with pytest.raises(ClusterError, match=f"the cluster `{NOWHERE}` does not answer"):
        launch(
            STUDY,
            Options(storage=tmp_path, address=NOWHERE, quiet=True),
            extend=Extension(report_seeds=1),
        )
