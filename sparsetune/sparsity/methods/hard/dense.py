"""Dense training: nothing is pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsetune.sparsity.methods.method import Method
from sparsetune.sparsity.plans.changes import MaskChange

if TYPE_CHECKING:
    from sparsetune.spec import TrialSpec


def dense(spec: TrialSpec) -> list[MaskChange]:
    """No changes: every weight trains from the first step to the last."""
    return []


DENSE = Method(
    name="dense",
    title="the dense network",
    plan=dense,
    source="",
    # A dense network has no mask: two that differ in a score alone are one training.
    fields=(),
    certified="no weight outside a mask",
    flops="3 f_D",
    tested_against="torch's own training step",
)
