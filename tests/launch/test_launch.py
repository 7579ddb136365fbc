"""A launch without Ray: where nothing is left to run, none is started."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from sparsetune.errors import ClusterError
from sparsetune.launch.driver import Driver
from sparsetune.launch.extension import Extension
from sparsetune.launch.launch import Options, launch
from sparsetune.search.journal import SearchJournal
from sparsetune.search.planner import Planner
from sparsetune.storage import StudyDirectory, ledger
from sparsetune.study import Study

STUDY = Study(name="short", report_seeds=1)
NOWHERE = "127.0.0.1:1"


def finish(storage: Path) -> None:
    """Write the ledger of a study whose one trial has ended."""
    directory = StudyDirectory(storage / STUDY.name)
    directory.create(STUDY)
    with closing(ledger.Ledger(directory.ledger)) as segment:
        driver = Driver(
            directory,
            segment,
            {},
            Planner(STUDY, {}, SearchJournal(None, STUDY, STUDY.cells())),
            {},
            1,
            [],
        )
        driver.planner.trials = driver.trials
        config = driver.next_config()
        assert isinstance(config, dict)
        names = {"trial_id": config["trial_id"], "attempt": 1}
        driver.receive([{"type": "started", **names, "resumed_from_step": 0}])
        driver.receive([{"type": "ended", **names, "status": "COMPLETE", "error": None}])


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
