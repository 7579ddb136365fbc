"""Lengths of training at which sparse trials cost as many FLOPs as their dense twins."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import count

from sparsetune.costs.training_flops import train_flops
from sparsetune.spec import TrialSpec

EQUAL_WITHIN = 1e-3
"""Relative difference from the FLOPs wanted at which the search for a length ends."""
MAX_STRETCH = 10_000
"""Largest factor by which a training may be stretched."""
MAX_COST_GAP = 0.01
"""Relative difference above which the neighbours of the best length are tried as well.

In short trainings phases are rounded to a few steps each, and a longer training may cost less.
"""
NEAR_STEPS = 16
"""Neighbours that are tried then, on either side, in steps."""


@lru_cache(maxsize=4096)
def match_dense_flops(spec: TrialSpec) -> TrialSpec:
    """Stretch a valid trial to the training FLOPs of its dense twin; a dense trial stays as it is.

    FLOPs are those of `train_flops`. FLOPs of gradients for growth or Fisher information (the
    column ``extra_flops``) do not count: batches for a mask's choice train no weight, and how many
    they are is no property of the network that is compared.

    Returns:
        The canonical trial, with ``schedule.stretch`` set to the closest whole number of steps.
        Where more steps bring more phases, as in AC/DC with phases of some epochs, the closest may
        lie half a phase off.

    Raises:
        DeclarationError: if the trial's model cannot be built.
    """
    spec = spec.with_values({"schedule.stretch": 1})
    if not spec.sparsity.prunes:
        return spec
    # Steps of the trial without a stretch.
    unit = spec.schedule.epochs * spec.schedule.epoch_multiplier * spec.steps_per_epoch()

    def stretch(steps: int) -> float:
        return float(f"{steps / unit:.10g}")  # exact for 10^9 steps

    def cost(steps: int) -> float:
        schedule = spec.schedule.model_copy(update={"stretch": stretch(steps)})
        return train_flops(spec.model_copy(update={"schedule": schedule}))

    steps = _closest_steps(cost, train_flops(spec.dense()), spec.total_steps())
    return spec.with_values({"schedule.stretch": stretch(steps)})


def _closest_steps(cost: Callable[[int], float], wanted: float, start: int) -> int:
    """Number of steps, at least ``start``, whose cost is closest to ``wanted``.

    Args:
        cost: Cost of so many steps. More steps cost more, except among a few neighbours.
        wanted: The cost to reach.
        start: Smallest number of steps.
    """
    costs = {start: cost(start)}

    # Bracket: low costs less than wanted, high at least as much.
    low = start
    high = start
    while costs[high] < wanted and high < MAX_STRETCH * start:
        low = high
        if high == start:
            high = math.ceil(start * wanted / max(costs[start], wanted / MAX_STRETCH))
        else:
            high = 2 * high
        costs[high] = cost(high)

    # Narrow the bracket by secants and halvings in turn, since a jump in cost defies secants.
    for attempt in count():
        best = min(costs, key=lambda steps: (abs(costs[steps] - wanted), steps))
        if high - low < 2 or abs(costs[best] - wanted) <= EQUAL_WITHIN * wanted:
            break
        share = 0.5
        if attempt % 2 == 0:
            share = (wanted - costs[low]) / (costs[high] - costs[low])
        middle = min(high - 1, max(low + 1, round(low + share * (high - low))))
        costs[middle] = cost(middle)
        if costs[middle] < wanted:
            low = middle
        else:
            high = middle

    if abs(costs[best] - wanted) <= MAX_COST_GAP * wanted:
        return best
    near = range(max(start, best - NEAR_STEPS), best + NEAR_STEPS + 1)
    return min(near, key=lambda steps: (abs(cost(steps) - wanted), steps))
