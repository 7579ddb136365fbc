"""Schedulers of Ray Tune, played over recorded trials beside the project's own."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule

from sparsetune.search.replay.clock import (
    NoStopping,
    RecordedTrial,
    SchedulerFactory,
    build_halving,
)
from sparsetune.search.replay.methods import OWN_RULES, StoppingRule
from sparsetune.storage.records import Report
from sparsetune.study import Minimize, Study
from sparsetune.study.stopping import Halving

HYPERBAND_BRACKETS = 3
"""Brackets of Hyperband in a comparison."""


def build_schedulers(rule: Halving) -> dict[str, SchedulerFactory]:
    """The schedulers that `sparsetune replay` compares, by name; the first stops nothing.

    Args:
        rule: The project's own halving, whose reduction ASHA shares.
    """
    return {
        "no stopping": lambda study, trials: NoStopping(),
        "ASHA on epochs": lambda study, trials: build_asha(study, trials, rule.reduction),
        "ramp-aware halving": partial(build_halving, rule=rule),
    }


@dataclass(eq=False)
class RayTrial:
    """The attributes of a trial that Ray's schedulers read."""

    trial_id: str
    config: dict[str, Any] = field(default_factory=dict)
    status: str = "RUNNING"
    last_result: dict[str, Any] = field(default_factory=dict)


class RayScheduler:
    """A scheduler of Ray Tune that stops trials one by one, over recorded trials."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._trials: dict[str, RayTrial] = {}

    def get_live_trials(self) -> list[RayTrial]:
        """The running trials; Ray's schedulers ask Tune's controller for them."""
        return [one for one in self._trials.values() if one.status == "RUNNING"]

    def started(self, trial: RecordedTrial) -> None:
        """Announce the trial to Ray's scheduler."""
        self._trials[trial.trial_id] = RayTrial(trial.trial_id)
        # Hyperband draws a trial's bracket from numpy's global state: a replay repeats it.
        with _seeded_numpy(len(self._trials)):
            self._scheduler.on_trial_add(self, self._trials[trial.trial_id])

    def reported(self, trial: RecordedTrial, row: Report) -> Collection[str]:
        """Pass a row to Ray's scheduler; returns the trial's id where it stops it.

        Raises:
            ValueError: if the scheduler pauses trials, which a recorded trial cannot do.
        """
        one = self._trials[trial.trial_id]
        # The ledger's None is NaN where Ray's schedulers calculate.
        numbers = {name: math.nan if value is None else value for name, value in row.row.items()}
        one.last_result = {
            **numbers,
            "training_iteration": one.last_result.get("training_iteration", 0) + 1,
            "time_total_s": row.row["seconds"],
        }
        with warnings.catch_warnings():
            # A rung may hold nothing but diverged trials.
            warnings.simplefilter("ignore", RuntimeWarning)
            decision = self._scheduler.on_trial_result(self, one, one.last_result)
        if decision == "PAUSE":
            name = type(self._scheduler).__name__
            raise ValueError(f"{name} pauses trials: it cannot be replayed over a record")
        if decision == "STOP":
            self.ended(trial)
        return [trial.trial_id] if decision == "STOP" else ()

    def ended(self, trial: RecordedTrial) -> None:
        """Tell Ray's scheduler that a trial has ended, once."""
        one = self._trials[trial.trial_id]
        if one.status == "RUNNING":
            one.status = "TERMINATED"
            self._scheduler.on_trial_complete(self, one, one.last_result)


@contextmanager
def _seeded_numpy(seed: int) -> Iterator[None]:
    """Seed numpy's global state within the ``with`` block, and restore it after."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def build_asha(
    study: Study, trials: Sequence[RecordedTrial], reduction: float, brackets: int = 1
) -> RayScheduler:
    """Ray's ASHA as it is mostly used: on epochs, from one epoch to the longest of the trials.

    Args:
        study: Gives the objective.
        trials: The trials that will be played.
        reduction: Of n trials at a rung, n / reduction continue.
        brackets: Halvings among which trials are shared out, each beginning a rung later than the
            one before; more than one makes it asynchronous Hyperband.
    """
    longest = _longest(trials)
    return RayScheduler(
        AsyncHyperBandScheduler(
            time_attr="epoch",
            metric=study.objective.column,
            mode=_mode(study),
            max_t=longest,
            grace_period=min(1, longest),  # must not exceed `max_t`
            reduction_factor=reduction,
            brackets=brackets,
        )
    )


def build_median_stopping(study: Study, trials: Sequence[RecordedTrial]) -> RayScheduler:
    """Ray's median stopping rule on epochs, from the first epoch on.

    Args:
        study: Gives the objective.
        trials: The trials that will be played.
    """
    return RayScheduler(
        MedianStoppingRule(
            time_attr="epoch",
            metric=study.objective.column,
            mode=_mode(study),
            grace_period=min(1, _longest(trials)),
        )
    )


def stopping_rules() -> dict[str, StoppingRule]:
    """Every stopping rule that a replayed search may have, by name: ours and those of Ray Tune."""

    def asha(reduction: float, brackets: int = 1) -> SchedulerFactory:
        return partial(build_asha, reduction=reduction, brackets=brackets)

    return {
        "asha": StoppingRule(asha, 3, "ASHA"),
        "hyperband": StoppingRule(partial(asha, brackets=HYPERBAND_BRACKETS), 3, "Hyperband"),
        "median": StoppingRule(lambda: build_median_stopping, None, "median stopping"),
        **OWN_RULES,
    }


def _longest(trials: Sequence[RecordedTrial]) -> float:
    return max(trial.rows[-1].epoch for trial in trials)


def _mode(study: Study) -> str:
    return "min" if isinstance(study.objective, Minimize) else "max"
