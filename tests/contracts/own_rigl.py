"""A variant of RigL in a file of its own: exchanges come closer together, and weights shrink."""

from __future__ import annotations

from dataclasses import replace

from sparsetune import METHODS, MaskChange, StepState, TrialSpec

EXCHANGES = 12
UNTIL = 0.75


def late_exchanges(spec: TrialSpec) -> list[MaskChange]:
    """A random mask, then ever more frequent exchanges until the mask becomes fixed."""
    target = spec.sparsity.target
    until = round(UNTIL * spec.total_steps())
    changes = [MaskChange(0, "dynamic", target, "draw")]
    for k in range(1, EXCHANGES):
        step = round(until * (k / EXCHANGES) ** 0.5)
        exchanged = spec.sparsity.regrow.fraction * (1 - step / until) ** 0.5
        changes.append(MaskChange(step, "dynamic", target, "regrow", exchanged))
    return [*changes, MaskChange(until, "fixed", target)]


def shrink(state: StepState) -> None:
    """Make weights smaller by a thousandth after every step."""
    for weight in state.weights.values():
        weight.mul_(0.999)


LATE_RIGL = replace(
    METHODS["rigl"],
    name="late_rigl",
    title="late RigL",
    plan=late_exchanges,
    after_step=shrink,
    schedule_rules=(),
    departs=("Exchanges come closer together towards the end of training.",),
)
