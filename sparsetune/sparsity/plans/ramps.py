"""Gradual ramps: the shapes in which the sparsity rises, and where in training a ramp lies."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from sparsetune.durations import round_half_up
from sparsetune.imports import import_function, is_import_path
from sparsetune.sparsity.plans.changes import MaskChange

if TYPE_CHECKING:
    from sparsetune.spec import TrialSpec
    from sparsetune.spec.sparsity import RampSpec

Ramp = Callable[[float, "RampSpec", float], float]
"""Function of the fraction of the ramp that is done, its declaration, and the target."""


def cubic(fraction: float, ramp: RampSpec, target: float) -> float:
    """``target + (first - target) (1 - fraction)^3``: fast at first, slow near the target.

    Source: Zhu & Gupta 2017, arXiv 1710.01878, equation 1.
    """
    return _interpolate(ramp, target, 1 - (1 - fraction) ** 3)


def linear(fraction: float, ramp: RampSpec, target: float) -> float:
    """``first + (target - first) fraction``: every update prunes as many weights."""
    return _interpolate(ramp, target, fraction)


def exponential(fraction: float, ramp: RampSpec, target: float) -> float:
    """``1 - (1 - first) ((1 - target) / (1 - first))^fraction``.

    Every update prunes the same share of the weights that are left, as iterative magnitude pruning
    does.
    """
    first = min(ramp.first, target)
    if fraction == 1:
        # The power would be a rounding error off, and the mask then a weight.
        return target
    left: float = (1 - first) * ((1 - target) / (1 - first)) ** fraction
    return 1 - left


def stepped(fraction: float, ramp: RampSpec, target: float) -> float:
    """Declared levels, as fractions of the target, at equal intervals; then the target."""
    inner = [max(ramp.first, level * target) for level in ramp.levels]
    levels = [min(ramp.first, target), *inner, target]
    # 1e-9: a fraction computed from steps may lie just below the interval's start.
    reached = math.floor(fraction * (len(levels) - 1) + 1e-9)
    return min(target, levels[reached])


def _interpolate(ramp: RampSpec, target: float, done: float) -> float:
    first = min(ramp.first, target)
    return first + (target - first) * done


RAMPS: dict[str, Ramp] = {
    "cubic": cubic,
    "linear": linear,
    "exponential": exponential,
    "stepped": stepped,
}
"""Ramp shapes by name.

Each maps a fraction in [0, 1] to a sparsity: ``first`` at 0, the target at 1, never falling.
"""


MANY_LEVELS = 10
"""Levels from which on a stepped ramp reaches some of them an interval late, where rounding moved
their step forward: studies were trained so. Ramps of fewer such levels were refused."""


def ramp_function(shape: str) -> Ramp:
    """Ramp shape of that name, or at that import path.

    Raises:
        DeclarationError: if the import path does not lead to a function.
    """
    if not is_import_path(shape):
        return RAMPS[shape]
    own: Ramp = import_function(shape, "sparsity.ramp.shape")
    return own


def ramp_sparsity(spec: TrialSpec, step: int) -> float:
    """Sparsity that the trial's ramp has reached at ``step``, from the ramp's first step on."""
    ramp = spec.sparsity.ramp
    target = spec.sparsity.target
    start, end = ramp_steps(spec)
    if step >= end:
        return target
    done = float(step - start)
    if ramp.shape == "stepped" and len(ramp.levels) < MANY_LEVELS:
        # The step of an update is rounded, and may lie before the interval that it begins.
        done += 0.5
    return ramp_function(ramp.shape)(min(1.0, done / (end - start)), ramp, target)


def ramp_bounds(spec: TrialSpec) -> tuple[float, float]:
    """Declared start and end of the ramp in steps, which may lie outside training."""
    ramp = spec.sparsity.ramp
    clock = spec.clock()
    start = ramp.start.steps(clock)
    if ramp.tail is not None:
        return start, clock.total - ramp.tail.steps(clock)
    return start, start + ramp.length.steps(clock)


def ramp_steps(spec: TrialSpec) -> tuple[int, int]:
    """First step of the ramp and the step at which it reaches the target, within training."""
    start, end = ramp_bounds(spec)
    total = spec.total_steps()
    first = min(total, round_half_up(start))
    last = min(total, round_half_up(end))
    return first, max(first, last)


def ramp_start(spec: TrialSpec) -> MaskChange:
    """Change that starts the ramp: to its first sparsity, or to none if that is 0."""
    first = min(spec.sparsity.ramp.first, spec.sparsity.target)
    start = ramp_steps(spec)[0]
    if spec.sparsity.ramp.first_mask == "erk":
        return MaskChange(start, "ramp", first, "draw", allocation="erk")
    return MaskChange(start, "ramp", first, "prune" if first else "keep")


def ramp_updates(spec: TrialSpec) -> float:
    """Number of mask updates that the declaration asks for after the ramp's start."""
    ramp = spec.sparsity.ramp
    if ramp.shape == "stepped":
        return len(ramp.levels) + 1
    if ramp.every is None:
        return ramp.updates
    start, end = ramp_steps(spec)
    return max(1.0, (end - start) / max(ramp.every.steps(spec.clock()), 1e-9))


def inner_ramp_steps(spec: TrialSpec) -> list[int]:
    """Steps of the updates strictly between the ramp's start and end, in order, each once."""
    start, end = ramp_steps(spec)
    # Two updates a step already reach every step; more would only be counted, never made.
    n_updates = min(ramp_updates(spec), max(0, end - start) * 2)
    steps = set()
    for k in range(1, math.ceil(n_updates)):
        step = start + round_half_up(k * (end - start) / n_updates)
        if start < step < end:
            steps.add(step)
    return sorted(steps)
