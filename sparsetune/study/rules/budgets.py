"""Rules of a budget: it must hold what every cell tries, and a value of each axis of cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from sparsetune.errors import Problem
from sparsetune.spec import TrialSpec
from sparsetune.study.budget import COST_AXES, trained_epochs
from sparsetune.study.cells import Cell, is_searched
from sparsetune.study.fields import StudyFields

COST_TOLERANCE = 1e-9
"""Relative rounding error that a cost may exceed its limit by."""


def is_within(cost: float, limit: float) -> bool:
    """True if a cost is within a limit, up to its rounding."""
    return cost <= limit * (1 + COST_TOLERANCE)


def epoch_problems(study: StudyFields, cells: Sequence[Cell]) -> Iterator[Problem]:
    """Problems of a budget in epochs, where no network decides on the length of training."""
    if study.at_most and study.at_most.epochs is not None and study.equal == "epochs":
        yield from limit_problems(study, cells, "epochs", study.at_most.epochs, trained_epochs)


def limit_problems(
    study: StudyFields,
    cells: Iterable[Cell],
    unit: str,
    limit: float,
    cost_of: Callable[[TrialSpec], float],
) -> Iterator[Problem]:
    """Trials outside of a limit, and axes without a value inside it.

    A base recipe or a known point would be tried all the same, and such an axis never. Every
    problem names the limit that would do.
    """
    searched = [cell for cell in cells if is_searched(study, cell)]
    if searched:
        yield from _certain_trial_problems(study, searched, unit, limit, cost_of)
        yield from _axis_problems(searched, unit, limit, cost_of)


def _certain_trial_problems(
    study: StudyFields,
    cells: Sequence[Cell],
    unit: str,
    limit: float,
    cost_of: Callable[[TrialSpec], float],
) -> Iterator[Problem]:
    trials = [(cost_of(spec), name) for name, spec in _certain_trials(study, cells)]
    cost, name = max(trials)
    if not is_within(cost, limit):
        enough = f"{_round_up(cost)}, the cost of {name}, would do"
        rule = f"must hold every base recipe and known point; {enough}"
        yield Problem(f"at_most.{unit}", rule, f"{limit:g}")


def _axis_problems(
    cells: Sequence[Cell], unit: str, limit: float, cost_of: Callable[[TrialSpec], float]
) -> Iterator[Problem]:
    for path in sorted(COST_AXES):
        recipes = list(_axis_end_recipes(cells, path))
        if not recipes:
            continue
        least = min(cost_of(recipe) for recipe in recipes)
        if not is_within(least, limit):
            enough = f"of which {_round_up(least)} would do"
            rule = f"no value of this axis lies within `at_most.{unit}`, {enough}"
            yield Problem(f"search.{path}", rule, f"{limit:g}")


def _certain_trials(study: StudyFields, cells: Iterable[Cell]) -> Iterator[tuple[str, TrialSpec]]:
    """Names and recipes of the trials that every cell runs, whatever it finds."""
    for cell in cells:
        yield f"the base of cell `{cell.name}`", cell.spec
        for i, point in enumerate(study.known):
            yield f"known.{i} in cell `{cell.name}`", cell.known(point)


def _axis_end_recipes(cells: Iterable[Cell], path: str) -> Iterator[TrialSpec]:
    """Recipes at either end of an axis, in the cells that search it."""
    for cell in cells:
        if path in cell.search:
            for value in cell.search[path].ends():
                yield cell.at({path: value})


def _round_up(cost: float) -> str:
    """Cost with three decimals, never less than it is."""
    return f"{math.ceil(cost * 1000 - 1e-6) / 1000:g}"
