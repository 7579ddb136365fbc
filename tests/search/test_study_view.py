"""The board's numbers by hand."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from sparsetune.search.journal import SearchJournal
from sparsetune.search.planner import Planner
from sparsetune.search.status import load_study_view
from sparsetune.search.study_view import StudyView
from sparsetune.storage import StudyDirectory
from sparsetune.storage.records import Ended, Report
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Maximize
from sparsetune.units import format_duration
from tests.ledger_records import record


def test_counts_steps_and_cells(half_done: StudyDirectory) -> None:
    board = load_study_view(half_done)
    assert board.counts() == {"COMPLETE": 1, "DIVERGED": 1, "RUNNING": 1, "FAILED": 1}
    # Of what ended early, the rest does not run: 4 epochs that diverged at the first, 8 that
    # failed.
    assert board.epochs() == (4 + 4 + 2 + 8, 2 * 2 * (4 + 8))
    assert [
        (c["cell"], c["finished"], c["running"], c["best"], c["searched"]) for c in board.cells()
    ] == [
        ("dense/epoch_multiplier=1", 2, [], 0.04, True),  # the diverged trial's 0.01 does not count
        ("dense/epoch_multiplier=2", 0, [], None, True),
        ("gmp/target=0.9/epoch_multiplier=1", 0, [0.5], None, True),
        ("gmp/target=0.9/epoch_multiplier=2", 1, [], None, True),
    ]


def test_the_best_follows_the_objective_and_leaves_twins_out(half_done: StudyDirectory) -> None:
    def trial(error: float, role: str) -> TrialState:
        proposed = record({"type": "proposed", "trial_id": "t", "role": role})
        ended = Ended(trial_id="t", attempt=1, status="COMPLETE")
        row = {"val_error": error, "val_score": 1 - error}
        return TrialState([proposed], 1, ended, {1: Report(trial_id="t", attempt=1, row=row)})

    study = half_done.study()
    trials = [trial(0.3, "search"), trial(0.2, "report"), trial(0.1, "twin")]
    assert (
        StudyView(Planner(study, {}, SearchJournal(None, study, study.cells()))).best(trials) == 0.2
    )
    study = study.with_changes(objective=Maximize("val_score"))
    assert StudyView(Planner(study, {}, SearchJournal(None, study, study.cells()))).best(
        trials
    ) == pytest.approx(0.8)


def test_the_grid_has_a_row_per_arm_and_length_and_a_column_per_sparsity(
    half_done: StudyDirectory,
) -> None:
    output = StringIO()
    Console(file=output, width=100).print(load_study_view(half_done).grid())
    rows = [line.split() for line in output.getvalue().splitlines()]
    assert rows == [
        ["Trials", "done", "and", "best", "val_error", "so", "far:"],
        ["dense", "90", "%"],
        ["dense", "x1", "2", "0.0400"],
        ["dense", "x2", "·"],
        ["gmp", "x1", "0", "50%"],
        ["gmp", "x2", "1"],
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (9.4, "9 s"),
        (59.6, "1 min 00 s"),
        (127, "2 min 07 s"),
        (3900, "1 h 05 min"),
        (90_000, "25 h 00 min"),
    ],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
