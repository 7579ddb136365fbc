"""Costs of a study's configurations before they are trained, against the study's budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from sparsetune.costs.equal_flops import match_dense_flops
from sparsetune.costs.training_flops import train_flops
from sparsetune.errors import Problem
from sparsetune.spec import TrialSpec
from sparsetune.study import Study
from sparsetune.study.budget import COST_AXES, Budget, trained_epochs
from sparsetune.study.cells import Cell, is_searched

COST_BY_UNIT = {"epochs": trained_epochs, "train_flops": train_flops}
"""Functions from a trial to its cost, by the budget's field."""
COST_TOLERANCE = 1e-9
"""Relative rounding error that a cost may exceed its limit by."""


def is_affordable(budget: Budget | None, spec: TrialSpec) -> bool:
    """Return True if a valid trial costs at most the budget; True without a budget."""
    limits = budget.limits() if budget else {}
    return all(_is_within(COST_BY_UNIT[unit](spec), limit) for unit, limit in limits.items())


def _is_within(cost: float, limit: float) -> bool:
    return cost <= limit * (1 + COST_TOLERANCE)


def budget_problems(study: Study) -> Iterator[Problem]:
    """Trials outside of a valid study's budget, and axes without a value inside it.

    A base recipe or a known point would be tried all the same, and such an axis never. Every
    problem names the limit that would do.
    """
    searched = [cell for cell in study.cells() if is_searched(study, cell)]
    # Without the sizes of its data a trial has no network to count FLOPs of.
    resolved = [cell for cell in searched if cell.spec.task.is_resolved]
    for unit, limit in study.at_most.limits().items() if study.at_most else ():
        needs_network = unit == "train_flops" or study.equal == "train_flops"
        cells = resolved if needs_network else searched
        if cells:
            cost_of = _declared_cost(study, unit)
            yield from _certain_trial_problems(study, cells, unit, limit, cost_of)
            yield from _axis_problems(cells, unit, limit, cost_of)


def _declared_cost(study: Study, unit: str) -> Callable[[TrialSpec], float]:
    """Function from a recipe to the cost of its trial, stretched where the study equals FLOPs."""
    cost = COST_BY_UNIT[unit]
    if study.equal == "train_flops":
        return lambda recipe: cost(match_dense_flops(recipe))
    return cost


def _certain_trial_problems(
    study: Study,
    cells: Sequence[Cell],
    unit: str,
    limit: float,
    cost_of: Callable[[TrialSpec], float],
) -> Iterator[Problem]:
    trials = [(cost_of(spec), name) for name, spec in _certain_trials(study, cells)]
    cost, name = max(trials)
    if not _is_within(cost, limit):
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
        if not _is_within(least, limit):
            enough = f"of which {_round_up(least)} would do"
            rule = f"no value of this axis lies within `at_most.{unit}`, {enough}"
            yield Problem(f"search.{path}", rule, f"{limit:g}")


def _certain_trials(study: Study, cells: Iterable[Cell]) -> Iterator[tuple[str, TrialSpec]]:
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
