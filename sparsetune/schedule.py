"""The learning rate of every step: a warm-up, then a decay. Knows no torch, so that plans and previews are quick."""

from __future__ import annotations

import math
from collections.abc import Callable

from sparsetune.durations import round_half_up
from sparsetune.spec import TrialSpec


def linear(fraction: float) -> float:
    """From 1 to 0 in a straight line."""
    return 1 - fraction


def cosine(fraction: float) -> float:
    """From 1 to 0 along half a cosine (Loshchilov & Hutter 2017)."""
    return (1 + math.cos(math.pi * fraction)) / 2


def constant(fraction: float) -> float:
    """Always 1."""
    return 1.0


DECAYS: dict[str, Callable[[float], float]] = {"linear": linear, "cosine": cosine, "constant": constant}
"""Each maps the fraction of training done since the warm-up to the fraction of the peak learning rate."""


def learning_rate(spec: TrialSpec, step: int, total: int) -> float:
    """The learning rate of step ``step`` (from 0) of ``total``: a linear rise to the peak, then the declared decay.

    The last step of the warm-up and the first after it have the peak.
    """
    warmup = round_half_up(spec.schedule.warmup * total)
    if step < warmup:
        return spec.optim.lr * (step + 1) / warmup
    return spec.optim.lr * DECAYS[spec.schedule.lr]((step - warmup) / (total - warmup))
