"""One-shot pruning: from dense to the target in one step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsetune.durations import fraction_to_step
from sparsetune.sparsity.methods.method import SHARED_FIELDS, Method
from sparsetune.sparsity.plans.changes import MaskChange

if TYPE_CHECKING:
    from sparsetune.spec import TrialSpec


def one_shot(spec: TrialSpec) -> list[MaskChange]:
    """One change to the target after the fraction ``prune_at`` of training; the mask then stays."""
    step = fraction_to_step(spec.sparsity.prune_at, spec.total_steps())
    return [MaskChange(step, "fixed", spec.sparsity.target, "prune")]


ONE_SHOT = Method(
    name="one_shot",
    title="one-shot pruning",
    plan=one_shot,
    source="Han et al. 2015, arXiv 1506.02626, section 3",
    departs=(
        "Training goes on along the same learning rate, without a retraining schedule of its own.",
    ),
    fields=(*SHARED_FIELDS, "prune_at", "recalibrate"),
    keeps_largest=True,
    flops="3 f_D until the pruning, then 3 f_S",
    tested_against="a plan worked out by hand",
)
