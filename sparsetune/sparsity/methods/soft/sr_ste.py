"""SR-STE: N:M masks of dense weights, trained through the mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sparsetune.sparsity.methods.method import (
    SHARED_FIELDS,
    CombinationRule,
    EffectiveWeights,
    Method,
)
from sparsetune.sparsity.plans.changes import MaskChange

if TYPE_CHECKING:
    from torch import Tensor

    from sparsetune.spec import TrialSpec
    from sparsetune.spec.sparsity import SparsitySpec


def sr_ste(spec: TrialSpec) -> list[MaskChange]:
    """One change at step 0: from then on, every forward pass has its own mask."""
    return [MaskChange(0, "dynamic", spec.sparsity.target, "shadow")]


def _keep_dense(weights: Sequence[Tensor], spec: SparsitySpec) -> EffectiveWeights:
    """Dense weights behind the masked ones, pulled towards zero outside the mask."""
    # Here, since declarations are read without torch.
    from sparsetune.sparsity.effective.straight_through import ShadowWeights

    return ShadowWeights(weights, spec.shadow_decay)


SR_STE = Method(
    name="sr_ste",
    title="SR-STE",
    plan=sr_ste,
    source="Zhou et al. 2021, arXiv 2102.04010, equation 9",
    code="NM-sparsity/NM-sparsity",
    departs=(
        "The authors prune the first convolution of ResNets and keep the classifier dense; here"
        " `uniform` spares the first convolution, whose inputs are seldom a multiple of M, and"
        " prunes the classifier.",
        "A group of M lies within one output, where theirs may straddle two.",
    ),
    fields=(*SHARED_FIELDS, "shadow_decay"),
    defaults={"allocation": "uniform"},
    patterns="n_m",
    rules=(
        CombinationRule(
            "pattern",
            "SR-STE makes N:M masks: give `pattern`, such as `2:4`",
            lambda spec: spec.pattern == "unstructured",
        ),
        CombinationRule(
            "score",
            "SR-STE's masks follow the dense weights' `magnitude` at every step",
            lambda spec: spec.score != "magnitude",
        ),
    ),
    forward=_keep_dense,
    certified="N of every M effective weights inside the mask, all others zero",
    flops="2 f_S + f_D: the gradients of dense weights are computed",
    tested_against="steps worked out by hand; N of every M at each step",
)
