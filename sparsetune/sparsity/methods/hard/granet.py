"""GraNet: a ramp whose every update also exchanges weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsetune.sparsity.methods.hard.rigl import EXCHANGE_RULES
from sparsetune.sparsity.methods.method import SHARED_FIELDS, CombinationRule, Method
from sparsetune.sparsity.plans.changes import MaskChange, Plan
from sparsetune.sparsity.plans.exchanges import (
    exchange_fraction,
    regrow_steps,
    regrow_until,
    regrow_updates,
)
from sparsetune.sparsity.plans.ramps import ramp_bounds, ramp_sparsity, ramp_start, ramp_steps
from sparsetune.sparsity.plans.rules import RAMP_RULE, REGROW_RULE, describe_regrow, has_updates

if TYPE_CHECKING:
    from sparsetune.spec import TrialSpec
    from sparsetune.spec.columns import Phase


def granet(spec: TrialSpec) -> list[MaskChange]:
    """A ramp whose every update also exchanges weights, and more updates after it."""
    until = regrow_until(spec)
    start, end = ramp_steps(spec)
    steps = set(regrow_steps(spec, start, until))
    if end < until:
        # The ramp's end is seldom a multiple of the interval; the target is due there all the same.
        steps.add(end)
    changes = [ramp_start(spec)] if start < until else []
    changes += [_update(spec, step, until) for step in sorted(steps)]
    changes.append(MaskChange(until, "fixed", spec.sparsity.target, "prune"))
    return changes


def _update(spec: TrialSpec, step: int, until: int) -> MaskChange:
    """Update at ``step``: to the ramp's sparsity, with weights exchanged."""
    phase: Phase = "ramp" if step < ramp_steps(spec)[1] else "dynamic"
    exchanged = exchange_fraction(step, until, spec.sparsity.regrow)
    return MaskChange(step, phase, ramp_sparsity(spec, step), "regrow", exchanged)


def _updates(spec: TrialSpec) -> int:
    return regrow_updates(spec, ramp_steps(spec)[0])


def _ramp_fits(spec: TrialSpec, plan: Plan) -> bool:
    """True if the ramp lies before the end of the exchanges."""
    start, end = ramp_bounds(spec)
    return start < end <= regrow_until(spec) + 0.5


def _regrow_fits(spec: TrialSpec, plan: Plan) -> bool:
    return has_updates(_updates(spec))


def _describe_regrow(spec: TrialSpec, plan: Plan) -> str:
    return describe_regrow(spec, _updates(spec))


GRANET = Method(
    name="granet",
    title="GraNet",
    plan=granet,
    source="Liu et al. 2021, arXiv 2106.10404, algorithm 1",
    code="VITA-Group/GraNet",
    departs=(
        "By default exchanges end at three quarters of training, along a cosine to 0, and their"
        " counts are rounded down, as under RigL; `PUBLISHED_GRANET` is the authors' code.",
        "The default start is dense; `PUBLISHED_GRANET_RAMP` is their start from a random ERK mask"
        " at 50 %.",
        "Their ramp counts whole updates and stops one before the target; here it follows steps and"
        " ends on the target, with one more update.",
        "An exchange comes after the step that follows, where theirs comes after the one before.",
    ),
    fields=(*SHARED_FIELDS, "ramp", "regrow", "reset"),
    defaults={"reset": "grown"},
    patterns="unstructured",
    rules=(
        *EXCHANGE_RULES,
        CombinationRule(
            "regrow",
            "GraNet's updates prune and exchange after the optimizer's step: leave out"
            " `replaces_step`",
            lambda spec: bool(spec.regrow.replaces_step),
        ),
    ),
    schedule_rules=(
        RAMP_RULE._replace(fits=_ramp_fits),
        REGROW_RULE._replace(fits=_regrow_fits, describe=_describe_regrow),
    ),
    grows_by="gradient",
    flops="3 f_D (1 - s_t), a mean over training; a dense gradient at each update",
    tested_against="the authors' cosine of every update, by torch's own; a plan by hand",
)
