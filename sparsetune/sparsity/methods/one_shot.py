"""One-shot pruning: from dense to the target in one step."""

from __future__ import annotations

from sparsetune.durations import fraction_to_step
from sparsetune.sparsity.methods.changes import MaskChange
from sparsetune.spec import TrialSpec


def one_shot(spec: TrialSpec) -> list[MaskChange]:
    """One change to the target after the fraction ``prune_at`` of training; the mask then stays."""
    step = fraction_to_step(spec.sparsity.prune_at, spec.total_steps())
    return [MaskChange(step, "fixed", spec.sparsity.target, "prune")]
