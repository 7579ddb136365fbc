"""Points of the search space: which configuration comes next in a cell.

Random, Sobol and grid points are a pure function of the study's seed and the point's index.
Random and Sobol points are the same in every cell, so that cells are paired, and a resumed study
continues the same sequence. Samplers that adapt are asked in `suggestions`.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import optuna

from sparsetune.search.sampling.optuna_form import Point
from sparsetune.search.sampling.suggestions import suggest_values
from sparsetune.study import Study
from sparsetune.study.cells import Cell
from sparsetune.study.grid import grid_points
from sparsetune.study.samplers import GP, Adaptive, Grid, Sobol, startup_points
from sparsetune.study.space import Value

MIN_LOG2_SOBOL_POINTS = 6
"""Points are made 64 at a time at least: making them one by one would repeat the work."""


def sample_point(
    study: Study,
    cell: Cell,
    index: int,
    told: optuna.Study,
    *,
    pending: Iterable[Point] = (),
    rejected: Iterable[Point] = (),
    drawn: int | None = None,
    adaptive: bool = True,
) -> dict[str, Value] | None:
    """Values of the search axes that apply, at one sampled point; None beyond the end of a grid.

    Args:
        study: Gives the sampler and its seed.
        cell: Its ``search`` axes are sampled.
        index: From 0; counts the cell's sampled points.
        told: The cell's finished configurations, for an adaptive sampler.
        pending: Points of configurations that still run, for an adaptive sampler.
        rejected: Points that may not be tried, for an adaptive sampler.
        drawn: Number of points that became configurations, which counts for the start-up; by
            default ``index``.
        adaptive: False asks an adaptive sampler for a random point, since it repeats itself in a
            small space.
    """
    sampler = study.sampler
    if isinstance(sampler, Grid):
        return next(itertools.islice(grid_points(cell, sampler), index, None), None)
    if isinstance(sampler, Adaptive) and adaptive:
        n_drawn = index if drawn is None else drawn
        if n_drawn >= startup_points(sampler, study.configurations_per_cell):
            return suggest_values(study, cell, index, told, pending, rejected)
    return sample_sequence_point(study, cell, index, sobol=isinstance(sampler, Sobol | GP))


def sample_sequence_point(
    study: Study, cell: Cell, index: int, *, sobol: bool = False
) -> dict[str, Value]:
    """Values that apply at one point of the random or the Sobol sequence."""
    paths = set(study.search)
    for arm in study.arms.values():
        paths |= arm.search.keys()
    # A coordinate belongs to an axis of the whole study, so that cells share the values of an axis.
    coordinates = _unit_point(sobol, study.seed, len(paths), index)
    by_path = dict(zip(sorted(paths), coordinates, strict=True))
    values = {path: axis.at(by_path[path]) for path, axis in cell.search.items()}
    return cell.applicable_values(values)


def _unit_point(sobol: bool, seed: int, dimensions: int, index: int) -> list[float]:
    """Coordinates in [0, 1) of one point, an axis of the study each, in alphabetical order."""
    if not sobol:
        return list(np.random.default_rng([seed, index]).random(dimensions))
    log2_points = max(MIN_LOG2_SOBOL_POINTS, index.bit_length())
    return list(_sobol_points(seed, dimensions, log2_points)[index])


@lru_cache(maxsize=8)
def _sobol_points(seed: int, dimensions: int, log2_points: int) -> np.ndarray:
    """First 2^m points of a scrambled Sobol sequence, (points, dimensions).

    A longer sequence begins with the shorter one.
    """
    from scipy.stats import qmc  # it takes a second, and only launches draw points

    sequence = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed))
    return sequence.random_base2(log2_points)


def quiet_optuna() -> None:
    """Keep Optuna's own lines off the terminal: the study reports for itself."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"optuna\.")
