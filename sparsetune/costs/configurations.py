"""What configurations cost before they are trained: against their study's budget, and equal to their dense twins'."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import count

import torch

from sparsetune.costs import training_flops
from sparsetune.costs.magnitudes import Magnitudes
from sparsetune.errors import Problem
from sparsetune.sparsity.flops import ForwardFlops, forward_flops
from sparsetune.sparsity.layers import Layer, layers_of
from sparsetune.spec import TrialSpec
from sparsetune.spec.rates import image_resolution
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.study import Study
from sparsetune.study.budget import COST_AXES, Budget, trained_epochs
from sparsetune.study.cells import Cell
from sparsetune.tasks import ImageNetwork, Network, network_of


def train_flops(spec: TrialSpec) -> float:
    """FLOPs of its training in epochs of the dense network; see `sparsetune.costs.training_flops`.

    Raises:
        DeclarationError: if its model cannot be built.
    """
    network = network_of(spec.task)
    layers, flops = _layers_and_flops(network)
    unsure = _needs_magnitudes(spec.sparsity.resolved(), layers, flops)
    magnitudes = _initial_magnitudes(network) if unsure else None
    return training_flops.planned_train_flops(
        spec, layers, flops, _resolution_scales(spec, flops), magnitudes
    )


def _needs_magnitudes(given: SparsitySpec, layers: Sequence[Layer], flops: ForwardFlops) -> bool:
    """Whether masks are the largest of all weights, and it matters in which layers those lie."""
    largest = (given.allocation, given.score, given.pattern) == (
        "global",
        "magnitude",
        "unstructured",
    )
    uses = {
        flops.weights[layer.name] / layer.weights for layer in layers
    }  # one number where all layers are linear
    return largest and given.method in FROM_WEIGHTS and len(uses) > 1


FROM_WEIGHTS = ("static", "one_shot", "gmp", "acdc")
"""Methods whose global masks are nothing but the largest weights."""


@lru_cache(maxsize=8)
def _initial_magnitudes(network: Network) -> Magnitudes:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Magnitudes(network.prunable(network.build()))


def _resolution_scales(spec: TrialSpec, flops: ForwardFlops) -> list[tuple[int, float]]:
    """What a dense step costs where training images grow, from a step on, in steps at full size."""
    network = network_of(spec.task)
    step = 0
    total = spec.total_steps()
    found: list[tuple[int, float]] = []
    while (
        isinstance(network, ImageNetwork)
        and step < total
        and (side := image_resolution(spec, step))
    ):
        _, small = _layers_and_flops(network.at(side))
        found.append((step, small.total / flops.total))
        step = bisect_right(
            range(total), side, lo=step, key=lambda at: image_resolution(spec, at) or 0
        )  # sides never fall
    return found or [(0, 1.0)]


EQUAL_WITHIN = 1e-3
"""Of the FLOPs asked for, at which a length is not looked for any more closely."""
MAX_STRETCH = 10_000
"""What a training may be stretched to at most."""
NEAR_STEPS = 16
MAX_COST_GAP = 0.01
"""Steps on either side that are looked at where the closest found is so far off, a fraction: in short trainings phases
are rounded to a few steps each, and a step more may cost less."""


@lru_cache(maxsize=4096)
def match_dense_flops(spec: TrialSpec) -> TrialSpec:
    """A valid trial stretched to the training FLOPs of its dense twin; a dense one as it is.

    Planned with the densities that are known before training, as in `train_flops`. What a method spends besides, on
    gradients for growth or Fisher information (the column ``extra_flops``), does not count: batches for a mask's
    choice train no weight, and how many they are is no property of the network that is compared.

    Returns:
        The canonical trial, with ``schedule.stretch`` set to the closest whole number of steps. Where steps bring
        phases with them, as in AC/DC with phases of some epochs, the closest may lie half a phase off.

    Raises:
        DeclarationError: if its model cannot be built.
    """
    spec = spec.with_values({"schedule.stretch": 1})
    if spec.sparsity.method == "dense":
        return spec
    unit = spec.schedule.epochs * spec.schedule.epoch_multiplier * spec.steps_per_epoch()

    def stretch(steps: int) -> float:
        return float(f"{steps / unit:.10g}")  # exact for 10^9 steps

    def cost(steps: int) -> float:
        schedule = spec.schedule.model_copy(update={"stretch": stretch(steps)})
        return train_flops(spec.model_copy(update={"schedule": schedule}))

    found = _closest_steps(cost, train_flops(spec.dense()), spec.total_steps())
    return spec.with_values({"schedule.stretch": stretch(found)})


def _closest_steps(cost: Callable[[int], float], wanted: float, start: int) -> int:
    """Steps, from ``start`` on, whose cost comes closest to what is wanted; more steps cost more, within a few."""
    low = high = start
    costs = {start: cost(start)}
    while costs[high] < wanted and high < MAX_STRETCH * start:
        guess = math.ceil(start * wanted / max(costs[start], wanted / MAX_STRETCH))
        low = high
        high = guess if high == start else 2 * high
        costs[high] = cost(high)
    for attempt in count():
        best = min(costs, key=lambda steps: (abs(costs[steps] - wanted), steps))
        if high - low < 2 or abs(costs[best] - wanted) <= EQUAL_WITHIN * wanted:
            break
        share = (
            0.5 if attempt % 2 else (wanted - costs[low]) / (costs[high] - costs[low])
        )  # a jump defies secants
        middle = min(high - 1, max(low + 1, round(low + share * (high - low))))
        costs[middle] = cost(middle)
        low, high = (middle, high) if costs[middle] < wanted else (low, middle)
    off = abs(costs[best] - wanted) > MAX_COST_GAP * wanted
    near = range(max(start, best - NEAR_STEPS), best + NEAR_STEPS + 1) if off else [best]
    return min(near, key=lambda steps: (abs(cost(steps) - wanted), steps))


COST_BY_UNIT = {"epochs": trained_epochs, "train_flops": train_flops}
"""By the budget's field: what a trial costs in that unit."""


