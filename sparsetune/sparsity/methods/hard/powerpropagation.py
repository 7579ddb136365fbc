"""Powerpropagation: weights that are powers of the parameters, pruned along a ramp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sparsetune.sparsity.methods.hard.gmp import gmp
from sparsetune.sparsity.methods.method import (
    SHARED_FIELDS,
    CombinationRule,
    EffectiveWeights,
    Method,
)
from sparsetune.sparsity.plans.rules import RAMP_RULE

if TYPE_CHECKING:
    from torch import Tensor

    from sparsetune.spec.sparsity import SparsitySpec


def _raise_to_power(weights: Sequence[Tensor], spec: SparsitySpec) -> EffectiveWeights:
    """Parameters whose powers are the weights, from the first step on."""
    # Here, since declarations are read without torch.
    from sparsetune.sparsity.effective.power import PowerWeights

    return PowerWeights(weights, spec.power)


POWERPROPAGATION = Method(
    name="powerpropagation",
    title="powerpropagation",
    plan=gmp,
    source="Schwarz et al. 2021, arXiv 2110.00296, sections 2 and 4",
    code="google-deepmind/deepmind-research, powerpropagation",
    departs=(
        "The authors publish no default: their notebook compares powers of 2, 3, 4 and 5, their"
        " ImageNet runs take smaller ones; here it is 2.",
        "The authors prune small networks at once after training, each layer to the same sparsity"
        " and the last to less; that is `ramp=ONE_SHOT_RAMP`. Masks are `global` by default.",
        "Weight decay acts on the parameters; their notebook has none.",
    ),
    fields=(*SHARED_FIELDS, "power", "ramp", "recalibrate"),
    rules=(
        CombinationRule(
            "score",
            "powerpropagation prunes by the `magnitude` of its weights",
            lambda spec: spec.score != "magnitude",
        ),
    ),
    schedule_rules=(RAMP_RULE,),
    reparametrize=_raise_to_power,
    keeps_largest=True,
    flops="3 f_D (1 - s_t), a mean over training",
    tested_against="the authors' formulas by autograd, weight by weight",
)
