"""Top-KAST: the largest weights are seen, and a larger set of the largest is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sparsetune.sparsity.methods.method import (
    SHARED_FIELDS,
    CombinationRule,
    EffectiveWeights,
    Method,
    StepState,
)
from sparsetune.sparsity.plans.changes import MaskChange

if TYPE_CHECKING:
    from torch import Tensor

    from sparsetune.spec import TrialSpec
    from sparsetune.spec.sparsity import SparsitySpec


def top_kast(spec: TrialSpec) -> list[MaskChange]:
    """One change at step 0: from then on, every pass has its own two masks."""
    return [MaskChange(0, "dynamic", spec.sparsity.target, "shadow")]


def _keep_dense(weights: Sequence[Tensor], spec: SparsitySpec) -> EffectiveWeights:
    """Dense weights behind the masked ones; what pulls them is the exploration loss."""
    # Here, since declarations are read without torch.
    from sparsetune.sparsity.effective.straight_through import ShadowWeights

    return ShadowWeights(weights, 0.0)


def backward_sparsity(spec: SparsitySpec) -> float:
    """Sparsity of the backward mask, in [0, 1); 0 where it would have more weights than there are.

    Args:
        spec: Resolved declaration.
    """
    return max(0.0, 1 - spec.top_kast.backward * (1 - spec.target))


def explore(state: StepState) -> None:
    """Add the gradient of the exploration loss, ``decay`` times the weight.

    Outside the forward mask it is divided by the forward mask's density D, so that a weight must
    have a gradient to be as large as those inside. What lies outside the backward mask does not
    train at all.
    """
    decay = state.spec.top_kast.decay
    density = 1 - state.spec.target
    for name, gradient in state.gradients.items():
        mask = state.masks[name]
        strength = decay * mask + decay / density * ~mask
        gradient.addcmul_(strength.to(gradient.dtype), state.weights[name])


TOP_KAST = Method(
    name="top_kast",
    title="Top-KAST",
    plan=top_kast,
    source="Jayakumar et al. 2021, arXiv 2106.03517, section 2",
    code="neuralmagic/sparseml, pull request 1674 (modifier_pruning_topkast.py)",
    departs=(
        "Masks are chosen at every step; the authors also choose them every 100 steps.",
        "The exploration loss is an L2 penalty, divided by the density of the forward mask outside"
        " it, as in the paper; SparseML adds norms, divided by its sparsity.",
        "The authors train without momentum. With it, weights outside the backward mask stay where"
        " they are, whatever momentum or weight decay would do.",
    ),
    fields=(*SHARED_FIELDS, "top_kast"),
    defaults={"allocation": "uniform"},
    patterns="unstructured",
    rules=(
        CombinationRule(
            "pattern",
            "Top-KAST trains the largest weights: the pattern must be `unstructured`",
            lambda spec: spec.pattern != "unstructured",
        ),
        CombinationRule(
            "score",
            "Top-KAST's masks follow the dense weights' `magnitude` at every step",
            lambda spec: spec.score != "magnitude",
        ),
    ),
    forward=_keep_dense,
    backward=backward_sparsity,
    after_backward=explore,
    keeps_largest=True,
    certified="the target's count of effective weights outside the mask, each of them zero",
    flops="2 f_S + f_B: the gradients of the backward mask's weights are computed",
    tested_against="steps worked out by hand; the paper's loss by autograd, weight by weight",
)
