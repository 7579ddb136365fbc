"""oBERT: gradual pruning by the block-diagonal Fisher."""

from __future__ import annotations

from sparsetune.sparsity.methods.hard.gmp import gmp
from sparsetune.sparsity.methods.method import SHARED_FIELDS, Method
from sparsetune.sparsity.plans.rules import RAMP_RULE

OBERT = Method(
    name="obert",
    title="oBERT",
    plan=gmp,
    source="Kurtic et al. 2022, arXiv 2203.07259, section 3",
    code="neuralmagic/sparseml, modifier_pruning_obs.py",
    departs=(
        "The Fisher is summed and inverted in double precision.",
        "The ramp is GMP's unless it is `OBERT_RAMP` or `OBERT_10_RAMP`.",
    ),
    fields=(*SHARED_FIELDS, "ramp", "recalibrate"),
    defaults={"score": "fisher"},
    schedule_rules=(RAMP_RULE,),
    flops="3 f_D (1 - s_t), a mean over training; the Fisher is extra",
    tested_against="both recipes' published epochs and sparsities; Fishers worked out by hand",
)
