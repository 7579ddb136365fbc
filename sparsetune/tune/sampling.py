"""Points of the search space: which configuration comes next in a cell.

Random and Sobol points are a pure function of the study's seed and the point's index, the same in every cell, so that
cells are paired and a resumed study goes on where it was. Suggestion k of an adaptive sampler comes from a sampler
seeded by (study seed, cell, k) that was told every finished configuration of the cell.
"""

from __future__ import annotations

import hashlib
import warnings
from functools import lru_cache

import numpy as np
import optuna
from scipy.stats import qmc

from sparsetune.cells import Cell
from sparsetune.space import Axis, Choice, IntRange, LogUniform, Value
from sparsetune.study import TPE, Sobol, Study


def sample(study: Study, cell: Cell, index: int, told: optuna.Study, *, adaptive: bool = True) -> dict[str, Value]:
    """Values of the cell's search axes for sampled point ``index``.

    Args:
        study: Gives the sampler and its seed.
        cell: Its ``search`` axes are sampled.
        index: From 0; counts the cell's sampled points.
        told: The cell's finished configurations, for an adaptive sampler.
        adaptive: False asks an adaptive sampler for a random point, since it repeats itself in a small space.
    """
    if adaptive and isinstance(study.sampler, TPE) and index >= study.sampler.n_startup:
        return _suggest(study, cell, index, told)
    paths = sorted({path for axes in (study.search, *(arm.search for arm in study.arms.values())) for path in axes})
    point = _unit_point(isinstance(study.sampler, Sobol), study.seed, len(paths), index)
    return {path: axis.at(point[paths.index(path)]) for path, axis in cell.search.items()}


def _unit_point(sobol: bool, seed: int, dimensions: int, index: int) -> list[float]:
    """Point ``index`` in the unit cube over all of the study's search axes, in alphabetical order."""
    if not sobol:
        return list(np.random.default_rng([seed, index]).random(dimensions))
    return list(_sobol(seed, dimensions, max(6, index.bit_length()))[index])


@lru_cache(maxsize=8)
def _sobol(seed: int, dimensions: int, log2_points: int) -> np.ndarray:
    """The first 2^m points; a longer sequence begins with the shorter one."""
    return qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed)).random_base2(log2_points)


def _suggest(study: Study, cell: Cell, index: int, told: optuna.Study) -> dict[str, Value]:
    digest = hashlib.sha256(f"{study.seed}/{cell.name}/{index}".encode()).digest()
    sampler = optuna.samplers.TPESampler(n_startup_trials=1, seed=int.from_bytes(digest[:4], "big"), multivariate=True)
    asked = optuna.create_study(sampler=sampler, direction=told.direction)
    asked.add_trials(told.get_trials(deepcopy=False))
    distributions = {path: distribution(axis) for path, axis in cell.search.items()}
    return dict(asked.ask(distributions).params)


def distribution(axis: Axis) -> optuna.distributions.BaseDistribution:
    """Optuna's form of a search axis."""
    if isinstance(axis, Choice):
        return optuna.distributions.CategoricalDistribution(axis.options)
    if isinstance(axis, IntRange):
        return optuna.distributions.IntDistribution(axis.low, axis.high)
    return optuna.distributions.FloatDistribution(axis.low, axis.high, log=isinstance(axis, LogUniform))


def quiet_optuna() -> None:
    """Keep Optuna's own lines off the terminal: the study reports for itself."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
