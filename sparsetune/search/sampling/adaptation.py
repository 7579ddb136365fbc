"""Checks of an Optuna sampler: it exists, takes its arguments, and adapts to results."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator

import optuna

from sparsetune.errors import Problem
from sparsetune.search.sampling.optuna_form import to_optuna_trial
from sparsetune.search.sampling.points import quiet_optuna, sample_sequence_point
from sparsetune.search.sampling.suggestions import suggest_values
from sparsetune.spec.declaration import digest_of, to_plain
from sparsetune.study import Study
from sparsetune.study.cells import Cell
from sparsetune.study.grid import grid_size
from sparsetune.study.samplers import Grid, OptunaSampler
from sparsetune.study.space import Choice, IntRange

REFUSED_SAMPLERS = {
    "RandomSampler": (
        "it does not adapt; declare `Random()`, whose points are the same in every cell"
    ),
    "QMCSampler": "it does not adapt; declare `Sobol()`, whose points are the same in every cell",
    "GridSampler": "it does not adapt; declare `Grid()`",
    "BruteForceSampler": "it does not adapt; declare `Grid()`",
    "PartialFixedSampler": (
        "it wraps another sampler; fix a field in the base, and name the other sampler"
    ),
}
"""Samplers that cannot be made again for every suggestion, and what to declare instead."""

REFUSED_ARGUMENTS = {
    "seed": "every suggestion has a seed of its own, from the study's `seed`",
    "n_startup_trials": "give `n_startup` beside `arguments`",
    "with_margin": "it steps by its own suggestions, not by what was told",
}
"""Arguments that may not be given, and why."""

COMPARED_SUGGESTIONS = 8
"""Suggestions compared under two objectives: in a small space a few may agree by chance."""


def sampler_problems(study: Study) -> list[Problem]:
    """Problems of a study's Optuna sampler, found by asking it; empty for our own samplers."""
    if not isinstance(study.sampler, OptunaSampler):
        return []
    name_problems = list(_name_problems(study.sampler))
    # A sampler that cannot be named cannot be asked.
    return name_problems or list(_sampling_problems(study, study.sampler))


def adaptive_samplers() -> list[str]:
    """Names of Optuna's samplers that may be declared."""
    names = []
    for name in optuna.samplers.__all__:
        is_sampler = inspect.isclass(getattr(optuna.samplers, name))
        if is_sampler and not name.startswith("Base") and name not in REFUSED_SAMPLERS:
            names.append(name)
    return sorted(names)


def _name_problems(sampler: OptunaSampler) -> Iterator[Problem]:
    if sampler.name in REFUSED_SAMPLERS:
        yield Problem("sampler.name", REFUSED_SAMPLERS[sampler.name], repr(sampler.name))
    elif sampler.name not in adaptive_samplers():
        rule = f"must be a sampler of Optuna that adapts: {', '.join(adaptive_samplers())}"
        yield Problem("sampler.name", rule, repr(sampler.name))
    for name in sorted(REFUSED_ARGUMENTS.keys() & sampler.arguments):
        yield Problem(f"sampler.arguments.{name}", f"must not be given: {REFUSED_ARGUMENTS[name]}")


def _sampling_problems(study: Study, sampler: OptunaSampler) -> Iterator[Problem]:
    """Problems that only show when each search space of the study is sampled."""
    # Cells of one search space are asked once: each question costs many suggestions.
    spaces = {}
    for cell in study.cells():
        if cell.search and not _is_exhaustible(study, cell):
            spaces[digest_of(to_plain(cell.search))] = cell
    for cell in spaces.values():
        try:
            adapts = _is_adaptive(study, cell)
        except ImportError as error:
            rule = f"needs the package `{error.name}`, which is not installed"
            yield Problem("sampler.name", rule, sampler.name)
            return
        except Exception as error:  # for a wrong argument, samplers raise errors of any type
            reason = " ".join(str(error).split())
            rule = f"Optuna's {sampler.name} refuses them: {reason}"
            yield Problem("sampler.arguments", rule, str(sampler.arguments))
            return
        if not adapts:
            told = study.configurations_per_cell - 1
            rule = (
                f"must adapt: in cell `{cell.name}`, told {told} configurations of another"
                " objective, it suggests the same; give it more configurations (some count in"
                " generations, which may have a size among `arguments`), or axes that it can handle"
            )
            yield Problem("sampler", rule, sampler.name)
            return


def _is_exhaustible(study: Study, cell: Cell) -> bool:
    """True if every point of the cell is tried anyway."""
    is_finite = all(isinstance(axis, Choice | IntRange) for axis in cell.search.values())
    return is_finite and grid_size(cell, Grid()) <= study.configurations_per_cell


def _is_adaptive(study: Study, cell: Cell) -> bool:
    """True if the last suggestions of a cell change when the order of objectives is reversed."""
    with warnings.catch_warnings():
        quiet_optuna()
        rising = _synthetic_trials(study, cell, sign=1)
        falling = _synthetic_trials(study, cell, sign=-1)
        last = study.configurations_per_cell - 1
        for index in range(last, last + COMPARED_SUGGESTIONS):
            after_rising = suggest_values(study, cell, index, rising)
            after_falling = suggest_values(study, cell, index, falling)
            if after_rising != after_falling:
                return True
        return False


def _synthetic_trials(study: Study, cell: Cell, sign: int) -> optuna.Study:
    """All but one of a cell's configurations, at random points.

    Args:
        study: Gives the seed and the number of configurations.
        cell: Its search axes are sampled.
        sign: 1 for objectives that rise from one configuration to the next, -1 for falling ones.
    """
    synthetic = optuna.create_study()
    for index in range(study.configurations_per_cell - 1):
        point = sample_sequence_point(study, cell, index)
        trial = to_optuna_trial(cell, point, float(sign * index))
        if trial:
            synthetic.add_trial(trial)
    return synthetic
