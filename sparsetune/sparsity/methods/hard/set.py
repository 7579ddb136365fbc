"""SET: exchanges that grow weights at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsetune.sparsity.methods.hard.rigl import EXCHANGE_RULES, rigl
from sparsetune.sparsity.methods.method import SHARED_FIELDS, Method
from sparsetune.sparsity.plans.changes import MaskChange
from sparsetune.sparsity.plans.rules import REGROW_RULE

if TYPE_CHECKING:
    from sparsetune.spec import TrialSpec


def set_(spec: TrialSpec) -> list[MaskChange]:
    """Changes of RigL; the method differs by what grows."""
    return rigl(spec)


SET = Method(
    name="set",
    title="SET",
    plan=set_,
    source="Mocanu et al. 2018, arXiv 1707.04780; its plan is that of RigL's comparison, arXiv"
    " 1911.11134, section 3",
    code="google-research/rigl; dcmocanu/sparse-evolutionary-artificial-neural-networks",
    departs=(
        "Mocanu et al. exchange a constant fraction every epoch, start from an Erdős-Rényi mask and"
        " drop the smallest positive and the largest negative weights.",
        "An exchange takes the place of the optimizer's step, as under RigL; in the code of RigL's"
        " authors SET steps on that batch too.",
    ),
    fields=(*SHARED_FIELDS, "regrow", "reset"),
    defaults={"allocation": "erk", "reset": "grown"},
    patterns="unstructured",
    rules=EXCHANGE_RULES,
    schedule_rules=(REGROW_RULE,),
    grows_by="random",
    tested_against="published FLOPs; counts of every exchange",
)
