"""Learning rate of every step, and side of its training images, as declared.

Nothing here imports torch, so that plans and previews are quick.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from itertools import count, takewhile

from sparsetune.durations import Clock, round_half_up
from sparsetune.errors import DeclarationError, Problem, first_line
from sparsetune.imports import import_function, is_import_path
from sparsetune.spec import TrialSpec

DecayFunction = Callable[[float], float]
CHECKED_INTERVALS = 1000
"""A user's own decay is checked at both ends of so many equal intervals."""


def linear(fraction: float) -> float:
    """Decay from 1 to 0 in a straight line."""
    return 1 - fraction


def cosine(fraction: float) -> float:
    """Decay from 1 to 0 along half a cosine (Loshchilov & Hutter 2017)."""
    return (1 + math.cos(math.pi * fraction)) / 2


def constant(fraction: float) -> float:
    """No decay: always 1."""
    return 1.0


DECAYS: dict[str, DecayFunction] = {
    "linear": linear,
    "cosine": cosine,
    "constant": constant,
}
"""Decays by name: each maps the fraction of the decay that is done, in [0, 1], to the fraction of
the peak learning rate, without the floor."""


def decay_function(name: str) -> DecayFunction:
    """Decay of that name, or at that import path.

    Raises:
        DeclarationError: if the import path does not lead to a function.
    """
    own: DecayFunction = (
        import_function(name, "schedule.lr") if is_import_path(name) else DECAYS[name]
    )
    return own


def decay_problems(spec: TrialSpec) -> list[Problem]:
    """Problem of a user's own decay, which is imported and tried; empty without one."""
    name = spec.schedule.lr
    if not is_import_path(name):
        return []
    try:
        decay = decay_function(name)
    except DeclarationError as error:
        return error.problems
    for index in range(CHECKED_INTERVALS + 1):
        fraction = index / CHECKED_INTERVALS
        if problem := _decay_problem(name, decay, fraction):
            return [problem]
    return []


def _decay_problem(name: str, decay: DecayFunction, fraction: float) -> Problem | None:
    """Problem of a user's own decay at one fraction, or None."""
    rule = (
        "the decay must return a finite fraction of the peak rate, at least 0, for every fraction"
        " of training that is done, from 0 to 1"
    )
    try:
        value = decay(fraction)
    except Exception as error:  # a user's function may raise anything
        cause = f"{type(error).__name__}: {first_line(error)}"
        return Problem("schedule.lr", rule, f"{cause} at {fraction:g} from {name!r}")
    if isinstance(value, int | float) and 0 <= value < math.inf:
        return None
    return Problem("schedule.lr", rule, f"{value!r} at {fraction:g} from {name!r}")


def learning_rate(spec: TrialSpec) -> Callable[[int], float]:
    """Learning rate by step, from step 0; imports the user's own decay, where one is declared.

    It rises linearly to the peak, then decays as declared, and decays again at each rewind. The
    last step of the warm-up, the first after it and the first from each rewind have the peak. Where
    the learning rate is constant through an epoch, epochs take the place of steps: epoch e < w of
    the warm-up has (e + 1) / w of the peak, and a rewind counts from the start of the next epoch.

    A linear decay over n steps is 1/n of its way above the floor in its last step. SparseML divides
    by n - 1, and reaches the floor in that step (`modifier_lr.py`): rates differ by less than
    1/(n - 1) of the way.
    """
    clock = spec.clock()
    peak = spec.peak_lr()
    unit = clock.per_epoch if spec.schedule.lr_per == "epoch" else 1
    warmup = warmup_steps(spec)
    decay = _decay(spec, clock, warmup)

    def rate(step: int) -> float:
        # Per epoch, every step has the rate of its epoch's first one.
        start = step - step % unit
        if start < warmup:
            return min(peak, peak * (start + unit) / warmup)
        return peak * decay(start)

    return rate


def _decay(spec: TrialSpec, clock: Clock, warmup: int) -> Callable[[int], float]:
    """Fraction of the peak learning rate by step, from the end of the warm-up."""
    if spec.schedule.lr == "step":
        fallen = decay_steps(spec)
        return lambda step: spec.schedule.factor ** sum(step >= at for at in fallen)
    shape = decay_function(spec.schedule.lr)
    floor = spec.schedule.floor
    bounds = [warmup, *rewind_steps(spec), clock.total]

    def decay(step: int) -> float:
        index = min(bisect_right(bounds, step), len(bounds) - 1)
        start = bounds[index - 1]
        end = bounds[index]
        return floor + (1 - floor) * shape((step - start) / (end - start))

    return decay


def warmup_steps(spec: TrialSpec) -> int:
    """Steps over which the learning rate rises."""
    return round_half_up(spec.schedule.warmup.steps(spec.clock()))


def decay_steps(spec: TrialSpec) -> list[int]:
    """Steps at each of which the decay ``step`` multiplies the learning rate again."""
    return [round_half_up(anchor.steps(spec.clock())) for anchor in spec.schedule.anchors]


def rewind_steps(spec: TrialSpec) -> list[int]:
    """Steps from which the decay starts again; none in the warm-up, whose end has the peak anyway.

    They are rounded as mask updates are, so that equal lengths of ramp and rewinds meet at equal
    steps.
    """
    given = spec.schedule.rewind
    clock = spec.clock()
    warmup = warmup_steps(spec)
    if given is None:
        return []
    start = round_half_up(given.start.steps(clock))
    every = max(1.0, given.every.steps(clock))  # a length of 0 would never end
    # Multiples are rounded, not sums of rounded lengths, so that no error adds up.
    steps = (start + round_half_up(k * every) for k in count())
    within_training = takewhile(lambda step: step < clock.total, steps)
    return [step for step in within_training if step > warmup]


def image_resolution(spec: TrialSpec, step: int) -> int | None:
    """Pixels of a training image's side at a step, from step 0; None where images do not grow."""
    found = spec.task.growth_of_images()
    if found is None:
        return None
    growth, last = found
    clock = spec.clock()
    start = growth.start.steps(clock)
    length = growth.length.steps(clock)
    done = min(1.0, max(0.0, (step - start) / length)) if length else float(step >= start)
    side = growth.first + done * (last - growth.first)
    # The declared resolution need not be a multiple, but training has to end with it.
    return last if done == 1 else min(last, round_half_up(side / growth.multiple) * growth.multiple)
