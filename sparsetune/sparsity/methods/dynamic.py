"""Dynamic sparse training: updates that drop kept weights and grow as many others.

SET (Mocanu et al. 2018, arXiv 1707.04780) grows at random, RigL (Evci et al. 2020,
arXiv 1911.11134) by gradient. GraNet (Liu et al. 2021, arXiv 2106.10404) does so along a ramp.
"""

from __future__ import annotations

import math

from sparsetune.durations import round_half_up
from sparsetune.sparsity.methods.changes import MaskChange
from sparsetune.sparsity.methods.gmp import ramp_start
from sparsetune.sparsity.methods.ramps import ramp_sparsity, ramp_steps
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import Phase
from sparsetune.spec.rates import DECAYS
from sparsetune.spec.sparsity import RegrowSpec


def set_(spec: TrialSpec) -> list[MaskChange]:
    """A random mask, then updates that grow weights at random."""
    return _drop_and_grow(spec)


def rigl(spec: TrialSpec) -> list[MaskChange]:
    """A random mask, then updates that grow the weights with the largest gradients."""
    return _drop_and_grow(spec)


def _drop_and_grow(spec: TrialSpec) -> list[MaskChange]:
    """Changes of SET and RigL, which differ in what grows (Evci et al. 2020, algorithm 1)."""
    target = spec.sparsity.target
    until = regrow_until(spec)
    changes = [MaskChange(0, "dynamic", target, "draw")]
    for step in _regrow_steps(spec, 0, until):
        exchanged = exchange_fraction(step, until, spec.sparsity.regrow)
        # Algorithm 1 updates either the mask or the weights on a batch, never both.
        update = MaskChange(step, "dynamic", target, "regrow", exchanged, replaces_step=True)
        changes.append(update)
    changes.append(MaskChange(until, "fixed", target))
    return changes


def granet(spec: TrialSpec) -> list[MaskChange]:
    """A ramp whose every update also exchanges weights, and more updates after it.

    Source: Liu et al. 2021, arXiv 2106.10404.
    """
    until = regrow_until(spec)
    start, end = ramp_steps(spec)
    steps = set(_regrow_steps(spec, start, until))
    if end < until:
        # The ramp's end is seldom a multiple of the interval; the target is due there all the same.
        steps.add(end)
    changes = [ramp_start(spec)] if start < until else []
    changes += [_granet_update(spec, step, until) for step in sorted(steps)]
    changes.append(MaskChange(until, "fixed", spec.sparsity.target, "prune"))
    return changes


def _granet_update(spec: TrialSpec, step: int, until: int) -> MaskChange:
    """Update at ``step``: to the ramp's sparsity, with weights exchanged."""
    phase: Phase = "ramp" if step < ramp_steps(spec)[1] else "dynamic"
    exchanged = exchange_fraction(step, until, spec.sparsity.regrow)
    return MaskChange(step, phase, ramp_sparsity(spec, step), "regrow", exchanged)


def exchange_fraction(step: int, end: int, spec: RegrowSpec) -> float:
    """Fraction of a layer's kept weights that an update exchanges, in [0, 1).

    Under ``cosine`` it is ``fraction / 2 (1 + cos(pi step / end))`` (Evci et al. 2020, section 3).

    Args:
        step: Optimizer steps done before the update, in [0, end].
        end: Optimizer steps done when updates end, at least 1.
        spec: Fraction at the start, and how it falls.
    """
    return spec.fraction * DECAYS[spec.decay](step / end)


def regrow_until(spec: TrialSpec) -> int:
    """Step from which the mask stays as it is."""
    return round_half_up(spec.sparsity.regrow.until.steps(spec.clock()))


def regrow_updates(spec: TrialSpec) -> int:
    """Number of exchanges that the declared schedule has room for."""
    start = ramp_steps(spec)[0] if spec.sparsity.method == "granet" else 0
    return _updates_between(start, regrow_until(spec), _regrow_every(spec))


def _regrow_steps(spec: TrialSpec, start: int, until: int) -> list[int]:
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
