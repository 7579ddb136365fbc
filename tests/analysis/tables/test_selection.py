from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import analysis
from analysis.tables.selection import dense_arm_of, report_rows
from sparsetune.search.planner import build_planner
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import Ledger
from sparsetune.storage.records import Ended, Started
from sparsetune.storage.trial_state import TrialState, apply_record
from sparsetune.study.cells import is_searched
from tests.ledger_records import record


def test_the_winner_has_the_best_validation_over_its_search_seeds(small: Path) -> None:
    results = analysis.load(small)
    cells = results.cells()
    uses = results.uses()
    trials = results.trials().set_index("trial_id")
    assert list(cells["cell"]) == [cell.name for cell in results.study.cells()]
    for row in cells.to_dict("records"):
        searched = uses[(uses["cell"] == row["cell"]) & (uses["role"] == "search")]
        errors = searched.assign(error=searched["trial_id"].map(trials["val_error"]))
        best = errors.loc[errors["error"].idxmin()]
        assert (row["winner_id"], row["objective"]) == (best["config_id"], best["error"])
        assert row["optim.lr"] == trials.at[best["trial_id"], "optim.lr"]
    assert cells["sparsity.ramp.start"].isna().tolist() == [True, True, False, False]
    assert cells["control_id"].isna().tolist() == [True, False, False, False]
    assert set(cells["configurations"]) == {3}
    assert set(cells["report_trials"]) == {2}


def test_a_diverged_configuration_cannot_win_and_is_counted(
    simulation: Any, studies: Any, small: Path, tmp_path: Path
) -> None:
    before = analysis.load(small)
    winner = before.cells()["winner_id"].iloc[0]

    class Diverging(simulation):  # type: ignore[misc]
        def attempt(self, spec: Any, status: str) -> Any:
            gone = spec.config_id() == winner and spec.seed == 0
            return super().attempt(spec, "DIVERGED" if gone else status)

    Diverging(studies["small"], tmp_path / "s").run(1)
    first = analysis.load(tmp_path / "s").cells().iloc[0]
    assert first["winner_id"] not in (winner, None)
    assert (first["diverged"], first["failed"], first["finished"]) == (1, 0, True)


def test_a_cell_that_diverged_altogether_is_finished_without_a_winner(
    simulation: Any, studies: Any, tmp_path: Path
) -> None:
    simulation(studies["small"], tmp_path / "s", outcome=lambda cell, role, seed: "DIVERGED").run(1)
    first = analysis.load(tmp_path / "s").cells().iloc[0]
    assert (first["winner_id"] is pd.NA, first["diverged"], first["finished"]) == (True, 3, True)


def test_a_small_space_holds_fewer_configurations_than_asked(
    simulation: Any, studies: Any, tmp_path: Path
) -> None:
    class Small(simulation):  # type: ignore[misc]
        def configurations(self, cell: Any) -> Any:
            return list(super().configurations(cell))[:2]

    study = studies["small"].with_changes(
        search={"optim.lr": {"kind": "choice", "options": [0.1, 0.2]}}
    )
    Small(study, tmp_path / "s").run()
    cells = analysis.load(tmp_path / "s").cells()
    assert set(cells["configurations"]) == {2}
    assert cells["finished"].all()
    Small(studies["small"], tmp_path / "t").run()
    assert not analysis.load(tmp_path / "t").cells()["finished"].any()


def test_a_cell_without_search_has_its_one_configuration(
    simulation: Any, studies: Any, tmp_path: Path
) -> None:
    study = studies["small"].with_changes(search={})
    simulation(study, tmp_path / "s").run()
    cells = analysis.load(tmp_path / "s").cells()
    assert cells["winner_id"].tolist() == [cell.spec.config_id() for cell in study.cells()]
    assert cells["finished"].all()
    assert (cells["configurations"].tolist(), cells["configurations_asked"].tolist()) == (
        [1] * 4,
        [1] * 4,
    )


def test_report_rows_are_the_winners_only(small: Path) -> None:
    results = analysis.load(small)
    rows = report_rows(results)
    winners = results.cells().set_index("cell")["winner_id"]
    assert rows.groupby("cell")["seed"].apply(list).map(sorted).tolist() == [[1000, 1001]] * 4
    assert (rows["config_id"] == rows["cell"].map(winners)).all()
    assert rows.set_index("cell")["epochs"].groupby("cell").first().to_dict() == {
        "dense/epoch_multiplier=1": 4,
        "dense/epoch_multiplier=2": 8,
        "gmp/target=0.9/epoch_multiplier=1": 4,
        "gmp/target=0.9/epoch_multiplier=2": 8,
    }


@pytest.mark.parametrize(
    ("dense", "found"),
    [
        (["dense", "dense-gmp"], "dense-gmp"),
        (["dense", "dense-acdc"], "dense"),
        (["plain"], "plain"),
        (["a", "b"], None),
    ],
)
def test_the_dense_arm_of_an_arm(dense: list[str], found: str | None) -> None:
    assert dense_arm_of("gmp", dense) == found


def test_a_cell_of_one_configuration_is_whole_with_its_report_seeds(
    studies: Any, tmp_path: Path
) -> None:
    """The planner runs no search trial where there is nothing to compare; the tables agree."""
    study = studies["small"].with_changes(name="one", configurations_per_cell=1)
    directory = StudyDirectory(tmp_path / "one")
    directory.create(study)
    trials: dict[str, TrialState] = {}
    planner = build_planner(study, trials)
    ledger = Ledger(directory.ledger)
    with closing(ledger):
        while (use := planner.next()[0]) is not None:
            names = {"trial_id": use.trial_id, "attempt": 1}
            row = {"epoch": 4.0, "progress": 1.0, "val_error": 0.1, "at_target": True}
            records = [
                use.record(),
                Started(**names, resumed_from_step=0),
                record({"type": "report", **names, "step": 80, **row}),
                Ended(**names, status="COMPLETE"),
            ]
            ledger.append(*records)
            for each in records:
                apply_record(trials, each)
            planner.ended(use.trial_id)
    cells = analysis.load(tmp_path / "one").cells()
    assert list(cells["cell"]) == [cell.name for cell in study.cells()]
    assert set(cells["configurations"]) == set(cells["configurations_asked"]) == {1}
    assert cells["winner_id"].notna().all() and cells["finished"].all()
    assert set(cells["report_trials"]) == {2}
    assert not any(is_searched(study, cell) for cell in study.cells())
    assert all(is_searched(studies["small"], cell) for cell in studies["small"].cells())
