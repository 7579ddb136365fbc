"""The mask schedule of a trial, and whether its training is long enough for its method."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from sparsetune.errors import Problem
from sparsetune.sparsity.methods.changes import MaskChange
from sparsetune.sparsity.methods.dynamic import regrow_until, regrow_updates
from sparsetune.sparsity.methods.ramps import ramp_bounds, ramp_updates
from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.spec import TrialSpec
from sparsetune.spec.sparsity import METHOD_FIELDS

MIN_MASK_UPDATES = 10
MIN_COMPRESSED_PHASES = 3
LONGEST_EPOCHS = 2**16
"""Longest training, in epochs, that is tried for the advice in a problem."""


def mask_schedule(spec: TrialSpec) -> list[MaskChange]:
    """Every change of the trial's mask in order of step, at most one a step, the first at step 0.

    Raises:
        ValueError: if the method is unknown.
    """
    method = spec.sparsity.method
    if method not in METHODS:
        raise ValueError(f"`sparsity.method` must be one of {', '.join(METHODS)}, got {method!r}")
    last_at_step = {0: MaskChange(0, "dense", 0.0)}
    for change in METHODS[method](spec):
        last_at_step[change.step] = change
    return list(last_at_step.values())


def mask_schedule_problems(spec: TrialSpec) -> list[Problem]:
    """Reasons why a valid trial is too short for its method, each with a value that would do.

    Empty if there are none. Intervals below one optimizer step are among them.
    """
    found = _interval_problems(spec)
    for field, rule in _SCHEDULE_RULES.items():
        if field in METHOD_FIELDS[spec.sparsity.method] and not rule.fits(spec):
            advice = _epochs_advice(spec, rule.fits)
            found.append(Problem(f"sparsity.{field}", rule.text + advice, rule.describe(spec)))
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


class ScheduleRule(NamedTuple):
    """A rule on the length of training, for methods that read one field of `SparsitySpec`.

    Args:
        text: The rule in words, up to the advice.
        fits: True if a trial keeps the rule. A trial that does keeps it with more epochs too.
        describe: The trial's own schedule, in words.
    """

    text: str
    fits: Callable[[TrialSpec], bool]
    describe: Callable[[TrialSpec], str]


def _ramp_fits(spec: TrialSpec) -> bool:
    """True if the ramp lies within training and has its declared updates, or enough of them."""
    start, end = ramp_bounds(spec)
    if spec.sparsity.method == "granet":
        return start < end <= regrow_until(spec) + 0.5
    needed = min(MIN_MASK_UPDATES, ramp_updates(spec))
    return start < end <= spec.total_steps() + 0.5 and _count_mask_updates(spec) >= needed


def _describe_ramp(spec: TrialSpec) -> str:
    start, end = ramp_bounds(spec)
    return f"{_count_mask_updates(spec)} from step {start:g} to {end:g} of {spec.total_steps()}"


def _count_mask_updates(spec: TrialSpec) -> int:
    """Number of changes that choose a mask with pruned weights."""
    count = 0
    for change in mask_schedule(spec):
        count += change.action in ("prune", "regrow") and change.sparsity > 0
    return count


def _acdc_fits(spec: TrialSpec) -> bool:
    """True if the declared lengths leave room for two alternating phases and the final one."""
    lengths = spec.sparsity.acdc
    clock = spec.clock()
    compress = lengths.compress.steps(clock)
    decompress = lengths.decompress.steps(clock)
    others = (lengths.warmup, lengths.last_dense, lengths.final)
    rest = sum(length.steps(clock) for length in others)
    needed = rest + (MIN_COMPRESSED_PHASES - 1) * (compress + decompress) - decompress
    return min(compress, decompress) >= 1 and needed <= clock.total + 1e-9


def _describe_training(spec: TrialSpec) -> str:
    return f"{spec.total_steps()} steps of training"


def _regrow_fits(spec: TrialSpec) -> bool:
    return regrow_updates(spec) >= MIN_MASK_UPDATES


def _describe_regrow(spec: TrialSpec) -> str:
    every = spec.sparsity.regrow.every.declared()
    return f"{regrow_updates(spec)} (`every` {every}, {spec.total_steps()} steps of training)"


_SCHEDULE_RULES = {
    "ramp": ScheduleRule(
        f"the ramp needs at least {MIN_MASK_UPDATES} mask updates at different steps, or as many as"
        " declared, within training (GraNet's before `regrow.until`); ",
        _ramp_fits,
        _describe_ramp,
    ),
    "acdc": ScheduleRule(
        f"AC/DC needs at least {MIN_COMPRESSED_PHASES} compressed phases of a step or more; ",
        _acdc_fits,
        _describe_training,
    ),
    "regrow": ScheduleRule(
        f"drop and grow needs at least {MIN_MASK_UPDATES} updates; a smaller `every` or ",
        _regrow_fits,
        _describe_regrow,
    ),
}
"""Rules by the field of `SparsitySpec` that they judge."""
SCHEDULE_FIELDS = tuple(_SCHEDULE_RULES)
"""Fields of `SparsitySpec` whose lengths a mask schedule follows."""


def _epochs_advice(spec: TrialSpec, fits: Callable[[TrialSpec], bool]) -> str:
    """The fewest whole epochs for which ``fits`` holds, as advice."""

    def fits_in(epochs: int) -> bool:
        return fits(spec.with_values({"schedule.epochs": epochs}))

    # Doubled from 1 on, since a schedule of very many epochs takes seconds to write out.
    longer = 1
    while not fits_in(longer):
        longer *= 2
        if longer > LONGEST_EPOCHS:
            return "no number of epochs would do: change its lengths"
    # A longer training never breaks a rule that a shorter one keeps, so bisection finds the first.
    tried = range(longer // 2 + 1, longer)
    fewest = longer // 2 + 1 + bisect_left(tried, True, key=fits_in)
    return f"`schedule.epochs` of {fewest} would do (at this multiplier)"
