"""A budget: the most that any one configuration of a search may cost."""

from __future__ import annotations

from pydantic import Field, model_validator

from sparsetune.declaration import Declared
from sparsetune.spec import TrialSpec

COST_AXES = ("schedule.epochs", "schedule.epoch_multiplier")
"""Fields that change what a trial costs: searched without a budget, the longest run would always win."""


class Budget(Declared):
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


def epochs(spec: TrialSpec) -> float:
    """Epochs that a trial trains, the multiplier counted in."""
    return spec.total_steps() / spec.steps_per_epoch()
