"""Suggestions of a Gaussian process, and what it is told of configurations without an objective.

Optuna's process reads finished trials alone. So that it does not return to where training diverged
or was stopped, such a configuration is given an objective:

- one that diverged or failed, the worst of its cell;
- one that a rung stopped, its value at its last rung plus the median change from that rung to the
  end among those that finished, and no better than the median of those; the worst where nobody
  finished after that rung.

Those that still run are told as running, for which the process draws likely objectives itself
(Ginsbourger, Le Riche & Carraro 2010, "Kriging is well-suited to parallelize optimization").

The process takes time with the cube of what it is told: of more than `MAX_TOLD` finished
configurations it is told the best, and others evenly spaced in the order of their objectives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from sparsetune.search.sampling.optuna_form import STOPPED, ask_choices, ask_values
from sparsetune.study.cells import Cell
from sparsetune.study.space import Value

MAX_TOLD = 200
"""Most finished configurations that the process is told."""


def gp_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler, which takes objectives to be noisy."""
    return optuna.samplers.GPSampler(
        seed=seed,
        n_startup_trials=1,
        deterministic_objective=False,
        warn_independent_sampling=False,
    )


def suggest_by_process(
    cell: Cell, seed: int, direction: StudyDirection, trials: Sequence[FrozenTrial]
) -> dict[str, Value]:
    """Values of the search axes that apply, where the process expects the largest improvement.

    Args:
        cell: Its ``search`` axes are sampled. Choices that decide which others apply are asked for
            first, and the other axes of the trials that share them.
        seed: Of the sampler.
        direction: What is better.
        trials: Configurations that have finished or still run.
    """
    known = thin_out(assume_objectives(trials, direction), direction)
    if not cell.deciding_choices:
        return ask_values(_asked(seed, direction, known), cell)
    decided = ask_choices(_asked(seed, direction, known), cell)
    alike = [trial for trial in known if decided.items() <= trial.params.items()]
    return ask_values(_asked(seed, direction, alike), cell, decided)


def _asked(seed: int, direction: StudyDirection, trials: Sequence[FrozenTrial]) -> optuna.Trial:
    """A new trial, which knows all others."""
    study = optuna.create_study(sampler=gp_sampler(seed), direction=direction)
    study.add_trials(trials)
    return study.ask()


def assume_objectives(
    trials: Sequence[FrozenTrial], direction: StudyDirection
) -> list[FrozenTrial]:
    """The trials, with an objective for those that are PRUNED; see above for what is assumed.

    Without any that is COMPLETE, they stay as they are.
    """
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not complete:
        return list(trials)
    sign = 1.0 if direction == StudyDirection.MINIMIZE else -1.0
    worst = max(_loss(trial.value, sign) for trial in complete)
    assumed = [
        _assumed_loss(trial, complete, sign) if trial.state == TrialState.PRUNED else None
        for trial in trials
    ]
    worst = max([worst, *(loss for loss in assumed if loss is not None and math.isfinite(loss))])
    return [
        trial if loss is None else _completed(trial, sign * min(loss, worst))
        for trial, loss in zip(trials, assumed, strict=True)
    ]


def thin_out(trials: Sequence[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """The trials, without some of those that finished where these are more than `MAX_TOLD`.

    The best half of `MAX_TOLD` stay, and as many others, evenly spaced by their objectives.
    """
    sign = 1.0 if direction == StudyDirection.MINIMIZE else -1.0
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if len(complete) <= MAX_TOLD:
        return list(trials)
    ranked = sorted(range(len(complete)), key=lambda place: _loss(complete[place].value, sign))
    half = MAX_TOLD // 2
    spaced = [half + index * (len(ranked) - half) // half for index in range(half)]
    kept = {ranked[rank] for rank in (*range(half), *spaced)}
    left = [trial for place, trial in enumerate(complete) if place in kept]
    return [*left, *(trial for trial in trials if trial.state != TrialState.COMPLETE)]


def _assumed_loss(trial: FrozenTrial, complete: Sequence[FrozenTrial], sign: float) -> float:
    """Objective to assume of a trial, lower is better; infinite stands for the worst."""
    if not trial.user_attrs.get(STOPPED) or not trial.intermediate_values:
        return math.inf
    rung = max(trial.intermediate_values)
    rivals = [other for other in complete if rung in other.intermediate_values]
    if not rivals:
        return math.inf
    finals = [_loss(other.value, sign) for other in rivals]
    changes = [
        final - sign * other.intermediate_values[rung]
        for other, final in zip(rivals, finals, strict=True)
    ]
    expected = sign * trial.intermediate_values[rung] + median(changes)
    return float(max(expected, median(finals)))


def _loss(value: float | None, sign: float) -> float:
    """An objective as one that is better when lower."""
    return math.inf if value is None else sign * value


def _completed(trial: FrozenTrial, objective: float) -> FrozenTrial:
    return create_trial(value=objective, params=trial.params, distributions=trial.distributions)
