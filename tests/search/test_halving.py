"""Halving as the driver carries it out, over a real ledger: what is durable, who is stopped, what a
resume does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import analysis
from sparsetune.cluster.assignment import Assignment
from sparsetune.launch.driver import Driver
from sparsetune.launch.preview import preview_study, print_preview
from sparsetune.search.journal import SearchJournal
from sparsetune.search.planner import Planner
from sparsetune.spec import TrialSpec
from sparsetune.storage import StudyDirectory, ledger
from sparsetune.storage.trial_state import fold_records
from sparsetune.study import Study
from sparsetune.study.space import LogUniform
from sparsetune.study.stopping import Halving
from tests.assignments import SETTINGS, failed, sent
from tests.ledger_records import plain_records
from tests.search.test_rungs import gmp, trial

STUDY = Study(
    name="s",
    base=gmp(),
    search={"optim.lr": LogUniform(0.01, 1)},
    stopping=Halving(),
    configurations_per_cell=4,
    search_seeds=2,
    report_seeds=1,
)
CELL = "gmp"


class Launch:
    """A driver over one directory, and the workers' side of it."""

    def __init__(self, path: Path, study: Study) -> None:
        self.directory = StudyDirectory(path)
        self.directory.create(study)
        records = ledger.read_records(self.directory.ledger)
        self.trials = fold_records(records)
        self.segment = ledger.Ledger(self.directory.ledger)
        journal = SearchJournal(self.directory.journal, study, study.cells())
        planner = Planner(study, self.trials, journal)
        self.driver = Driver(self.directory, self.segment, self.trials, planner, SETTINGS, 2, [])

    def next(self) -> Assignment:
        config = self.driver.next_assignment()
        assert isinstance(config, Assignment)
        self.send(config, "started", resumed_from_step=0)
        return config

    def send(self, config: Assignment, kind: str, **fields: Any) -> str:
        """What a worker sends; returns the trial's status then."""
        self.driver.receive([sent(config, kind, **fields)])
        return self.trials[config.trial_id].status

    def report(self, config: Assignment, errors: dict[int, float | None]) -> str:
        rows = trial(TrialSpec.model_validate(config.spec), errors).reports.values()
        return [self.send(config, "report", **row.row) for row in rows][-1]

    def finish(self, config: Assignment, error: float, status: str = "COMPLETE") -> None:
        if self.report(config, dict.fromkeys(range(1, 21), error)) == "RUNNING":
            self.send(config, "ended", status=status)
        self.driver.on_worker_left(config.trial_id)

    def records(self) -> list[dict[str, Any]]:
        return plain_records(self.directory.ledger)


Open = Callable[..., Launch]


@pytest.fixture
def open_launch(tmp_path: Path) -> Iterator[Open]:
    """Opens a driver over the one directory, as each launch does."""
    opened: list[Launch] = []

    def open_(study: Study = STUDY) -> Launch:
        opened.append(Launch(tmp_path / "s", study))
        return opened[-1]

    yield open_
    for launch in opened:
        launch.segment.close()


@pytest.fixture
def launched(open_launch: Open) -> Launch:
    """In the sparse cell, both seeds of the first configuration have an error of 0.1 at every
    rung.
    """
    launch = open_launch()
    while (config := launch.next()) and launch.trials[config.trial_id].use.cell != CELL:
        launch.finish(config, 0.1)
    launch.finish(config, 0.1)
    launch.finish(launch.next(), 0.1)
    return launch


def test_a_stop_is_durable_before_its_workers_know_and_ends_all_seeds(launched: Launch) -> None:
    first = launched.next()
    second = launched.next()
    assert launched.driver.next_assignment() is None
    assert launched.report(first, {1: 0.5, 4: 0.5}) == "RUNNING"
    assert launched.report(first, {5: 0.2}) == "PRUNED"
    ends = [record for record in launched.records() if record["type"] == "ended"][-2:]
    assert [end["trial_id"] for end in ends] == [first.trial_id, second.trial_id]
    assert all(
        (end["status"], end["rung"], end["certified"]) == ("PRUNED", 0, None) for end in ends
    )
    assert ends[0]["error"].endswith("val_error 0.2, rank 2 of 2, of which 1 may go on")
    assert list(launched.trials[first.trial_id].reports) == [20, 80, 100]


