"""Points of the search space: which configuration comes next in a cell.

Random, Sobol and grid points are a pure function of the study's seed and the point's index; random and Sobol points
are the same in every cell, so that cells are paired. A resumed study goes on where it was. Samplers that adapt are
asked in `sparsetune.search.suggestions`.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import optuna
from scipy.stats import qmc

from sparsetune.search.suggestions import Point, suggest_values
from sparsetune.study import Study
from sparsetune.study.cells import Cell
from sparsetune.study.grid import grid_points
from sparsetune.study.samplers import Adaptive, Grid, Sobol
from sparsetune.study.space import Value


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
    """Values of the cell's search axes that apply, for sampled point ``index``; None beyond the end of a grid.

    Args:
        study: Gives the sampler and its seed.
        cell: Its ``search`` axes are sampled.
        index: From 0; counts the cell's sampled points.
        told: The cell's finished configurations, for an adaptive sampler.
        pending: Points of configurations that still run, for the same.
        rejected: Points that may not be tried, for the same.
        drawn: How many points became configurations, which counts for the start-up; by default all.
        adaptive: False asks an adaptive sampler for a random point, since it repeats itself in a small space.
    """
    sampler = study.sampler
    if isinstance(sampler, Grid):
        return next(itertools.islice(grid_points(cell, sampler), index, None), None)
    if (
        isinstance(sampler, Adaptive)
        and adaptive
        and (index if drawn is None else drawn) >= sampler.n_startup
    ):
        return suggest_values(study, cell, index, told, pending, rejected)
    return sample_sequence_point(study, cell, index, sobol=isinstance(sampler, Sobol))


def sample_sequence_point(
    study: Study, cell: Cell, index: int, *, sobol: bool = False
) -> dict[str, Value]:
    """Point ``index`` of the random or the Sobol sequence, those of its values that apply."""
    paths = sorted(
        {
            path
            for axes in (study.search, *(arm.search for arm in study.arms.values()))
            for path in axes
        }
    )
    point = _unit_point(sobol, study.seed, len(paths), index)
    return cell.applicable_values(
        {path: axis.at(point[paths.index(path)]) for path, axis in cell.search.items()}
    )


def _unit_point(sobol: bool, seed: int, dimensions: int, index: int) -> list[float]:
    """Point ``index`` in the unit cube over all of the study's search axes, in alphabetical order."""
    if not sobol:
        return list(np.random.default_rng([seed, index]).random(dimensions))
    return list(_sobol_points(seed, dimensions, max(6, index.bit_length()))[index])


@lru_cache(maxsize=8)
def _sobol_points(seed: int, dimensions: int, log2_points: int) -> np.ndarray:
    """The first 2^m points; a longer sequence begins with the shorter one."""
    return qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed)).random_base2(
        log2_points
    )


def quiet_optuna() -> None:
    """Keep Optuna's own lines off the terminal: the study reports for itself."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"optuna\.")
