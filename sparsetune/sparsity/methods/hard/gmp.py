"""Gradual magnitude pruning: mask updates along a ramp, then a fixed mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsetune.sparsity.methods.method import SHARED_FIELDS, Method
from sparsetune.sparsity.plans.changes import MaskChange
from sparsetune.sparsity.plans.ramps import (
    inner_ramp_steps,
    ramp_sparsity,
    ramp_start,
    ramp_steps,
)
from sparsetune.sparsity.plans.rules import RAMP_RULE

if TYPE_CHECKING:
    from sparsetune.spec import TrialSpec


def gmp(spec: TrialSpec) -> list[MaskChange]:
    """Changes at the ramp's start, at its updates, and at its end, which reaches the target."""
    updates = [
        MaskChange(step, "ramp", ramp_sparsity(spec, step), "prune")
        for step in inner_ramp_steps(spec)
    ]
    end = ramp_steps(spec)[1]
    last = MaskChange(end, "fixed", spec.sparsity.target, "prune")
    return [ramp_start(spec), *updates, last]


GMP = Method(
    name="gmp",
    title="GMP",
    plan=gmp,
    source="Zhu & Gupta 2017, arXiv 1710.01878, equation 1",
    code="google-research/state_of_sparsity",
    departs=(
        "Zhu & Gupta prune every layer to the same sparsity, as `UNIFORM_GMP` does; the default is"
        " `global`, as in GMP*.",
        "The default ramp, from 0.1 to 0.7 of training in 50 updates, is ours.",
    ),
    fields=(*SHARED_FIELDS, "ramp", "recalibrate"),
    schedule_rules=(RAMP_RULE,),
    keeps_largest=True,
    flops="3 f_D (1 - s_t), a mean over training",
    tested_against="an independent reference, weight by weight; GMP*'s updates",
)
