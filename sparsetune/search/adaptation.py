"""Whether the Optuna sampler that a study names exists, takes its arguments, and adapts to what it is told."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator

import optuna

from sparsetune.errors import Problem
from sparsetune.search.sampling import quiet_optuna, sample_sequence_point
from sparsetune.search.suggestions import suggest_values, to_optuna_trial
from sparsetune.spec.declaration import digest_of, to_plain
from sparsetune.study import Study
from sparsetune.study.cells import Cell
from sparsetune.study.grid import grid_size
from sparsetune.study.samplers import Grid, OptunaSampler
from sparsetune.study.space import Choice, IntRange

REFUSED_SAMPLERS = {
    "RandomSampler": "it does not adapt; declare `Random()`, whose points are the same in every cell",
    "QMCSampler": "it does not adapt; declare `Sobol()`, whose points are the same in every cell",
    "GridSampler": "it does not adapt; declare `Grid()`",
    "BruteForceSampler": "it does not adapt; declare `Grid()`",
    "PartialFixedSampler": "it wraps another sampler; fix a field in the base, and name the other sampler",
}
"""Samplers of Optuna that cannot be asked anew for every suggestion, and what to declare instead."""
REFUSED_ARGUMENTS = {
    "seed": "every suggestion has a seed of its own, from the study's `seed`",
    "n_startup_trials": "give `n_startup` beside `arguments`",
    "with_margin": "it steps by its own suggestions, not by what was told",
}
"""Arguments that may not be given, and why."""
COMPARED_SUGGESTIONS = 8
"""Suggestions that are compared under two objectives: in a space of few options two may agree by chance."""


def sampler_problems(study: Study) -> list[Problem]:
    """What is wrong with an Optuna sampler, found by asking it; empty for the study's own samplers."""
    if not isinstance(study.sampler, OptunaSampler):
        return []
    return list(_name_problems(study.sampler)) or list(_sampling_problems(study, study.sampler))


def adaptive_samplers() -> list[str]:
    """Names of Optuna's samplers that may be declared."""
    found = {name: getattr(optuna.samplers, name) for name in optuna.samplers.__all__}
    kinds = [
        name
        for name, kind in found.items()
        if inspect.isclass(kind) and not name.startswith("Base")
    ]
    return sorted(name for name in kinds if name not in REFUSED_SAMPLERS)


def _name_problems(sampler: OptunaSampler) -> Iterator[Problem]:
    if sampler.name in REFUSED_SAMPLERS:
        yield Problem("sampler.name", REFUSED_SAMPLERS[sampler.name], repr(sampler.name))
    elif sampler.name not in adaptive_samplers():
        rule = f"must be a sampler of Optuna that adapts: {', '.join(adaptive_samplers())}"
        yield Problem("sampler.name", rule, repr(sampler.name))
    for name in sorted(REFUSED_ARGUMENTS.keys() & sampler.arguments):
        yield Problem(f"sampler.arguments.{name}", f"must not be given: {REFUSED_ARGUMENTS[name]}")


def _sampling_problems(study: Study, sampler: OptunaSampler) -> Iterator[Problem]:
    """Faults that only show when each search space of the study is sampled."""
    searching = [cell for cell in study.cells() if cell.search and not _is_exhaustible(study, cell)]
    for cell in {digest_of(to_plain(cell.search)): cell for cell in searching}.values():
        try:
            adapts = _is_adaptive(study, cell)
        except ImportError as error:
            yield Problem(
                "sampler.name",
                f"needs the package `{error.name}`, which is not installed",
                sampler.name,
            )
            return
        except (
            Exception
        ) as error:  # Optuna's samplers raise what they like for an argument that cannot be
            reason = " ".join(str(error).split())
            rule = f"Optuna's {sampler.name} refuses them: {reason}"
            yield Problem("sampler.arguments", rule, str(sampler.arguments))
            return
        if not adapts:
            rule = (
                f"must adapt: in cell `{cell.name}`, told {study.configurations_per_cell - 1} configurations of another"
                " objective, it suggests the same; give it more configurations (some count in generations, which may"
                " have a size among `arguments`), or axes that it can handle"
            )
            yield Problem("sampler", rule, sampler.name)
            return


def _is_exhaustible(study: Study, cell: Cell) -> bool:
    """Whether every point of the cell is tried anyway."""
    whole = all(isinstance(axis, Choice | IntRange) for axis in cell.search.values())
    return whole and grid_size(cell, Grid()) <= study.configurations_per_cell


def _is_adaptive(study: Study, cell: Cell) -> bool:
    """Whether the last suggestions of a cell change when the order of its objectives is turned round."""
    with warnings.catch_warnings():
        quiet_optuna()
        rising, falling = (_synthetic_trials(study, cell, sign) for sign in (1, -1))
        last = study.configurations_per_cell - 1
        ks = range(last, last + COMPARED_SUGGESTIONS)
        return any(
            suggest_values(study, cell, k, rising) != suggest_values(study, cell, k, falling)
            for k in ks
        )


def _synthetic_trials(study: Study, cell: Cell, sign: int) -> optuna.Study:
    """All but one of a cell's configurations, at random points, each better than the one before, or worse."""
    told = optuna.create_study()
    points = (
        sample_sequence_point(study, cell, index)
        for index in range(study.configurations_per_cell - 1)
    )
    trials = (
        to_optuna_trial(cell, point, float(sign * index)) for index, point in enumerate(points)
    )
    told.add_trials([trial for trial in trials if trial])
    return told
