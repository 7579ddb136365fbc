"""Gradual magnitude pruning: mask updates along a ramp, then a fixed mask."""

from __future__ import annotations

from sparsetune.sparsity.methods.changes import MaskChange
from sparsetune.sparsity.methods.ramps import inner_ramp_steps, ramp_sparsity, ramp_steps
from sparsetune.spec import TrialSpec


def gmp(spec: TrialSpec) -> list[MaskChange]:
    """Changes at the ramp's start, at its updates, and at its end, which reaches the target.

    Source: Zhu & Gupta 2017, arXiv 1710.01878.
    """
    updates = [
        MaskChange(step, "ramp", ramp_sparsity(spec, step), "prune")
        for step in inner_ramp_steps(spec)
    ]
    end = ramp_steps(spec)[1]
    last = MaskChange(end, "fixed", spec.sparsity.target, "prune")
    return [ramp_start(spec), *updates, last]


def ramp_start(spec: TrialSpec) -> MaskChange:
    """Change that starts the ramp: to its first sparsity, or to none if that is 0."""
    first = min(spec.sparsity.ramp.first, spec.sparsity.target)
    start = ramp_steps(spec)[0]
    return MaskChange(start, "ramp", first, "prune" if first else "keep")
