"""Sparse transfer: fine-tuning of a sparse checkpoint within its own mask."""

from __future__ import annotations

from sparsetune.sparsity.methods.changes import MaskChange
from sparsetune.spec import TrialSpec


def transfer(spec: TrialSpec) -> list[MaskChange]:
    """One mask at step 0, the checkpoint's: its zeros have the lowest magnitudes.

    Source: Kurtic et al. 2022, arXiv 2203.07259.
    """
    return [MaskChange(0, "fixed", spec.sparsity.target, "prune")]
