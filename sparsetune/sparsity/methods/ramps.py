"""Shapes of a gradual ramp: the sparsity reached after a fraction of the ramp."""

from __future__ import annotations

import math
from collections.abc import Callable

from sparsetune.spec.sparsity import RampSpec

Ramp = Callable[[float, RampSpec, float], float]


def cubic(fraction: float, ramp: RampSpec, target: float) -> float:
    """``target + (first - target) (1 - fraction)^3``: slow near the target (Zhu & Gupta 2017, eq. 1)."""
    return _interpolate(ramp, target, 1 - (1 - fraction) ** 3)


def linear(fraction: float, ramp: RampSpec, target: float) -> float:
    """The same number of weights at every update."""
    return _interpolate(ramp, target, fraction)


def exponential(fraction: float, ramp: RampSpec, target: float) -> float:
    """The same share of the weights that are left at every update, as in iterative magnitude pruning."""
    first = min(ramp.first, target)
    return target if fraction == 1 else 1 - (1 - first) * ((1 - target) / (1 - first)) ** fraction


def stepped(fraction: float, ramp: RampSpec, target: float) -> float:
    """The declared levels, fractions of the target, at equal intervals; then the target."""
    levels = [
        min(ramp.first, target),
        *(max(ramp.first, level * target) for level in ramp.levels),
        target,
    ]
    return min(target, levels[math.floor(fraction * (len(levels) - 1) + 1e-9)])


def _interpolate(ramp: RampSpec, target: float, done: float) -> float:
    first = min(ramp.first, target)
    return first + (target - first) * done


RAMPS: dict[str, Ramp] = {
    "cubic": cubic,
    "linear": linear,
    "exponential": exponential,
    "stepped": stepped,
}
"""Each maps a fraction in [0, 1] to a sparsity: ``first`` at 0, the target at 1, never falling."""
