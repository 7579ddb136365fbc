"""Regret of searches on a record: how much worse is what they choose than what whole training does.

A search sees one seed. What it chooses is judged on the other seeds, against what whole training of
as many configurations as the largest search has would have chosen from the same ones. Runs that
diverged or collapsed are counted apart: a mean with them would tell of little else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from sparsetune.search.replay.searches import (
    RecordedCell,
    RecordedConfiguration,
    SearchMethod,
    replay_search,
)
from sparsetune.study.samplers import Sobol

Floats = NDArray[np.float64]
LEVEL = 0.95
"""Coverage of the intervals."""


class CellDraws(NamedTuple):
    """Searches of one cell by one method, each from its own configurations.

    Args:
        regrets: Loss of what was chosen minus that of whole training, in the objective's own unit,
            shape [seeds, pools].
        fractions: Epochs, as a fraction of those of whole training, shape [seeds, pools].
        independent_pools: Searches that the record could hold side by side, at least 1.
        optimism: Loss of what was chosen on fresh seeds minus that on the seed that chose it, shape
            [seeds, pools]; NaN where nothing was chosen, or one of them is not finite.
        failures: Part of what was chosen that diverged or collapsed on fresh seeds, shape
            [seeds, pools]; 1 where nothing was chosen.
    """

    regrets: Floats
    fractions: Floats
    independent_pools: float
    optimism: Floats
    failures: Floats


class RegretEstimate(NamedTuple):
    """Mean regret of a method over cells.

    Args:
        mean: The mean.
        low: Lower end of its 95 % interval.
        high: Upper end.
        epochs_fraction: Mean epochs, as a fraction of those of whole training.
        optimism: Mean of how much better what was chosen looked than it is; NaN if never known.
        failed: Mean part of what was chosen that diverged or collapsed on fresh seeds, in [0, 1].
    """

    mean: float
    low: float
    high: float
    epochs_fraction: float
    optimism: float = math.nan
    failed: float = 0.0


class _JudgedSearch(NamedTuple):
    """What a search chose, by its loss on fresh seeds and the part of them that failed; its epochs;
    how lucky the choice looked.
    """

    loss: float
    epochs: float
    optimism: float
    failed: float


@dataclass
class SearchReplay:
    """Replays searches over recorded cells, all methods from the same configurations.

    Args:
        cells: The record. Every cell has a finite `RecordedCell.worst_loss` at every seed.
        size: Configurations of whole training, at most those of the smallest cell.
        resamples: How often each cell's configurations are resampled.
    """

    cells: Sequence[RecordedCell]
    size: int
    resamples: int
    _whole: dict[tuple[int, int, int], _JudgedSearch] = field(default_factory=dict)

    def draws(self, method: SearchMethod) -> list[CellDraws]:
        """Searches by one method: those of each cell."""
        return [self._cell_draws(place, method) for place in range(len(self.cells))]

    def _cell_draws(self, place: int, method: SearchMethod) -> CellDraws:
        cell = self.cells[place]
        shape = (len(cell.seeds), self.resamples)
        regrets = np.empty(shape)
        fractions = np.empty(shape)
        optimism = np.empty(shape)
        failures = np.empty(shape)
        for number in range(self.resamples):
            pool = resampled_pool(cell, self.size, np.random.default_rng([place, number]))
            for row, seed in enumerate(cell.seeds):
                key = (place, number, seed)
                if key not in self._whole:
                    whole = SearchMethod("whole", Sobol(), self.size)
                    self._whole[key] = _judged(cell, whole, seed, pool)
                reference = self._whole[key]
                judged = _judged(cell, method, seed, pool)
                regrets[row, number] = judged.loss - reference.loss
                fractions[row, number] = judged.epochs / reference.epochs
                optimism[row, number] = judged.optimism
                failures[row, number] = judged.failed
        independent = max(1.0, len(cell.configurations) / self.size)
        return CellDraws(regrets, fractions, independent, optimism, failures)


def _judged(
    cell: RecordedCell, method: SearchMethod, seed: int, pool: Sequence[RecordedConfiguration]
) -> _JudgedSearch:
    """A replayed search, judged on fresh seeds.

    One that chooses nothing, or what fails on every fresh seed, has the worst loss of the cell.
    """
    outcome = replay_search(cell, method, seed, pool)
    worst = cell.worst_loss(seed)
    if outcome.chosen is None:
        return _JudgedSearch(worst, outcome.epochs, math.nan, 1.0)
    fresh = cell.fresh_loss(outcome.chosen, seed)
    optimism = fresh - cell.loss(outcome.chosen.seeds[seed])
    return _JudgedSearch(
        loss=min(worst, fresh),
        epochs=outcome.epochs,
        optimism=optimism if math.isfinite(optimism) else math.nan,
        failed=cell.failure_rate(outcome.chosen, seed),
    )


def resampled_pool(
    cell: RecordedCell, size: int, generator: np.random.Generator
) -> list[RecordedConfiguration]:
    """Configurations that a search may propose, in order, as another record might have had them.

    All that were recorded, from a random place of their sequence on, if there are enough for two
    searches side by side; else as many, drawn with replacement.

    Args:
        cell: The record.
        size: Configurations of whole training.
        generator: Source of randomness.
    """
    recorded = cell.configurations
    if len(recorded) >= 2 * size:
        first = int(generator.integers(len(recorded)))
        return [*recorded[first:], *recorded[:first]]
    drawn = generator.integers(len(recorded), size=len(recorded))
    return [_copied(recorded[place], number) for number, place in enumerate(drawn)]


def _copied(configuration: RecordedConfiguration, number: int) -> RecordedConfiguration:
    """A configuration under another id, since schedulers know trials by their ids."""
    config_id = f"{configuration.config_id}-{number}"
    seeds = {
        seed: replace(trial, trial_id=f"{trial.trial_id}-{number}", config_id=config_id)
        for seed, trial in configuration.seeds.items()
    }
    return replace(configuration, config_id=config_id, seeds=seeds)


def regret_estimate(cells: Sequence[CellDraws]) -> RegretEstimate:
    """Mean over cells, each with equal weight, with a 95 % interval over seeds and configurations.

    Searches that see one seed share its noise, and those that have one pool share its
    configurations: the variance of the mean is that of means by seed and that of means by pool
    together, and its degrees of freedom are Satterthwaite's.
    """
    mean = float(np.mean([draws.regrets.mean() for draws in cells]))
    fraction = float(np.mean([draws.fractions.mean() for draws in cells]))
    known = np.concatenate([draws.optimism.ravel() for draws in cells])
    known = known[np.isfinite(known)]
    optimism = float(known.mean()) if len(known) else math.nan
    parts = [part for draws in cells for part in _variance_parts(draws)]
    variance = sum(part for part, _ in parts)
    half = 0.0
    if variance > 0:
        freedom = variance**2 / sum(part**2 / own for part, own in parts)
        half = float(t.ppf((1 + LEVEL) / 2, freedom)) * variance**0.5 / len(cells)
    failed = float(np.mean([draws.failures.mean() for draws in cells]))
    return RegretEstimate(mean, mean - half, mean + half, fraction, optimism, failed)


def _variance_parts(draws: CellDraws) -> list[tuple[float, int]]:
    """Variance of a cell's mean over seeds and over pools, each with its degrees of freedom."""
    parts = []
    by_seed = draws.regrets.mean(axis=1)
    if len(by_seed) > 1:
        parts.append((float(by_seed.var(ddof=1)) / len(by_seed), len(by_seed) - 1))
    by_pool = draws.regrets.mean(axis=0)
    if len(by_pool) > 1:
        # Pools overlap: there are no more independent ones than the record can hold.
        independent = min(draws.independent_pools, len(by_pool))
        parts.append((float(by_pool.var(ddof=1)) / independent, len(by_pool) - 1))
    return parts


def front(estimates: Sequence[RegretEstimate]) -> list[bool]:
    """True for each estimate that no other beats in both mean regret and epochs."""
    points = [(one.epochs_fraction, one.mean) for one in estimates]
    return [
        not any(other[0] <= own[0] and other[1] <= own[1] and other != own for other in points)
        for own in points
    ]
