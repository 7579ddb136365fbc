"""oBERT: gradual pruning by the block-diagonal Fisher."""

from __future__ import annotations

from sparsetune.sparsity.methods.changes import MaskChange
from sparsetune.sparsity.methods.gmp import gmp
from sparsetune.spec import TrialSpec


def obert(spec: TrialSpec) -> list[MaskChange]:
    """Changes of gradual pruning; the method differs by its score, ``fisher``, alone.

    Source: Kurtic et al. 2022, arXiv 2203.07259.
    """
    return gmp(spec)