@lru_cache(maxsize=32)
def _layers_and_flops(network: Network) -> tuple[list[Layer], ForwardFlops]:
    outline = network.meta()
    weights = network.prunable(outline)
    return layers_of(weights), forward_flops(outline, example=network.example(), prunable=weights)


def is_affordable(budget: Budget | None, spec: TrialSpec) -> bool:
    """Whether a valid trial costs at most the budget."""
    limits = budget.limits() if budget else {}
    return all(_is_within(COST_BY_UNIT[unit](spec), limit) for unit, limit in limits.items())


def _is_within(cost: float, limit: float) -> bool:
    return cost <= limit * (1 + 1e-9)


def budget_problems(study: Study) -> Iterator[Problem]:
    """What lies outside a valid study's budget and would be tried all the same, or never: what would do instead."""
    cells = [cell for cell in study.cells() if cell.search and study.configurations_per_cell > 1]
    for unit, limit in study.at_most.limits().items() if study.at_most and cells else ():
        trial = match_dense_flops if study.equal == "train_flops" else _unchanged
        cost, what = max(
            (COST_BY_UNIT[unit](trial(spec)), what) for what, spec in _certain_trials(study, cells)
        )
        if not _is_within(cost, limit):
            rule = f"must hold every base recipe and known point; {_round_up(cost)}, the cost of {what}, would do"
            yield Problem(f"at_most.{unit}", rule, f"{limit:g}")
        for path in sorted({path for cell in cells for path in COST_AXES if path in cell.search}):
            least = min(COST_BY_UNIT[unit](trial(spec)) for spec in _axis_end_recipes(cells, path))
            if not _is_within(least, limit):
                rule = f"no value of this axis lies within `at_most.{unit}`, of which {_round_up(least)} would do"
                yield Problem(f"search.{path}", rule, f"{limit:g}")


def _unchanged(spec: TrialSpec) -> TrialSpec:
    return spec


def _certain_trials(study: Study, cells: Iterable[Cell]) -> Iterator[tuple[str, TrialSpec]]:
    """What every cell tries whatever it finds, in words."""
    for cell in cells:
        yield f"the base of cell `{cell.name}`", cell.spec
        yield from (
            (f"known.{i} in cell `{cell.name}`", cell.known(point))
            for i, point in enumerate(study.known)
        )


def _axis_end_recipes(cells: Iterable[Cell], path: str) -> Iterator[TrialSpec]:
    """The recipes of the cells at either end of an axis."""
    for cell in cells:
        yield from (
            cell.at({path: value})
            for value in (cell.search[path].ends() if path in cell.search else ())
        )


def _round_up(cost: float) -> str:
    """The cost with three decimals, never less than it is."""
    return f"{math.ceil(cost * 1000 - 1e-6) / 1000:g}"