def test_what_was_under_way_is_ignored_and_the_slot_is_free_when_the_worker_has_left(
    launched: Launch,
) -> None:
    first = launched.next()
    second = launched.next()
    launched.report(first, {5: 0.2})
    before = launched.records()
    assert launched.report(second, {5: 0.0, 10: 0.0}) == "PRUNED"
    assert launched.send(second, "ended", status="COMPLETE") == "PRUNED"
    launched.driver.receive([failed(second, "code", "ValueError")])
    assert launched.trials[second.trial_id].status == "PRUNED"
    assert launched.records() == before
    assert (
        launched.driver.next_assignment() is None
    )  # both workers still stand in their last report
    launched.driver.on_worker_left(first.trial_id)
    assert launched.next().trial_id not in (first.trial_id, second.trial_id)
    launched.driver.on_attempt_failed(
        second.trial_id, 1, "lost", "the worker died"
    )  # no failure: it was stopped
    assert launched.trials[second.trial_id].status == "PRUNED"
    assert isinstance(launched.driver.next_assignment(), Assignment)


def test_checkpoints_of_a_stopped_trial_go_when_its_worker_has_left(launched: Launch) -> None:
    config = launched.next()
    folder = Path(config.folder)
    folder.mkdir(parents=True)
    for name in ("checkpoint-80.pt", "checkpoint-100.pt", "error.txt"):
        (folder / name).touch()
    launched.driver.on_worker_left(config.trial_id)
    assert len(list(folder.iterdir())) == 3  # it runs on: only its worker's end was noted
    launched.report(config, {5: 0.2})
    launched.driver.on_worker_left(config.trial_id)
    assert [path.name for path in folder.iterdir()] == ["error.txt"]


def test_a_seed_that_did_not_start_never_starts(launched: Launch) -> None:
    launched.driver.slots = 1
    config = launched.next()
    launched.finish(config, 0.2)
    used = launched.trials[config.trial_id].use
    following = launched.next()
    assert launched.trials[following.trial_id].use.config_id != used.config_id
    seeds = [
        r["seed"]
        for r in launched.records()
        if r["type"] == "proposed" and r["config_id"] == used.config_id
    ]
    assert seeds == [0]


def test_a_resumed_study_keeps_what_was_stopped_and_judges_by_the_ledger_alone(
    launched: Launch, open_launch: Open
) -> None:
    first = launched.next()
    second = launched.next()
    launched.report(first, {5: 0.2})
    again = open_launch()
    resumed = again.next()
    assert (
        again.trials[resumed.trial_id].use.config_id != again.trials[first.trial_id].use.config_id
    )
    assert {again.trials[config.trial_id].status for config in (first, second)} == {"PRUNED"}
    assert again.report(resumed, {5: 0.15}) == "PRUNED"
    assert str(again.trials[resumed.trial_id].ended.error).endswith(
        "rank 2 of 3, of which 1 may go on"
    )


def run(launch: Launch) -> Launch:
    """To the end: a trial's error is its learning rate."""
    while (config := launch.driver.next_assignment()) != "done":
        assert isinstance(config, Assignment)
        launch.send(config, "started", resumed_from_step=0)
        launch.finish(config, TrialSpec.model_validate(config.spec).optim.lr)
    return launch


