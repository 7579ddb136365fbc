"""The board's numbers by hand."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO

import pytest
from rich.console import Console

from sparsetune.search.planner import build_planner
from sparsetune.search.status import load_study_view
from sparsetune.search.study_view import StudyView
from sparsetune.storage import StudyDirectory
from sparsetune.storage.records import Ended, Report
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Maximize, Minimize, Study
from sparsetune.study.cells import Cell
from sparsetune.study.space import LogUniform
from sparsetune.units import format_duration
from tests.ledger_records import record

HEADING = "Trials done, and mean val_error of the winner once it is chosen:"


def test_counts_steps_and_cells(half_done: StudyDirectory) -> None:
    board = load_study_view(half_done)
    assert board.counts() == {"COMPLETE": 1, "DIVERGED": 1, "RUNNING": 1, "FAILED": 1}
    # Of what ended early, the rest does not run: 4 epochs that diverged at the first, 8 that
    # failed.
    assert board.epochs(board.planner.expected_epochs()) == (4 + 4 + 2 + 8, 2 * 2 * (4 + 8))
    assert [
        (c["cell"], c["finished"], c["running"], c["winner_objective"], c["searched"])
        for c in board.cells()
    ] == [
        ("dense/epoch_multiplier=1", 2, [], None, True),  # a seed diverged: there is no mean
        ("dense/epoch_multiplier=2", 0, [], None, True),
        ("gmp/target=0.9/epoch_multiplier=1", 0, [0.5], None, True),
        ("gmp/target=0.9/epoch_multiplier=2", 1, [], None, True),
    ]


def searching() -> tuple[Study, Cell]:
    """A study of one dense cell, of two configurations on two search seeds, and the cell."""
    study = Study(
        name="one",
        search={"optim.lr": LogUniform(0.01, 1.0)},
        configurations_per_cell=2,
        search_seeds=2,
        report_seeds=2,
        objective=Minimize("val_error"),
    )
    (cell,) = study.cells()
    return study, cell


def ended_trial(cell: Cell, lr: float, seed: int, role: str, error: float | None) -> TrialState:
    """A trial with its error; None where it still runs."""
    spec = cell.spec.with_values({"optim.lr": lr, "seed": seed})
    name = spec.trial_id()
    proposed = record(
        {
            "type": "proposed",
            "trial_id": name,
            "config_id": spec.config_id(),
            "cell": cell.name,
            "arm": cell.arm,
            "role": role,
            "index": int(lr > 0.1),
            "source": f"known:{int(lr > 0.1)}",
            "seed": seed,
            "spec": spec.given(),
        }
    )
    if error is None:
        return TrialState([proposed], 1, None, {})
    ended = Ended(trial_id=name, attempt=1, status="COMPLETE")
    row = {"val_error": error, "val_score": 1 - error}
    return TrialState([proposed], 1, ended, {1: Report(trial_id=name, attempt=1, row=row)})


def objective_shown(study: Study, trials: Iterable[TrialState]) -> float | None:
    """What the view of a study with one cell shows of its winner."""
    states = {trial.use.trial_id: trial for trial in trials}
    (cell,) = StudyView(build_planner(study, states)).cells()
    shown: float | None = cell["winner_objective"]
    return shown


def test_the_winners_mean_over_its_search_seeds_is_shown_not_the_luckiest_trial() -> None:
    study, cell = searching()
    first, second = study.seeds("search")
    luckiest = ended_trial(cell, 0.05, first, "search", 0.01)
    searched = [
        luckiest,
        ended_trial(cell, 0.05, second, "search", 0.39),
        ended_trial(cell, 0.5, first, "search", 0.15),
        ended_trial(cell, 0.5, second, "search", 0.17),
    ]
    # Means are 0.20 and 0.16: the lucky 0.01 has lost, and a lucky report changes nothing.
    lucky_report = ended_trial(cell, 0.5, study.seeds("report")[0], "report", 0.02)
    assert objective_shown(study, searched) == pytest.approx(0.16)
    assert objective_shown(study, [*searched, lucky_report]) == pytest.approx(0.16)
    # While a configuration still runs nobody has won.
    waiting = ended_trial(cell, 0.5, second, "search", None)
    assert objective_shown(study, [*searched[:3], waiting]) is None
    rising = study.with_changes(objective=Maximize("val_score"))
    assert objective_shown(rising, searched) == pytest.approx(0.84)


def test_where_nothing_is_searched_the_mean_of_all_report_seeds_is_shown() -> None:
    study = searching()[0].with_changes(search={}, configurations_per_cell=1, search_seeds=1)
    (cell,) = study.cells()
    lr = cell.spec.optim.lr
    trials = [
        ended_trial(cell, lr, seed, "report", error)
        for seed, error in zip(study.seeds("report"), (0.1, 0.2), strict=True)
    ]
    assert objective_shown(study, trials) == pytest.approx(0.15)
    assert objective_shown(study, trials[:1]) is None


def test_the_grid_has_a_row_per_arm_and_length_and_a_column_per_sparsity(
    half_done: StudyDirectory,
) -> None:
    output = StringIO()
    Console(file=output, width=100).print(load_study_view(half_done).grid())
    rows = [line.split() for line in output.getvalue().splitlines()]
    assert rows == [
        HEADING.split(),
        ["dense", "90", "%"],
        ["dense", "x1", "2"],
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
