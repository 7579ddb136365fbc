"""Costs of a study's configurations before they are trained, against the study's budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sparsetune.costs.equal_flops import match_dense_flops
from sparsetune.costs.training_flops import train_flops
from sparsetune.errors import Problem
from sparsetune.spec import TrialSpec
from sparsetune.study import Study
from sparsetune.study.budget import Budget, trained_epochs
from sparsetune.study.rules.budgets import is_within, limit_problems

COST_BY_UNIT = {"epochs": trained_epochs, "train_flops": train_flops}
"""Functions from a trial to its cost, by the budget's field."""


def is_affordable(budget: Budget | None, spec: TrialSpec) -> bool:
    """Return True if a valid trial costs at most the budget; True without a budget."""
    limits = budget.limits() if budget else {}
    return all(is_within(COST_BY_UNIT[unit](spec), limit) for unit, limit in limits.items())


def budget_problems(study: Study) -> Iterator[Problem]:
    """Problems of a valid study's budget that only its networks tell; see `limit_problems`."""
    # Without the sizes of its data a trial has no network to count FLOPs of.
    resolved = [cell for cell in study.cells() if cell.spec.task.is_resolved]
    for unit, limit in study.at_most.limits().items() if study.at_most else ():
        if unit == "train_flops" or study.equal == "train_flops":
            yield from limit_problems(study, resolved, unit, limit, _declared_cost(study, unit))


def _declared_cost(study: Study, unit: str) -> Callable[[TrialSpec], float]:
    """Function from a recipe to the cost of its trial, stretched where the study equals FLOPs."""
    cost = COST_BY_UNIT[unit]
    if study.equal == "train_flops":
        return lambda recipe: cost(match_dense_flops(recipe))
    return cost
