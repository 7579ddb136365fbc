"""The mask schedule of a trial, and whether its training is long enough for its method."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sparsetune.errors import Problem
from sparsetune.sparsity.methods.registry import METHODS, method_of
from sparsetune.sparsity.plans.changes import MaskChange
from sparsetune.sparsity.plans.rules import changes_by_step, fewest_that_fit
from sparsetune.spec import TrialSpec

LONGEST_EPOCHS = 2**16
"""Longest training, in epochs, that is tried for the advice in a problem."""
SCHEDULE_FIELDS = frozenset(
    rule.field for method in METHODS.values() for rule in method.schedule_rules
)
"""Fields of `SparsitySpec` whose lengths a mask schedule follows."""


def mask_schedule(spec: TrialSpec) -> list[MaskChange]:
    """Every change of the trial's mask in order of step, at most one a step, the first at step 0.

    Raises:
        ValueError: if the method is unknown.
        DeclarationError: if a user's own method cannot be imported.
    """
    return changes_by_step(spec, method_of(spec.sparsity.method).plan)


def mask_schedule_problems(spec: TrialSpec) -> list[Problem]:
    """Reasons why a valid trial is too short for its method, each with a value that would do.

    Empty if there are none. Intervals below one optimizer step are among them.
    """
    found = _interval_problems(spec)
    method = method_of(spec.sparsity.method)
    for rule in method.schedule_rules:
        if not rule.fits(spec, method.plan):
            advice = _epochs_advice(spec, partial(rule.fits, plan=method.plan))
            got = rule.describe(spec, method.plan)
            found.append(Problem(f"sparsity.{rule.field}", rule.text + advice, got))
    return found


def _interval_problems(spec: TrialSpec) -> list[Problem]:
    intervals = {"evaluate.every": spec.evaluate.every}
    if spec.schedule.rewind:
        intervals["schedule.rewind.every"] = spec.schedule.rewind.every
    found = []
    for path, every in intervals.items():
        if every is not None and every.steps(spec.clock()) < 1:
            rule = "must be at least one optimizer step"
            found.append(Problem(path, rule, str(every.declared())))
    return found


def _epochs_advice(spec: TrialSpec, fits: Callable[[TrialSpec], bool]) -> str:
    """The fewest whole epochs for which ``fits`` holds, as advice."""

    def fits_in(epochs: int) -> bool:
        return fits(spec.with_values({"schedule.epochs": epochs}))

    fewest = fewest_that_fit(fits_in, 1, LONGEST_EPOCHS)
    if fewest is None:
        return "no number of epochs would do: change its lengths"
    return f"`schedule.epochs` of {fewest} would do (at this multiplier)"
