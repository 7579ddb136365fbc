"""Suggestions of Optuna's samplers that adapt.

Suggestion k of a cell is a function of the study's seed, the cell, k and the results so far: it
comes from a new sampler, in an Optuna study of its own that holds those results. Configurations
that still run are given the worst objective so far, so that workers that ask at once are sent to
different places (constant liar; Ginsbourger, Le Riche & Carraro 2010, "Kriging is well-suited to
parallelize optimization").
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterable

import optuna
from optuna.trial import FrozenTrial, TrialState

from sparsetune.search.sampling.gaussian_process import suggest_by_process
from sparsetune.search.sampling.optuna_form import Point, ask_values, to_optuna_trial
from sparsetune.study import Study
from sparsetune.study.cells import Cell
from sparsetune.study.samplers import GP, TPE, Adaptive, OptunaSampler
from sparsetune.study.space import Value

STATEFUL_SAMPLERS = ("CmaEsSampler", "NSGAIISampler", "NSGAIIISampler")
"""Samplers that keep their state in the trials they suggested: they must suggest every result."""


def suggest_values(
    study: Study,
    cell: Cell,
    index: int,
    told: optuna.Study,
    pending: Iterable[Point] = (),
    rejected: Iterable[Point] = (),
) -> dict[str, Value]:
    """Values of the search axes that apply, as an adaptive sampler suggests them.

    Args:
        study: Declares the sampler, which must adapt.
        cell: Its ``search`` axes are sampled; choices that decide which others apply come first.
        index: Number of the point in the cell's sequence, from 0.
        told: The cell's finished configurations.
        pending: Points of configurations that are proposed and not finished; they count as the
            worst objective so far.
        rejected: Points that may not be tried; they count as PRUNED, or as the worst objective to
            samplers that do not read what is PRUNED.

    Raises:
        TypeError: if the study's sampler does not adapt.
    """
    if not isinstance(study.sampler, Adaptive):
        raise TypeError(f"`{study.sampler.kind}` does not adapt")
    digest = hashlib.sha256(f"{study.seed}/{cell.name}/{index}".encode()).digest()
    seed = int.from_bytes(digest[:4], "big")
    if isinstance(study.sampler, GP):
        trials = [
            *told.get_trials(deepcopy=False),
            *_assumed_trials(cell, pending, None, TrialState.RUNNING),
            *_assumed_trials(cell, rejected, None),
        ]
        return suggest_by_process(cell, seed, told.direction, trials)
    sampler = build_sampler(study.sampler, seed, conditional=bool(cell.deciding_choices))
    worst = _worst_objective(told)
    rejected_value = None if _uses_pruned_trials(study.sampler) else worst
    trials = [
        *told.get_trials(deepcopy=False),
        *_assumed_trials(cell, pending, worst),
        *_assumed_trials(cell, rejected, rejected_value),
    ]
    # A study of its own: what is assumed may not enter the journal.
    asked = optuna.create_study(sampler=sampler, direction=told.direction)
    if _is_stateful(study.sampler):
        _suggest_trials(asked, trials)
    else:
        asked.add_trials(trials)
    return ask_values(asked.ask(), cell)


def _assumed_trials(
    cell: Cell,
    points: Iterable[Point],
    objective: float | None,
    state: TrialState | None = None,
) -> list[FrozenTrial]:
    """Trials of points whose objective is assumed; a point outside the search ranges has none."""
    trials = []
    for point in points:
        trial = to_optuna_trial(cell, point, objective)
        if trial is not None:
            trial.state = state or trial.state
            trials.append(trial)
    return trials


def build_sampler(
    sampler: TPE | OptunaSampler, seed: int, *, conditional: bool = False
) -> optuna.samplers.BaseSampler:
    """Optuna's sampler as declared.

    Args:
        sampler: The declaration.
        seed: Of the sampler, if it takes one.
        conditional: Whether axes of the space do not always apply.

    Raises:
        Exception: whatever Optuna raises for an argument that cannot be.
    """
    if isinstance(sampler, TPE):
        # Without `group`, axes that do not always apply would be sampled one by one.
        return optuna.samplers.TPESampler(
            n_startup_trials=1, seed=seed, multivariate=True, group=conditional
        )
    kind = getattr(optuna.samplers, sampler.name)
    accepted = inspect.signature(kind.__init__).parameters
    # The study counts its own start-up: from here on every suggestion adapts.
    own = {"seed": seed, "n_startup_trials": 1}
    own_accepted = {name: value for name, value in own.items() if name in accepted}
    built: optuna.samplers.BaseSampler = kind(**own_accepted, **sampler.arguments)
    return built


def _is_stateful(sampler: Adaptive) -> bool:
    return isinstance(sampler, OptunaSampler) and sampler.name in STATEFUL_SAMPLERS


def _uses_pruned_trials(sampler: TPE | OptunaSampler) -> bool:
    return isinstance(sampler, TPE) or sampler.name == "TPESampler"


def _worst_objective(told: optuna.Study) -> float:
    """Worst objective so far; 0 where there is none."""
    complete = told.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    values = [trial.value for trial in complete if trial.value is not None]
    if told.direction == optuna.study.StudyDirection.MINIMIZE:
        return max(values, default=0.0)
    return min(values, default=0.0)


def _suggest_trials(asked: optuna.Study, trials: list[FrozenTrial]) -> None:
    """Add trials to a study as though its sampler had suggested every one of them."""
    for told in trials:
        asked.enqueue_trial(told.params)
        trial = asked.ask(told.distributions)
        # The sampler suggests when it is read, and only then notes the trial's generation.
        _ = trial.relative_params
        asked.tell(trial, told.value, state=told.state)
