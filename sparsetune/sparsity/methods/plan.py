"""When the mask changes in a trial, and whether its training is long enough for that."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from sparsetune.errors import Problem
from sparsetune.sparsity.methods.changes import (
    METHODS,
    MaskChange,
    ramp_bounds,
    ramp_updates,
    regrow_until,
    regrow_updates,
)
from sparsetune.spec import TrialSpec
from sparsetune.spec.sparsity import METHOD_FIELDS

MIN_MASK_UPDATES = 10
MIN_COMPRESSED_PHASES = 3
LONGEST_EPOCHS = 100_000


def mask_schedule(spec: TrialSpec) -> list[MaskChange]:
    """Every change of the trial's mask, in order, at most one a step; the first is at step 0.

    Raises:
        ValueError: if the method is unknown.
    """
    if spec.sparsity.method not in METHODS:
        raise ValueError(
            f"`sparsity.method` must be one of {', '.join(METHODS)}, got {spec.sparsity.method!r}"
        )
    return _one_per_step([MaskChange(0, "dense", 0.0), *METHODS[spec.sparsity.method](spec)])


def _one_per_step(changes: Iterable[MaskChange]) -> list[MaskChange]:
    """The last change of every step."""
    return list({change.step: change for change in changes}.values())


def mask_schedule_problems(spec: TrialSpec) -> list[Problem]:
    """What makes a valid declaration's schedule too short for its method, naming the value that would do."""
    found = []
    rewind = spec.schedule.rewind
    intervals = {
        "evaluate.every": spec.evaluate.every,
        "schedule.rewind.every": rewind.every if rewind else None,
    }
    for path, every in intervals.items():
        if every is not None and every.steps(spec.clock()) < 1:
            found.append(
                Problem(path, "must be at least one optimizer step", str(every.declared()))
            )
    fields = METHOD_FIELDS[spec.sparsity.method]
    for name, (rule, fits, got) in _SCHEDULE_RULES.items():
        if name in fields and not fits(spec):
            found.append(Problem(f"sparsity.{name}", rule + _epochs_advice(spec, fits), got(spec)))
    return found


def _count_mask_updates(spec: TrialSpec) -> int:
    return sum(
        change.action in ("prune", "regrow") and change.sparsity > 0
        for change in mask_schedule(spec)
    )


def _ramp_fits(spec: TrialSpec) -> bool:
    """Whether the ramp lies within training, with as many updates as declared or enough."""
    start, end = ramp_bounds(spec)
    if spec.sparsity.method == "granet":
        return start < end <= regrow_until(spec) + 0.5
    asked = min(MIN_MASK_UPDATES, ramp_updates(spec))
    return start < end <= spec.total_steps() + 0.5 and _count_mask_updates(spec) >= asked


def _describe_ramp(spec: TrialSpec) -> str:
    start, end = ramp_bounds(spec)
    return f"{_count_mask_updates(spec)} from step {start:g} to {end:g} of {spec.total_steps()}"


def _acdc_fits(spec: TrialSpec) -> bool:
    """Whether the declared lengths leave room for two alternating phases and the final one."""
    given = spec.sparsity.acdc
    clock = spec.clock()
    compress = given.compress.steps(clock)
    decompress = given.decompress.steps(clock)
    rest = sum(n.steps(clock) for n in (given.warmup, given.last_dense, given.final))
    needed = rest + (MIN_COMPRESSED_PHASES - 1) * (compress + decompress) - decompress
    return min(compress, decompress) >= 1 and needed <= clock.total + 1e-9


def _regrow_fits(spec: TrialSpec) -> bool:
    return regrow_updates(spec) >= MIN_MASK_UPDATES


def _describe_regrow(spec: TrialSpec) -> str:
    regrow = spec.sparsity.regrow
    return f"{regrow_updates(spec)} (`every` {regrow.every.declared()}, {spec.total_steps()} steps of training)"


_SCHEDULE_RULES: dict[str, tuple[str, Callable[[TrialSpec], bool], Callable[[TrialSpec], str]]] = {
    "ramp": (
        f"the ramp needs at least {MIN_MASK_UPDATES} mask updates at different steps, or as many as declared, within"
        " training (GraNet's before `regrow.until`); ",
        _ramp_fits,
        _describe_ramp,
    ),
    "acdc": (
        f"AC/DC needs at least {MIN_COMPRESSED_PHASES} compressed phases of a step or more; ",
        _acdc_fits,
        lambda spec: f"{spec.total_steps()} steps of training",
    ),
    "regrow": (
        f"drop and grow needs at least {MIN_MASK_UPDATES} updates; a smaller `every` or ",
        _regrow_fits,
        _describe_regrow,
    ),
}
"""By the field of `SparsitySpec`: the rule, whether a trial keeps it, and what came instead."""


def _epochs_advice(spec: TrialSpec, fits: Callable[[TrialSpec], bool]) -> str:
    """The fewest whole epochs for which ``fits`` holds, as advice."""
    tried = range(1, LONGEST_EPOCHS)
    index = bisect_left(
        tried, True, key=lambda epochs: fits(spec.with_values({"schedule.epochs": epochs}))
    )
    if index == len(tried):
        return "no number of epochs would do: change its lengths"
    return f"`schedule.epochs` of {tried[index]} would do (at this multiplier)"
