"""SR-STE: N:M masks of dense weights, trained through the mask."""

from __future__ import annotations

from sparsetune.sparsity.methods.changes import MaskChange
from sparsetune.spec import TrialSpec


def sr_ste(spec: TrialSpec) -> list[MaskChange]:
    """One change at step 0: from then on, every forward pass has its own mask.

    Source: Zhou et al. 2021, arXiv 2102.04010.
    """
    return [MaskChange(0, "dynamic", spec.sparsity.target, "shadow")]
