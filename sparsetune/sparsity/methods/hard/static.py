"""Static masks: pruning at initialisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsetune.sparsity.methods.method import LaterChoice, Method
from sparsetune.sparsity.plans.changes import MaskChange

if TYPE_CHECKING:
    from sparsetune.spec import TrialSpec


def static(spec: TrialSpec) -> list[MaskChange]:
    """One mask at step 0 that never changes, random or by saliency."""
    return [MaskChange(0, "fixed", spec.sparsity.target, "prune")]


STATIC = Method(
    name="static",
    title="static sparsity",
    plan=static,
    source="Random: Evci et al. 2020, arXiv 1911.11134, section 3; score `saliency`: SNIP, Lee et"
    " al. 2019, arXiv 1810.02340",
    code="google-research/rigl; mil-ad/snip",
    departs=(
        "Studies of defaults versions before 5 took ERK for SNIP too, whose mask is global; so does"
        " a TrialSpec outside a study, unless it says `global`.",
    ),
    defaults={"score": "random", "allocation": "erk"},
    later_defaults=(LaterChoice(5, "allocation", "global", score="saliency"),),
    keeps_largest=True,
    tested_against="ERK's layers and published FLOPs of ResNet-50",
)
