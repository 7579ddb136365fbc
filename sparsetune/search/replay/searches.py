"""Whole searches replayed over a recorded cell: a sampler, a stopping rule, a number of trials.

The cell holds every configuration trained to its end on several seeds. A replayed search sees one
of the seeds; the configuration that it chooses is judged by the others, which it has not seen. An
adaptive sampler chooses among the recorded configurations that were not tried yet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, variance
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from sparsetune.answers.collapses import has_collapsed
from sparsetune.search.replay.clock import RecordedTrial, Scheduler, SchedulerFactory
from sparsetune.search.sampling.gaussian_process import assume_objectives
from sparsetune.search.sampling.optuna_form import to_optuna_trial
from sparsetune.search.stopping.halving import HalvingRungs, RungCandidate
from sparsetune.spec.task import DigitsTask, FolderTask, ImageTask
from sparsetune.storage.records import Report
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Minimize, Study
from sparsetune.study.cells import Cell
from sparsetune.study.samplers import GP, Sampler, startup_points
from sparsetune.tasks.kinds import network_of


@dataclass(frozen=True)
class RecordedConfiguration:
    """A configuration that was trained to its end.

    Args:
        config_id: Its id.
        trial: Its searched values as Optuna has them, without an objective.
        seeds: A trial for each seed.
    """

    config_id: str
    trial: FrozenTrial
    seeds: Mapping[int, RecordedTrial]


@dataclass(frozen=True)
class RecordedCell:
    """A cell of which many configurations were trained to their end on the same seeds.

    Args:
        study: Its study.
        cell: The cell.
        configurations: In the order of the sequence that proposed them.
    """

    study: Study
    cell: Cell
    configurations: Sequence[RecordedConfiguration]

    @property
    def sign(self) -> float:
        """1 where a low objective is good, else -1."""
        return 1.0 if isinstance(self.study.objective, Minimize) else -1.0

    @property
    def seeds(self) -> list[int]:
        """The seeds of every configuration."""
        return sorted(self.configurations[0].seeds)

    def loss(self, trial: RecordedTrial) -> float:
        """Final objective, better when lower; infinite if the trial diverged."""
        return self.loss_at(trial.rows[-1]) if trial.status == "COMPLETE" else math.inf

    def loss_at(self, row: Report) -> float:
        """Objective of a row, better when lower; infinite where it is missing."""
        value = row.number(self.study.objective.column)
        return math.inf if value is None or not math.isfinite(value) else self.sign * value

    @cached_property
    def chance_loss(self) -> float:
        """Loss of a network that answers every class alike; 0 for a task that is not of classes."""
        task = self.cell.spec.task
        if not isinstance(task, DigitsTask | ImageTask | FolderTask):
            return 0.0
        return math.log(network_of(task).outputs)

    def has_failed(self, trial: RecordedTrial) -> bool:
        """True if a trial diverged, or ended as it began: see `sparsetune.answers.collapses`."""
        if trial.status != "COMPLETE":
            return True
        loss = trial.rows[-1].number("val_loss")
        return loss is not None and has_collapsed(loss, self.chance_loss)

    def fresh_trials(self, configuration: RecordedConfiguration, seed: int) -> list[RecordedTrial]:
        """Trials of a configuration on the seeds other than this one.

        Where the record has one seed, on that one.
        """
        others = [trial for other, trial in configuration.seeds.items() if other != seed]
        return others or list(configuration.seeds.values())

    def fresh_loss(self, configuration: RecordedConfiguration, seed: int) -> float:
        """Mean final objective of a configuration on fresh seeds, without those that failed.

        Infinite if all failed.
        """
        fresh = self.fresh_trials(configuration, seed)
        losses = [self.loss(trial) for trial in fresh if not self.has_failed(trial)]
        return fmean(losses) if losses else math.inf

    def failure_rate(self, configuration: RecordedConfiguration, seed: int) -> float:
        """Part of a configuration's trials on fresh seeds that failed, in [0, 1]."""
        return fmean(map(self.has_failed, self.fresh_trials(configuration, seed)))

    @cached_property
    def seed_deviation(self) -> float:
        """Standard deviation of the objective over seeds, of the better half of configurations.

        Pooled over those that failed on no seed; NaN with one seed, or where all failed.
        """
        whole = []
        for one in self.configurations:
            trials = one.seeds.values()
            if not any(map(self.has_failed, trials)):
                whole.append([self.loss(trial) for trial in trials])
        whole.sort(key=fmean)
        better = whole[: (len(whole) + 1) // 2]
        if not better or len(better[0]) < 2:
            return math.nan
        return math.sqrt(fmean(variance(losses) for losses in better))

    def worst_loss(self, seed: int) -> float:
        """Largest finite loss on the seeds other than this one, for a search that finds nothing.

        Infinite if there is none.
        """
        losses = [self.fresh_loss(one, seed) for one in self.configurations]
        return max((loss for loss in losses if math.isfinite(loss)), default=math.inf)


class SearchMethod(NamedTuple):
    """A way to search a cell.

    Args:
        name: For tables.
        sampler: What proposes; any other than `GP` follows the recorded sequence.
        configurations: How many are tried.
        scheduler: Makes the stopping rule; None: all train to their end.
        fraction: Judges all at this fraction of training and trains only the best to its end,
            without a scheduler (i-Epoch, arXiv 2307.15422); 1: trains all to their end.
    """

    name: str
    sampler: Sampler
    configurations: int
    scheduler: SchedulerFactory | None = None
    fraction: float = 1.0


class SearchOutcome(NamedTuple):
    """End of a replayed search.

    Args:
        chosen: The configuration that it found best; None if none was left.
        epochs: Epochs that it trained.
    """

    chosen: RecordedConfiguration | None
    epochs: float


def replay_search(
    cell: RecordedCell, method: SearchMethod, seed: int, pool: Sequence[RecordedConfiguration]
) -> SearchOutcome:
    """Replay a search that sees one seed.

    One worker: each configuration ends before the next is proposed.

    Args:
        cell: The record.
        method: How to search.
        seed: The seed that it sees, and seed of the sampler.
        pool: Configurations that it may propose, in the order of its sequence.
    """
    if method.fraction < 1:
        return _at_one_epoch(cell, method, seed, pool)
    untried = list(pool)
    trials = [configuration.seeds[seed] for configuration in pool]
    scheduler = method.scheduler(cell.study, trials) if method.scheduler else None
    told: list[FrozenTrial] = []
    finished: list[tuple[float, RecordedConfiguration]] = []
    epochs = 0.0
    startup = method.configurations
    if isinstance(method.sampler, GP):
        startup = startup_points(method.sampler, method.configurations)
    rungs = _rungs_of(scheduler)
    for number in range(min(method.configurations, len(pool))):
        place = 0 if number < startup else best_untried(untried, told, seed + number)
        configuration = untried.pop(place)
        trial = configuration.seeds[seed]
        rows = _rows_until_stop(trial, scheduler)
        epochs += rows[-1].epoch
        is_stopped = len(rows) < len(trial.rows)
        loss = math.inf if is_stopped else cell.loss(trial)
        if math.isfinite(loss):
            finished.append((loss, configuration))
        values = _rung_values(cell, rungs, trial, rows) if rungs else {}
        objective = loss if math.isfinite(loss) else None
        done = to_optuna_trial(
            cell.cell, configuration.trial.params, objective, rungs=values, is_stopped=is_stopped
        )
        assert done is not None  # a recorded configuration lies within the ranges
        told.append(done)
    chosen = min(finished, key=lambda one: one[0])[1] if finished else None
    return SearchOutcome(chosen, epochs)


def _rows_until_stop(trial: RecordedTrial, scheduler: Scheduler | None) -> Sequence[Report]:
    """Rows of a trial up to where the scheduler stops it."""
    if scheduler is None:
        return trial.rows
    scheduler.started(trial)
    for place, row in enumerate(trial.rows):
        stopped = scheduler.reported(trial, row)
        if place < len(trial.rows) - 1 and trial.trial_id in stopped:
            return trial.rows[: place + 1]
    scheduler.ended(trial)
    return trial.rows


def _at_one_epoch(
    cell: RecordedCell, method: SearchMethod, seed: int, pool: Sequence[RecordedConfiguration]
) -> SearchOutcome:
    tried = pool[: method.configurations]
    losses = []
    epochs = 0.0
    for configuration in tried:
        rows = configuration.seeds[seed].rows
        judged = next((row for row in rows if row.progress >= method.fraction), rows[-1])
        epochs += judged.epoch
        losses.append(cell.loss_at(judged))
    best = int(np.argmin(losses))
    epochs += (1 - method.fraction) * tried[best].seeds[seed].rows[-1].epoch
    return SearchOutcome(tried[best] if math.isfinite(losses[best]) else None, epochs)


def _rungs_of(scheduler: Scheduler | None) -> HalvingRungs | None:
    rungs = getattr(scheduler, "rungs", None)
    return rungs if isinstance(rungs, HalvingRungs) else None


def _rung_values(
    cell: RecordedCell, rungs: HalvingRungs, trial: RecordedTrial, rows: Sequence[Report]
) -> dict[int, float]:
    """What the launch would tell the sampler of the rungs that a trial has passed."""
    state = TrialState(reports={row.step: row for row in rows})
    values = rungs.values(RungCandidate(trial.spec, [state]))
    return {rung: cell.sign * value for rung, value in values.items()}


def best_untried(
    untried: Sequence[RecordedConfiguration], told: Sequence[FrozenTrial], seed: int
) -> int:
    """Place of the configuration that `GP` would propose, if it had to be one of these."""
    direction = optuna.study.StudyDirection.MINIMIZE
    sampler = _PoolProcess([one.trial for one in untried], seed)
    asked = optuna.create_study(sampler=sampler, direction=direction)
    asked.add_trials(assume_objectives(told, direction))
    _ = asked.ask().relative_params  # the sampler proposes when it is read
    return sampler.chosen


class _PoolProcess(optuna.samplers.GPSampler):  # type: ignore[misc]  # Optuna loads it lazily
    """Optuna's process, whose proposal is one of given points.

    Args:
        candidates: The points.
        seed: Of the sampler.
    """

    def __init__(self, candidates: Sequence[FrozenTrial], seed: int) -> None:
        super().__init__(seed=seed, n_startup_trials=1, deterministic_objective=False)
        self._candidates = candidates
        self.chosen = 0
        """Place of the proposal; the first one before there is any."""

    def _optimize_acqf(self, acqf: Any, best_params: Any) -> Any:
        points = acqf.search_space.get_normalized_params(list(self._candidates))
        self.chosen = int(np.argmax(acqf.eval_acqf_no_grad(points)))
        return points[self.chosen]
