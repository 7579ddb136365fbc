"""Exchanges of weights in dynamic sparse training: when they come, and how many weights move."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sparsetune.durations import round_half_up

if TYPE_CHECKING:
    from sparsetune.spec import TrialSpec
    from sparsetune.spec.sparsity import RegrowSpec


def exchange_fraction(step: int, end: int, spec: RegrowSpec) -> float:
    """Fraction of a layer's kept weights that an update exchanges, in [0, 1).

    Under ``cosine`` it is ``fraction / 2 (1 + cos(pi step / end))`` (Evci et al. 2020, section 3);
    a floor is what it falls to.

    Args:
        step: Optimizer steps done before the update, in [0, end].
        end: Optimizer steps done when updates end, at least 1.
        spec: Fraction at the start, and how it falls.
    """
    # Here, since the declaration's tables are made of methods, which must load before it.
    from sparsetune.spec.rates import DECAYS

    return spec.floor + (spec.fraction - spec.floor) * DECAYS[spec.decay](step / end)


def regrow_until(spec: TrialSpec) -> int:
    """Step from which the mask stays as it is."""
    return round_half_up(spec.sparsity.regrow.until.steps(spec.clock()))


def regrow_updates(spec: TrialSpec, start: int = 0) -> int:
    """Number of exchanges after ``start`` that the declared schedule has room for."""
    return _updates_between(start, regrow_until(spec), _regrow_every(spec))


def regrow_steps(spec: TrialSpec, start: int, until: int) -> list[int]:
    """Steps of the updates between ``start`` and ``until``, both excluded, in order."""
    every = _regrow_every(spec)
    n_updates = _updates_between(start, until, every)
    return [start + round_half_up(k * every) for k in range(1, n_updates + 1)]


def _updates_between(start: int, until: int, every: float) -> int:
    """Number of multiples of ``every`` after ``start`` that round to steps before ``until``."""
    # Halves round up, so a multiple rounds to a step before `until` if it lies below `until - 0.5`.
    return max(0, math.ceil((until - start - 0.5) / every) - 1)


def _regrow_every(spec: TrialSpec) -> float:
    """Steps between two updates, at least 1."""
    return max(1.0, spec.sparsity.regrow.every.steps(spec.clock()))
