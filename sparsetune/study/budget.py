"""A budget: the most that any one configuration of a search may cost, or what sparse networks cost as dense ones do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from sparsetune.errors import Problem
from sparsetune.spec import TrialSpec, flatten_values
from sparsetune.spec.declaration import Declaration

if TYPE_CHECKING:
    from sparsetune.study.cells import Cell
    from sparsetune.study.study import Study

COST_AXES = ("schedule.epochs", "schedule.epoch_multiplier", "schedule.stretch")
"""Fields that change what a trial costs: searched without a budget, the longest run would always win."""


class Budget(Declaration):
    """The most that a search configuration may cost, trained to its end; at least one unit is given."""

    epochs: float | None = Field(default=None, gt=0)
    """Of training, the multiplier counted in."""
    train_flops: float | None = Field(default=None, gt=0)
    """As in the column of that name: one epoch of dense training costs 1. Forecast before training."""

    @model_validator(mode="after")
    def _bounds_something(self) -> Budget:
        if not self.limits():
            raise ValueError("a budget must bound `epochs`, `train_flops` or both")
        return self

    def limits(self) -> dict[str, float]:
        """The bounded units and their limits."""
        given = {"epochs": self.epochs, "train_flops": self.train_flops}
        return {unit: limit for unit, limit in given.items() if limit is not None}


def trained_epochs(spec: TrialSpec) -> float:
    """Epochs that a trial trains, the multiplier counted in."""
    return spec.total_steps() / spec.steps_per_epoch()


def equality_problems(study: Study, cells: Iterable[Cell]) -> Iterator[Problem]:
    """What of a study that equals training FLOPs leaves nothing to equal, or sets what the study sets itself."""
    if study.equal != "train_flops":
        return
    path = "schedule.stretch"
    places = {
        "base": flatten_values(study.base.given()),
        "sweep": study.sweep,
        "search": study.search,
    }
    for name, arm in study.arms.items():
        parts = {"overrides": arm.overrides, "sweep": arm.sweep, "search": arm.search}
        places |= {f"arms.{name}.{part}": values for part, values in parts.items()}
    for place in (place for place, values in places.items() if path in values):
        rule = "is set by a study whose `equal` is `train_flops`; leave it out, or set `equal` to `epochs`"
        yield Problem(f"{place}.{path}", rule)
    recipes = [spec for cell in cells for spec in cell.corner_recipes()]
    if recipes and all(spec.sparsity.method == "dense" for spec in recipes):
        rule = "`train_flops` needs a sparse network, whose training is to cost what its dense twin's does"
        yield Problem("equal", rule, "dense networks only")
