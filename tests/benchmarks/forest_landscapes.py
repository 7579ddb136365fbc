"""Landscapes that forests predict: a second opinion on samplers, since a Gaussian process may do
well on surfaces that are smooth as it assumes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import FloatDistribution
from scipy.stats import qmc
from sklearn.ensemble import RandomForestRegressor

from sparsetune.search.replay.clock import RecordedTrial
from sparsetune.search.replay.searches import RecordedCell, RecordedConfiguration
from sparsetune.search.sampling.optuna_form import to_optuna_trial
from sparsetune.storage.records import Report

Floats = NDArray[np.float64]
TREES = 200
RUNS_PER_LEAF = 12
"""Recorded runs in a leaf of a tree, at least: four configurations on three seeds."""


def forest_cell(cell: RecordedCell, points: int, seeds: int, seed: int = 0) -> RecordedCell:
    """A cell at new points, each with runs as a forest of the recorded ones predicts them.

    The loss of a run is that of a recorded run in the point's leaf of a tree drawn at random: so it
    varies as much as recorded ones do there. Runs that diverged or collapsed are left out.

    Args:
        cell: The record, of which every axis is a range of numbers.
        points: Number of new points, a power of 2.
        seeds: Runs at each point.
        seed: Seed of the forest, the points and the runs.
    """
    losses, recorded = _recorded_runs(cell)
    forest = RandomForestRegressor(TREES, min_samples_leaf=RUNS_PER_LEAF, random_state=seed)
    forest.fit(recorded, losses)
    axes = _axes(cell)
    unit = qmc.Sobol(len(axes), rng=seed).random(points)
    drawn = _drawn_losses(forest, recorded, losses, unit, seeds, np.random.default_rng(seed))
    configurations = [
        _configuration(cell, number, _values(axes, place), own)
        for number, (place, own) in enumerate(zip(unit, drawn, strict=True))
    ]
    return RecordedCell(cell.study, cell.cell, configurations)


def _axes(cell: RecordedCell) -> Mapping[str, FloatDistribution]:
    """Searched ranges of a cell by dotted field."""
    axes: Mapping[str, FloatDistribution] = cell.configurations[0].trial.distributions
    return axes


def _recorded_runs(cell: RecordedCell) -> tuple[Floats, Floats]:
    """Losses of the runs that did not fail, and their places in the unit cube, a row each."""
    axes = _axes(cell)
    losses = []
    places = []
    for configuration in cell.configurations:
        place = [_place(axis, configuration.trial.params[path]) for path, axis in axes.items()]
        for trial in configuration.seeds.values():
            if not cell.has_failed(trial):
                losses.append(cell.loss(trial))
                places.append(place)
    return np.array(losses), np.array(places)


def _place(axis: FloatDistribution, value: float) -> float:
    low, high, at = (np.log(axis.low), np.log(axis.high), np.log(value)) if axis.log else (
        axis.low, axis.high, value
    )  # fmt: skip
    return float((at - low) / (high - low))


def _values(axes: Mapping[str, FloatDistribution], place: Floats) -> dict[str, float]:
    """Values by dotted field of a point in the unit cube."""
    values = {}
    for (path, axis), at in zip(axes.items(), place, strict=True):
        if axis.log:
            values[path] = float(axis.low * (axis.high / axis.low) ** at)
        else:
            values[path] = float(axis.low + (axis.high - axis.low) * at)
    return values


def _drawn_losses(
    forest: RandomForestRegressor,
    recorded: Floats,
    losses: Floats,
    unit: Floats,
    seeds: int,
    generator: np.random.Generator,
) -> Floats:
    """Losses of runs at new points, shape [points, seeds]."""
    leaves = forest.apply(recorded)
    new = forest.apply(unit)
    drawn = np.empty((len(unit), seeds))
    for point, own in enumerate(new):
        for run, tree in enumerate(generator.integers(TREES, size=seeds)):
            like = losses[leaves[:, tree] == own[tree]]
            drawn[point, run] = generator.choice(like)
    return drawn


def _configuration(
    cell: RecordedCell, number: int, values: Mapping[str, Any], losses: Sequence[float]
) -> RecordedConfiguration:
    config_id = f"forest-{number}"
    trial = to_optuna_trial(cell.cell, values, None)
    assert trial is not None  # within the ranges
    spec = cell.cell.at(values)
    last = next(iter(cell.configurations[0].seeds.values())).rows[-1]
    runs = {}
    for seed, loss in enumerate(losses):
        trial_id = f"{config_id}-{seed}"
        row = {
            "step": last.step,
            "epoch": last.epoch,
            "progress": 1.0,
            cell.study.objective.column: cell.sign * float(loss),
        }
        report = Report(trial_id=trial_id, attempt=1, row=row)
        runs[seed] = RecordedTrial(trial_id, config_id, spec, "COMPLETE", [report])
    return RecordedConfiguration(config_id, trial, runs)
