"""Rules of budgets, and what one of a whole study is divided into.

A budget of a search must hold what every cell tries, and a value of each axis of cost; that of a
study two configurations a cell and two report seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from sparsetune.errors import Problem
from sparsetune.spec import TrialSpec
from sparsetune.study.budget import (
    COST_AXES,
    CellCost,
    Division,
    allowed_divisions,
    divide_budget,
    division_cost,
    trained_epochs,
)
from sparsetune.study.cells import Cell, is_searched
from sparsetune.study.fields import StudyFields
from sparsetune.study.samplers import MIN_GP_CONFIGURATIONS
from sparsetune.study.stopping import EARLY_HALVING

COST_TOLERANCE = 1e-9
"""Relative rounding error that a cost may exceed its limit by."""


def is_within(cost: float, limit: float) -> bool:
    """True if a cost is within a limit, up to its rounding."""
    return cost <= limit * (1 + COST_TOLERANCE)


def epoch_problems(study: StudyFields, cells: Sequence[Cell]) -> Iterator[Problem]:
    """Problems of a budget in epochs, where no network decides on the length of training."""
    if study.at_most and study.at_most.epochs is not None and study.equal == "epochs":
        yield from limit_problems(study, cells, "epochs", study.at_most.epochs, trained_epochs)


def budget_problems(study: StudyFields, cells: Sequence[Cell]) -> Iterator[Problem]:
    """Problems of the budget of a whole study: another unit, or too little."""
    if study.budget is None:
        return
    others = study.budget.limits().keys() - {study.equal}
    for unit in sorted(others):
        rule = f"must be in `{study.equal}`, the cost that networks share (`Study.equal`)"
        yield Problem(f"budget.{unit}", rule, f"{study.budget.limits()[unit]:g}")
    division = affordable_division(study, cells)
    limit = study.budget.limits().get(study.equal)
    if division is None or limit is None:
        return
    cost = expected_cost(study, cells)
    if not is_within(cost, limit):
        counts = f"{division.configurations_per_cell} configurations in each cell that searches"
        rule = (
            f"must hold {counts} and {division.report_seeds} report seeds, which cost"
            f" {_round_up(cost)}; declare fewer cells or shorter training"
        )
        yield Problem(f"budget.{study.equal}", rule, f"{limit:g}")


def affordable_division(
    study: StudyFields, cells: Sequence[Cell], *, chooses_stopping: bool = False
) -> Division | None:
    """The counts that a study's budget pays for; the smallest where it holds none.

    Args:
        study: The declaration; counts that it sets are kept.
        cells: Its cells.
        chooses_stopping: Whether many configurations would be stopped by `EARLY_HALVING`, though
            the study does not declare it.

    Returns:
        None without a budget in the unit of `Study.equal`.
    """
    limit = study.budget.limits().get(study.equal) if study.budget else None
    if limit is None:
        return None
    given = study.model_fields_set
    divisions = allowed_divisions(
        study.configurations_per_cell if "configurations_per_cell" in given else None,
        # Looks double the report seeds, so that these are part of the rule.
        study.report_seeds if study.until_settled or "report_seeds" in given else None,
    )
    early_from = MIN_GP_CONFIGURATIONS if chooses_stopping else _early_from(study)
    return divide_budget(limit, divisions, _cell_costs(study, cells), early_from)


def expected_cost(study: StudyFields, cells: Sequence[Cell]) -> float:
    """Epochs that a study is expected to train, or those of dense networks of equal FLOPs."""
    counts = Division(study.configurations_per_cell, study.report_seeds)
    return division_cost(counts, _cell_costs(study, cells), _early_from(study))


def _early_from(study: StudyFields) -> int | None:
    return MIN_GP_CONFIGURATIONS if study.stopping == EARLY_HALVING else None


def _cell_costs(study: StudyFields, cells: Sequence[Cell]) -> list[CellCost]:
    """Cost of every cell, as if its winner were as long as any configuration may be."""
    costs = []
    for cell in cells:
        ends = {path: cell.search[path].ends()[-1] for path in COST_AXES if path in cell.search}
        longest = trained_epochs(cell.at(ends))
        if study.at_most and cell.search:
            longest = min(longest, study.at_most.limits().get(study.equal, math.inf))
        # A sparse winner has a dense twin, and a control where it was searched for.
        networks = 1 if cell.is_dense else 2 + bool(cell.search)
        searched = study.search_seeds * longest if cell.search else 0.0
        costs.append(CellCost(searched, networks * longest))
    return costs


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
