"""Sparse transfer: fine-tuning of a sparse checkpoint within its own mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsetune.sparsity.methods.method import CombinationRule, Method
from sparsetune.sparsity.plans.changes import MaskChange

if TYPE_CHECKING:
    from sparsetune.spec import TrialSpec


def transfer(spec: TrialSpec) -> list[MaskChange]:
    """One mask at step 0, the checkpoint's: its zeros have the lowest magnitudes."""
    return [MaskChange(0, "fixed", spec.sparsity.target, "prune")]


TRANSFER = Method(
    name="transfer",
    title="sparse transfer",
    plan=transfer,
    source="Kurtic et al. 2022, arXiv 2203.07259",
    code="neuralmagic/sparseml",
    # The zeros of the checkpoint are the mask, so that nothing is left to choose.
    fields=("method", "target", "checkpoint", "prunable_by"),
    rules=(
        CombinationRule(
            "checkpoint",
            "transfer needs a sparse model to start from: give `sparsity.checkpoint`",
            lambda spec: spec.checkpoint is None,
        ),
    ),
    certified="the target's count of weights outside the mask, the checkpoint's zeros",
    tested_against="the zeros of a checkpoint",
)
