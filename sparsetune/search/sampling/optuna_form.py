"""Optuna's form of a cell's axes, points and configurations."""

from __future__ import annotations

from collections.abc import Mapping

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, Trial, TrialState

from sparsetune.study.cells import Cell
from sparsetune.study.space import Axis, Choice, IntRange, LogUniform, Value

Point = Mapping[str, Value]
"""Values by dotted field."""
STOPPED = "stopped"
"""User attribute of trials that a rung stopped."""


def to_optuna_trial(
    cell: Cell,
    values: Point,
    objective: float | None,
    *,
    rungs: Mapping[int, float] | None = None,
    is_stopped: bool = False,
    **attributes: str,
) -> FrozenTrial | None:
    """Optuna's form of a configuration; None if it lies outside the search ranges.

    Args:
        cell: Gives the axes.
        values: Values of the axes that apply to it. A base recipe may lie outside their ranges,
            where Optuna cannot place it.
        objective: None if a seed diverged or it was stopped: the trial is PRUNED then.
        rungs: Intermediate values by their step.
        is_stopped: True if a rung stopped it, noted as `STOPPED`.
        attributes: The trial's user attributes.
    """
    distributions: dict[str, BaseDistribution] = {}
    for path, value in values.items():
        axis = cell.search[path]
        if not axis.contains(value):
            return None
        distributions[path] = optuna_distribution(axis)
    return optuna.trial.create_trial(
        state=TrialState.PRUNED if objective is None else TrialState.COMPLETE,
        value=objective,
        params=dict(values),
        distributions=distributions,
        intermediate_values=dict(rungs or {}),
        user_attrs={**attributes, STOPPED: True} if is_stopped else attributes,
    )


def optuna_distribution(axis: Axis) -> BaseDistribution:
    """Optuna's form of a search axis."""
    if isinstance(axis, Choice):
        return CategoricalDistribution(axis.options)
    if isinstance(axis, IntRange):
        return IntDistribution(axis.low, axis.high)
    return FloatDistribution(axis.low, axis.high, log=isinstance(axis, LogUniform))


def ask_choices(trial: Trial, cell: Cell) -> dict[str, Value]:
    """Suggested values of the choices that decide which other axes apply."""
    return {path: _suggest_value(trial, path, cell.search[path]) for path in cell.deciding_choices}


def ask_values(trial: Trial, cell: Cell, decided: Point | None = None) -> dict[str, Value]:
    """Suggested values of the axes that apply.

    Args:
        trial: Suggests them.
        cell: Its ``search`` axes.
        decided: Values of the choices that decide which others apply; None to ask for them first.
    """
    if decided is None:
        decided = ask_choices(trial, cell)
    # Only the choices decide what applies: any number does for the other axes.
    applying = cell.applicable_values({**dict.fromkeys(cell.search, 0), **decided})
    values: dict[str, Value] = {}
    for path in applying:
        if path in decided:
            values[path] = decided[path]
        else:
            values[path] = _suggest_value(trial, path, cell.search[path])
    return values


def _suggest_value(trial: Trial, path: str, axis: Axis) -> Value:
    value: Value
    if isinstance(axis, Choice):
        value = trial.suggest_categorical(path, axis.options)
    elif isinstance(axis, IntRange):
        value = trial.suggest_int(path, axis.low, axis.high)
    else:
        value = trial.suggest_float(path, axis.low, axis.high, log=isinstance(axis, LogUniform))
    return value
