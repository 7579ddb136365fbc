"""What search configurations cost before they are trained, against the budget of their study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

from sparsetune.budget import COST_AXES, Budget, epochs
from sparsetune.cells import Cell
from sparsetune.errors import Problem
from sparsetune.sparsity import forecast
from sparsetune.sparsity.flops import Flops, forward_flops
from sparsetune.sparsity.layers import Layer, layers_of, prunable_weights
from sparsetune.spec import TrialSpec
from sparsetune.study import Study
from sparsetune.tasks import source_of
from sparsetune.tasks.models import meta_model


def train_flops(spec: TrialSpec) -> float:
    """FLOPs of its training in epochs of the dense network; see `sparsetune.sparsity.forecast`.

    Raises:
        DeclarationError: if its model cannot be built.
    """
    source = source_of(spec.task)
    layers, flops = _network(spec.task.model, source.input_shape, source.n_classes)
    return forecast.train_flops(spec, layers, flops)


UNITS = {"epochs": epochs, "train_flops": train_flops}
"""By the budget's field: what a trial costs in that unit."""


@lru_cache(maxsize=32)
def _network(model: str, input_shape: tuple[int, ...], n_classes: int) -> tuple[list[Layer], Flops]:
    network = meta_model(model, input_shape, n_classes)
    return layers_of(prunable_weights(network)), forward_flops(network, input_shape)


def affordable(budget: Budget | None, spec: TrialSpec) -> bool:
    """Whether a valid trial costs at most the budget."""
    limits = budget.limits() if budget else {}
    return all(_fits(UNITS[unit](spec), limit) for unit, limit in limits.items())


def _fits(cost: float, limit: float) -> bool:
    return cost <= limit * (1 + 1e-9)


def budget_problems(study: Study) -> Iterator[Problem]:
    """What lies outside a valid study's budget and would be tried all the same, or never: what would do instead."""
    cells = [cell for cell in study.cells() if cell.search and study.configurations_per_cell > 1]
    for unit, limit in study.at_most.limits().items() if study.at_most and cells else ():
        cost, what = max((UNITS[unit](spec), what) for what, spec in _certain(study, cells))
        if not _fits(cost, limit):
            rule = f"must hold every base recipe and known point; {_upwards(cost)}, the cost of {what}, would do"
            yield Problem(f"at_most.{unit}", rule, f"{limit:g}")
        for path in sorted({path for cell in cells for path in COST_AXES if path in cell.search}):
            least = min(UNITS[unit](spec) for spec in _shortest(cells, path))
            if not _fits(least, limit):
                rule = f"no value of this axis lies within `at_most.{unit}`, of which {_upwards(least)} would do"
                yield Problem(f"search.{path}", rule, f"{limit:g}")


def _certain(study: Study, cells: Iterable[Cell]) -> Iterator[tuple[str, TrialSpec]]:
    """What every cell tries whatever it finds, in words."""
    for cell in cells:
        yield f"the base of cell `{cell.name}`", cell.spec
        yield from ((f"known.{i} in cell `{cell.name}`", cell.known(point)) for i, point in enumerate(study.known))


def _shortest(cells: Iterable[Cell], path: str) -> Iterator[TrialSpec]:
    """The recipes of the cells at either end of an axis."""
    for cell in cells:
        yield from (cell.at({path: value}) for value in (cell.search[path].ends() if path in cell.search else ()))


def _upwards(cost: float) -> str:
    """The cost with three decimals, never less than it is."""
    return f"{math.ceil(cost * 1000 - 1e-6) / 1000:g}"
