"""STE: masks of dense weights at every step, trained straight through the mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sparsetune.sparsity.methods.method import (
    CombinationRule,
    EffectiveWeights,
    Method,
)
from sparsetune.sparsity.plans.changes import MaskChange

if TYPE_CHECKING:
    from torch import Tensor

    from sparsetune.spec import TrialSpec
    from sparsetune.spec.sparsity import SparsitySpec


def ste(spec: TrialSpec) -> list[MaskChange]:
    """One change at step 0: from then on, every forward pass has its own mask."""
    return [MaskChange(0, "dynamic", spec.sparsity.target, "shadow")]


def _keep_dense(weights: Sequence[Tensor], spec: SparsitySpec) -> EffectiveWeights:
    """Dense weights behind the masked ones, without a pull."""
    # Here, since declarations are read without torch.
    from sparsetune.sparsity.effective.straight_through import ShadowWeights

    return ShadowWeights(weights, 0.0)


STE = Method(
    name="ste",
    title="straight-through training",
    plan=ste,
    source="Wortsman et al. 2019, arXiv 1906.00586, algorithm 1 (within layers); the estimator:"
    " Bengio et al. 2013, arXiv 1308.3432",
    code="RAIVNLab/STR, utils/conv_type.py (DNWConv)",
    departs=(
        "Wortsman et al. prune every layer to the same sparsity; the default is `global`.",
        "Counts of pruned weights are rounded to the nearest; theirs down.",
    ),
    rules=(
        CombinationRule(
            "pattern",
            "STE makes masks without a pattern: N:M masks are those of `sr_ste`, with a"
            " `shadow_decay` of 0",
            lambda spec: spec.pattern != "unstructured",
        ),
        CombinationRule(
            "score",
            "STE's masks follow the dense weights' `magnitude` at every step",
            lambda spec: spec.score != "magnitude",
        ),
    ),
    patterns="unstructured",
    forward=_keep_dense,
    keeps_largest=True,
    certified="the target's count of effective weights outside the mask, each of them zero",
    flops="2 f_S + f_D: the gradients of dense weights are computed",
    tested_against="an independent reference, weight by weight",
)
