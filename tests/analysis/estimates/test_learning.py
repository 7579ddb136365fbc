"""Cells that learned nothing, and collapsed trainings, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.estimates.learning import (
    collapsed_trials,
    collapses,
    compared_trials,
    learned_nothing,
)
from analysis.testing import MadeResults
from sparsetune.errors import SparsetuneError
from tests.analysis.simulation import SMALL, Simulation

CELL = "gmp/target=0.9/epoch_multiplier=1"
OTHER = "gmp/target=0.9/epoch_multiplier=2"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> MadeResults:
    path = tmp_path_factory.mktemp("learning") / "small"
    found = MadeResults.copy_of(analysis.load(Simulation(SMALL, path).run()))
    trials = found.trials().assign(learned_nothing=False, chance_loss=2.0, train_loss=0.5)
    return found.replace(trials=trials.astype({"learned_nothing": "boolean"}))


def trials_of(results: MadeResults, cell: str, role: str) -> list[str]:
    uses = results.uses()
    own = uses[(uses["cell"] == cell) & (uses["role"] == role)]
    return list(own.sort_values("seed")["trial_id"])


def with_values(results: MadeResults, column: str, values: dict[str, object]) -> MadeResults:
    trials = results.trials()
    trials[column] = [
        values.get(one, old) for one, old in zip(trials["trial_id"], trials[column], strict=True)
    ]
    return results.replace(trials=trials)


def test_all_networks_of_a_role_must_have_learned_nothing(results: MadeResults) -> None:
    first, second = trials_of(results, CELL, "report")
    assert learned_nothing(results) == set()
    one = with_values(results, "learned_nothing", {first: True})
    assert learned_nothing(one) == set(), "the other network is weak, but none such"
    both = with_values(one, "learned_nothing", {second: True})
    assert learned_nothing(both) == {CELL}
    assert learned_nothing(both, "control") == learned_nothing(both, "twin") == set()
    unknown = with_values(both, "learned_nothing", {second: pd.NA})
    assert learned_nothing(unknown) == set()
    # A trial without an end is not judged.
    waiting = with_values(both, "status", {second: "RUNNING"})
    assert learned_nothing(waiting) == {CELL}


@pytest.mark.parametrize("role", ["control", "twin"])
def test_other_roles(results: MadeResults, role: str) -> None:
    constant = dict.fromkeys(trials_of(results, CELL, role), True)
    found = with_values(results, "learned_nothing", constant)
    cells = learned_nothing(found, role)  # type: ignore[arg-type]
    assert CELL in cells
    assert CELL not in learned_nothing(found)
    assert len(compared_trials(found, role).query("cell == @CELL")) == 2  # type: ignore[arg-type]


def test_a_role_and_a_distance_are_checked(results: MadeResults) -> None:
    with pytest.raises(SparsetuneError, match="report, control, twin, got `search`"):
        learned_nothing(results, "search")  # type: ignore[arg-type]
    for distance in (0, 1, -0.1):
        with pytest.raises(SparsetuneError, match="between 0 and 1"):
            collapses(results, distance)


def test_a_collapse_is_a_training_loss_near_that_of_a_constant(results: MadeResults) -> None:
    first, second = trials_of(results, CELL, "report")
    control = trials_of(results, CELL, "control")[0]
    losses = {first: 1.9, second: 1.8999, control: 2.3}
    found = collapses(with_values(results, "train_loss", losses))
    row = found.loc[CELL].to_dict()
    assert row == {
        **{"report": 1, "report_runs": 2, "control": 1, "control_runs": 2},
        **{"twin": 0, "twin_runs": 2},
    }
    assert found.loc[OTHER, "report"] == 0 and list(found.index) == list(results.cells()["cell"])
    further = collapses(with_values(results, "train_loss", losses), 0.06)
    assert further.loc[CELL, "report"] == 2


def test_without_the_loss_of_a_constant_nothing_is_judged(results: MadeResults) -> None:
    old = results.replace(trials=results.trials().assign(chance_loss=np.nan))
    assert collapsed_trials(old).isna().all()
    assert (collapses(old) == 0).all(axis=None)
    assert (collapses(results)["report_runs"] == 2).all()


def test_cells_count_networks_that_learned_nothing(tmp_path: Path) -> None:
    class Constant(Simulation):
        def close(self) -> Path:
            sparse = {one["trial_id"] for one in self.records if one.get("cell") == CELL}
            self.records = [
                {**one, "learned_nothing": one["trial_id"] in sparse, "chance_loss": 2.3}
                if one["type"] == "ended"
                else one
                for one in self.records
            ]
            return super().close()

    study = analysis.load(Constant(SMALL, tmp_path / "small").run())
    cells = study.cells().set_index("cell")["learned_nothing"]
    assert cells[[CELL, OTHER]].tolist() == [2, 0]
    trials = study.trials()
    assert trials["learned_nothing"].dtype == "boolean" and trials["chance_loss"].eq(2.3).all()
    plain = analysis.load(Simulation(SMALL, tmp_path / "old").run())
    assert plain.cells()["learned_nothing"].isna().all()
