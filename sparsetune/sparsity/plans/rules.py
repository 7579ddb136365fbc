"""Rules on the length of training, which a method's plan needs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sparsetune.sparsity.plans.changes import MaskChange, Plan
from sparsetune.sparsity.plans.exchanges import regrow_updates
from sparsetune.sparsity.plans.ramps import ramp_bounds, ramp_updates

if TYPE_CHECKING:
    from sparsetune.spec import TrialSpec

MIN_MASK_UPDATES = 10


class Fits(Protocol):
    """Function that is true if a trial, whose method has a plan, is long enough for it."""

    def __call__(self, spec: TrialSpec, plan: Plan) -> bool:
        """True if the trial is long enough; with more epochs it then is too."""


class ScheduleRule(NamedTuple):
    """A rule on the length of training.

    Args:
        field: Field of `SparsitySpec` whose lengths it judges.
        text: The rule in words, up to the advice.
        fits: True if a trial keeps the rule.
        describe: The trial's own schedule, in words.
    """

    field: str
    text: str
    fits: Fits
    describe: Callable[[TrialSpec, Plan], str]


def changes_by_step(spec: TrialSpec, plan: Plan) -> list[MaskChange]:
    """Changes of a plan, at most one a step, the first at step 0."""
    last_at_step = {0: MaskChange(0, "dense", 0.0)}
    for change in plan(spec):
        last_at_step[change.step] = change
    return list(last_at_step.values())


def fewest_that_fit(fits: Callable[[int], bool], first: int, most: int) -> int | None:
    """Fewest steps or epochs, from ``first`` on, of which a rule holds; None beyond ``most``.

    Args:
        fits: True if a training of so many keeps the rule; a longer one then does too.
        first: Number that is tried first, and doubled: to write out a schedule of very many epochs
            takes seconds.
        most: Largest number that is tried.
    """
    longer = first
    while not fits(longer):
        longer *= 2
        if longer > most:
            return None
    tried = range(longer // 2 + 1, longer)
    return longer // 2 + 1 + bisect_left(tried, True, key=fits)


def _ramp_fits(spec: TrialSpec, plan: Plan) -> bool:
    """True if the ramp lies within training and has its declared updates, or enough of them."""
    start, end = ramp_bounds(spec)
    needed = min(MIN_MASK_UPDATES, ramp_updates(spec))
    return start < end <= spec.total_steps() + 0.5 and _count_updates(spec, plan) >= needed


def _describe_ramp(spec: TrialSpec, plan: Plan) -> str:
    start, end = ramp_bounds(spec)
    updates = _count_updates(spec, plan)
    return f"{updates} from step {start:g} to {end:g} of {spec.total_steps()}"


def _count_updates(spec: TrialSpec, plan: Plan) -> int:
    """Number of changes that choose a mask with pruned weights."""
    count = 0
    for change in changes_by_step(spec, plan):
        count += change.action in ("prune", "regrow") and change.sparsity > 0
    return count


def has_updates(updates: int) -> bool:
    """True if a number of exchanges is enough."""
    return updates >= MIN_MASK_UPDATES


def describe_regrow(spec: TrialSpec, updates: int) -> str:
    """The trial's exchanges in words."""
    every = spec.sparsity.regrow.every.declared()
    return f"{updates} (`every` {every}, {spec.total_steps()} steps of training)"


def _regrow_fits(spec: TrialSpec, plan: Plan) -> bool:
    return has_updates(regrow_updates(spec))


def _describe_regrow(spec: TrialSpec, plan: Plan) -> str:
    return describe_regrow(spec, regrow_updates(spec))


RAMP_RULE = ScheduleRule(
    "ramp",
    f"the ramp needs at least {MIN_MASK_UPDATES} mask updates at different steps, or as many as"
    " declared, within training (GraNet's before `regrow.until`); ",
    _ramp_fits,
    _describe_ramp,
)
"""A ramp lies within training and has enough updates."""
REGROW_RULE = ScheduleRule(
    "regrow",
    f"drop and grow needs at least {MIN_MASK_UPDATES} updates; a smaller `every` or ",
    _regrow_fits,
    _describe_regrow,
)
"""There are enough exchanges of weights from the first step on."""
