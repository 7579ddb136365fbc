"""SET: exchanges that grow weights at random."""

from __future__ import annotations

from sparsetune.sparsity.methods.hard.rigl import EXCHANGE_RULES, rigl
from sparsetune.sparsity.methods.method import SHARED_FIELDS, Method
from sparsetune.sparsity.plans.rules import REGROW_RULE

SET = Method(
    name="set",
    title="SET",
    plan=rigl,
    source="Mocanu et al. 2018, arXiv 1707.04780; its plan is that of RigL's comparison, arXiv"
    " 1911.11134, section 3",
    code="google-research/rigl; dcmocanu/sparse-evolutionary-artificial-neural-networks",
    departs=(
        "The default is RigL's plan; `MOCANU_SET` with the allocation `er` and the reset `all` is"
        " that of Mocanu et al. They drop a share of the positive and one of the negative weights,"
        " where here the smallest magnitudes go, and keep the classifier dense.",
        "An exchange takes the place of the optimizer's step, as under RigL; in the code of RigL's"
        " authors SET steps on that batch too, as under `RIGL_SET`.",
    ),
    fields=(*SHARED_FIELDS, "regrow", "reset"),
    defaults={"allocation": "erk", "reset": "grown"},
    patterns="unstructured",
    rules=EXCHANGE_RULES,
    schedule_rules=(REGROW_RULE,),
    grows_by="random",
    tested_against="the plans of both authors' codes; published FLOPs",
)
