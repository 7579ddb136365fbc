"""Static masks: pruning at initialisation."""

from __future__ import annotations

from sparsetune.sparsity.methods.changes import MaskChange
from sparsetune.spec import TrialSpec


def static(spec: TrialSpec) -> list[MaskChange]:
    """One mask at step 0 that never changes, random or by saliency.

    Source: SNIP, Lee et al. 2019, arXiv 1810.02340.
    """
    return [MaskChange(0, "fixed", spec.sparsity.target, "prune")]
