"""Predicted landscapes have the recorded ones' losses, high where these are high."""

from __future__ import annotations

from statistics import fmean

import numpy as np
from scipy.stats import spearmanr

from sparsetune.search.replay.landscape import read_landscape
from tests.benchmarks.forest_landscapes import forest_cell
from tests.benchmarks.landscapes import FOLDER


def test_a_forest_predicts_runs_at_new_points_like_those_recorded_nearby() -> None:
    (cell,) = read_landscape(FOLDER / "digits.parquet", ["dense"])
    predicted = forest_cell(cell, points=64, seeds=3)
    again = forest_cell(cell, points=64, seeds=3)
    assert [sorted(one.seeds) for one in predicted.configurations] == [[0, 1, 2]] * 64
    recorded = {
        cell.loss(trial): np.log(one.trial.params["optim.lr"])
        for one in cell.configurations
        for trial in one.seeds.values()
    }
    losses = []
    nearby = []
    for one, same in zip(predicted.configurations, again.configurations, strict=True):
        own = [predicted.loss(trial) for trial in one.seeds.values()]
        assert own == [again.loss(trial) for trial in same.seeds.values()]
        assert set(own) <= set(recorded)
        at = np.log(one.trial.params["optim.lr"])
        near = sorted(
            cell.configurations, key=lambda other: abs(np.log(other.trial.params["optim.lr"]) - at)
        )
        losses.append(fmean(own))
        nearby.append(fmean(cell.loss(t) for other in near[:8] for t in other.seeds.values()))
    assert spearmanr(losses, nearby).statistic > 0.6
