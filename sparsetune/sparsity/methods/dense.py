"""Dense training: nothing is pruned."""

from __future__ import annotations

from sparsetune.sparsity.methods.changes import MaskChange
from sparsetune.spec import TrialSpec


def dense(spec: TrialSpec) -> list[MaskChange]:
    """No changes: every weight trains from the first step to the last."""
    return []
