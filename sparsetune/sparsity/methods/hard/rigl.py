"""RigL: exchanges that grow the weights with the largest gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsetune.sparsity.methods.method import SHARED_FIELDS, CombinationRule, Method
from sparsetune.sparsity.plans.changes import MaskChange
from sparsetune.sparsity.plans.exchanges import (
    exchange_fraction,
    regrow_steps,
    regrow_until,
)
from sparsetune.sparsity.plans.rules import REGROW_RULE

if TYPE_CHECKING:
    from sparsetune.spec import TrialSpec

EXCHANGE_RULES = (
    CombinationRule(
        "pattern",
        "drop and grow moves weights from one group of M to another:"
        " the pattern must be `unstructured`",
        lambda spec: spec.pattern != "unstructured",
    ),
    CombinationRule(
        "score",
        "drop and grow drops by `magnitude`, `random` or `saliency`: the Fisher's survivors make up"
        " for what is pruned for good",
        lambda spec: spec.score == "fisher",
    ),
)
"""Combinations that no method works under which exchanges weights."""


def rigl(spec: TrialSpec) -> list[MaskChange]:
    """A random mask, then exchanges until the mask becomes fixed."""
    target = spec.sparsity.target
    until = regrow_until(spec)
    # Algorithm 1 updates either the mask or the weights on a batch, never both.
    replaces = spec.sparsity.regrow.replaces_step is not False
    changes = [MaskChange(0, "dynamic", target, "draw")]
    for step in regrow_steps(spec, 0, until):
        exchanged = exchange_fraction(step, until, spec.sparsity.regrow)
        update = MaskChange(step, "dynamic", target, "regrow", exchanged, replaces_step=replaces)
        changes.append(update)
    changes.append(MaskChange(until, "fixed", target))
    return changes


RIGL = Method(
    name="rigl",
    title="RigL",
    plan=rigl,
    source="Evci et al. 2020, arXiv 1911.11134, algorithm 1",
    code="google-research/rigl",
    departs=(
        "Ties are broken by position; the authors' code adds noise of 1e-5.",
        "ERK knows linear and convolution layers: attention that holds its projections in one"
        " weight gets one density, where the authors' count would give it three.",
    ),
    fields=(*SHARED_FIELDS, "regrow", "reset"),
    defaults={"allocation": "erk", "reset": "grown"},
    patterns="unstructured",
    rules=EXCHANGE_RULES,
    schedule_rules=(REGROW_RULE,),
    grows_by="gradient",
    flops="(3 f_S ΔT + 2 f_S + f_D) / (ΔT + 1)",
    tested_against="an independent reference, weight by weight; published FLOPs of ResNet-50",
)