def test_a_study_ends_with_a_winner_that_trained_to_its_end(open_launch: Open) -> None:
    done = run(open_launch())
    assert {trial.status for trial in done.trials.values()} == {"COMPLETE", "PRUNED"}
    assert all(
        trial.use.role == "search" for trial in done.trials.values() if trial.status == "PRUNED"
    )
    best = min(c.spec.optim.lr for c in done.driver.planner.plans[CELL].configurations.values())
    winner = done.driver.planner.plans[CELL].winner
    assert winner and winner.spec.optim.lr == best
    spent = sum(done.driver.planner.expected_epochs().values())
    assert spent == sum(trial.last.epoch for trial in done.trials.values())
    before = done.records()
    again = open_launch()
    assert again.driver.next_assignment() == "done" and again.records() == before


READ = """
import json, sys, optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.load_study(study_name="gmp", storage=JournalStorage(JournalFileBackend(sys.argv[1])))
facts = [
    [t.state.name, t.value, t.intermediate_values, t.user_attrs["config_id"]] for t in study.trials
]
print(json.dumps(facts))
"""


def test_optuna_reads_pruned_configurations_with_their_rungs_in_another_process(
    open_launch: Open,
) -> None:
    done = run(open_launch())
    read = subprocess.run(
        [sys.executable, "-c", READ, done.directory.journal],
        capture_output=True,
        text=True,
        check=True,
    )
    told = {
        config_id: (state, value, rungs)
        for state, value, rungs, config_id in json.loads(read.stdout)
    }
    assert len(told) == STUDY.configurations_per_cell
    for configuration in done.driver.planner.plans[CELL].configurations.values():
        lr = pytest.approx(configuration.spec.optim.lr)
        seeds = [done.trials.get(configuration.trial(seed)[0]) for seed in (0, 1)]
        ended = [seed.ended for seed in seeds if seed and seed.ended and seed.status == "PRUNED"]
        state, value, rungs = told[configuration.config_id]
        if ended:
            assert (state, value) == ("PRUNED", None)
            assert rungs == {str(rung): lr for rung in range(ended[0].rung + 1)}
        else:
            assert (state, value, rungs) == ("COMPLETE", lr, {"0": lr, "1": lr, "2": lr})
    assert {state for state, *_ in told.values()} == {"COMPLETE", "PRUNED"}


def test_without_stopping_nothing_is_judged_and_nothing_told(open_launch: Open) -> None:
    done = run(open_launch(STUDY.with_changes(stopping=None)))
    assert {trial.status for trial in done.trials.values()} == {"COMPLETE"}
    assert all(
        not trial.intermediate_values
        for trial in done.driver.planner.journal.optuna_study(CELL).trials
    )


def test_analysis_counts_the_stopped_and_names_the_same_winner(open_launch: Open) -> None:
    done = run(open_launch())
    cells = analysis.load(done.directory.path).cells().set_index("cell")
    plan = done.driver.planner.plans[CELL]
    stopped = {
        t.use.config_id for t in done.trials.values() if t.status == "PRUNED" and t.use.cell == CELL
    }
    assert cells.loc[CELL, "stopped"] == len(stopped) > 0
    assert cells.loc[CELL, "configurations"] == STUDY.configurations_per_cell
    assert plan.winner and cells.loc[CELL, "winner_id"] == plan.winner.config_id not in stopped
    assert cells["finished"].all()


def test_preview_shows_the_rungs_and_where_the_base_is_compared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    late = STUDY.with_changes(base=gmp(0.3, 0.1), stopping=Halving(rungs=[0.26, 0.5]))
    facts = {cell["cell"]: cell["rungs"] for cell in preview_study(late)["cells"]}
    assert facts[CELL] == [{"epoch": 6, "compared": False}, {"epoch": 10, "compared": True}]
    assert [rung["compared"] for rung in facts["dense"]] == [True, True]
    print_preview(late)
    assert "(6), 10" in capsys.readouterr().out
    assert all(
        "rungs" not in cell for cell in preview_study(STUDY.with_changes(stopping=None))["cells"]
    )
