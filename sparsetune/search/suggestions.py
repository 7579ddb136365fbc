"""Suggestions of Optuna's samplers that adapt: suggestion k of a cell is a function of (study seed, cell, k, told).

Each comes from a sampler made anew, in a study of its own that holds what was told. Configurations that still run are
told too, with a lie: the worst objective so far, so that workers who ask at once are sent to different places
(constant liar; Ginsbourger, Le Riche & Carraro 2010, "Kriging is well-suited to parallelize optimization").
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable, Mapping

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, Trial, TrialState

from sparsetune.study import Study
from sparsetune.study.cells import Cell
from sparsetune.study.samplers import TPE, Adaptive, OptunaSampler
from sparsetune.study.space import Axis, Choice, IntRange, LogUniform, Value

Point = Mapping[str, Value]
STATEFUL_SAMPLERS = ("CmaEsSampler", "NSGAIISampler", "NSGAIIISampler")
"""Samplers that keep what they learned in the trials they suggested: they are led through all that was told."""


def suggest_values(
    study: Study,
    cell: Cell,
    index: int,
    told: optuna.Study,
    pending: Iterable[Point] = (),
    rejected: Iterable[Point] = (),
) -> dict[str, Value]:
    """Values of the search axes that apply, for suggestion ``index`` of the cell.

    Args:
        study: Declares the sampler, which must adapt.
        cell: Its ``search`` axes are sampled, choices that decide which others apply first.
        index: Number of the point in the cell's sequence.
        told: The cell's finished configurations.
        pending: Points of configurations that are proposed and not finished; told as the worst objective so far.
        rejected: Points that may not be tried; told as PRUNED, or as the worst objective to samplers that overlook
            what is PRUNED.
    """
    if not isinstance(study.sampler, Adaptive):
        raise TypeError(f"`{study.sampler.kind}` does not adapt")
    digest = hashlib.sha256(f"{study.seed}/{cell.name}/{index}".encode()).digest()
    sampler = build_sampler(
        study.sampler, int.from_bytes(digest[:4], "big"), conditional=bool(cell.deciding_choices)
    )
    asked = optuna.create_study(sampler=sampler, direction=told.direction)
    trials = told.get_trials(deepcopy=False)
    lies = [to_optuna_trial(cell, point, _worst_objective(told)) for point in pending]
    avoided = [
        to_optuna_trial(
            cell, point, None if _uses_pruned_trials(study.sampler) else _worst_objective(told)
        )
        for point in rejected
    ]
    _add_trials(
        asked,
        [*trials, *(trial for trial in (*lies, *avoided) if trial)],
        lead=_is_stateful(study.sampler),
    )
    return _ask_values(asked.ask(), cell)


def build_sampler(
    sampler: Adaptive, seed: int, *, conditional: bool = False
) -> optuna.samplers.BaseSampler:
    """Optuna's sampler as declared; ``conditional`` for a space whose axes do not always apply.

    Raises:
        Exception: whatever Optuna raises for an argument that cannot be.
    """
    if isinstance(sampler, TPE):
        return optuna.samplers.TPESampler(
            n_startup_trials=1, seed=seed, multivariate=True, group=conditional
        )
    kind = getattr(optuna.samplers, sampler.name)
    own = {"seed": seed, "n_startup_trials": 1}
    accepted = inspect.signature(kind.__init__).parameters
    built: optuna.samplers.BaseSampler = kind(
        **{name: value for name, value in own.items() if name in accepted}, **sampler.arguments
    )
    return built


def to_optuna_trial(
    cell: Cell,
    values: Point,
    objective: float | None,
    *,
    rungs: Mapping[int, float] | None = None,
    **attributes: str,
) -> FrozenTrial | None:
    """Optuna's form of a configuration, PRUNED without an objective; None if it lies outside the search ranges.

    Args:
        cell: Gives the axes.
        values: Of the axes that apply to it. A base recipe may lie outside: Optuna could not place it.
        objective: None if a seed diverged or it was stopped.
        rungs: Intermediate values by their step.
        attributes: The trial's user attributes.
    """
    if not all(cell.search[path].contains(value) for path, value in values.items()):
        return None
    return optuna.trial.create_trial(
        state=TrialState.PRUNED if objective is None else TrialState.COMPLETE,
        value=objective,
        params=dict(values),
        distributions={path: optuna_distribution(cell.search[path]) for path in values},
        intermediate_values=dict(rungs or {}),
        user_attrs=attributes,
    )


def optuna_distribution(axis: Axis) -> BaseDistribution:
    """Optuna's form of a search axis."""
    if isinstance(axis, Choice):
        return CategoricalDistribution(axis.options)
    if isinstance(axis, IntRange):
        return IntDistribution(axis.low, axis.high)
    return FloatDistribution(axis.low, axis.high, log=isinstance(axis, LogUniform))


def _is_stateful(sampler: Adaptive) -> bool:
    return isinstance(sampler, OptunaSampler) and sampler.name in STATEFUL_SAMPLERS


def _uses_pruned_trials(sampler: Adaptive) -> bool:
    return isinstance(sampler, TPE) or sampler.name == "TPESampler"


def _worst_objective(told: optuna.Study) -> float:
    """The worst objective told so far; 0 where none was."""
    values = [
        trial.value for trial in told.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    ]
    minimized = told.direction == optuna.study.StudyDirection.MINIMIZE
    return (max if minimized else min)(
        (value for value in values if value is not None), default=0.0
    )


def _add_trials(asked: optuna.Study, trials: list[FrozenTrial], *, lead: bool) -> None:
    """Put the trials into the study; with ``lead`` as though its sampler had suggested every one of them."""
    if not lead:
        asked.add_trials(trials)
    for told in trials if lead else ():
        asked.enqueue_trial(told.params)
        trial = asked.ask(told.distributions)
        _ = (
            trial.relative_params
        )  # the sampler suggests only when asked for it, and notes its generation then
        asked.tell(trial, told.value, state=told.state)


def _ask_values(trial: Trial, cell: Cell) -> dict[str, Value]:
    chosen = {
        path: _suggest_value(trial, path, cell.search[path]) for path in cell.deciding_choices
    }
    applying = cell.applicable_values({**dict.fromkeys(cell.search, 0), **chosen})
    return {
        path: chosen[path] if path in chosen else _suggest_value(trial, path, cell.search[path])
        for path in applying
    }


def _suggest_value(trial: Trial, path: str, axis: Axis) -> Value:
    value: Value
    if isinstance(axis, Choice):
        value = trial.suggest_categorical(path, axis.options)
    elif isinstance(axis, IntRange):
        value = trial.suggest_int(path, axis.low, axis.high)
    else:
        value = trial.suggest_float(path, axis.low, axis.high, log=isinstance(axis, LogUniform))
    return value
