from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import analysis
from analysis.tables.selection import dense_arm_of, report_rows


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
