"""Shapes of a gradual ramp: how much of the target sparsity is reached after a fraction of the ramp."""

from __future__ import annotations

from collections.abc import Callable

Ramp = Callable[[float], float]


def cubic(fraction: float) -> float:
    """``1 - (1 - fraction)^3``: fast while much is redundant, slow near the target (Zhu & Gupta 2017, eq. 1)."""
    return 1 - (1 - fraction) ** 3


def linear(fraction: float) -> float:
    """``fraction`` itself: the same number of weights at every update."""
    return fraction


RAMPS: dict[str, Ramp] = {"cubic": cubic, "linear": linear}
"""Each maps [0, 1] to [0, 1], never falls, and is exactly 0 at 0 and 1 at 1."""
