"""The budget of a search: the highest cost of any one of its configurations."""

from __future__ import annotations

from pydantic import Field, model_validator

from sparsetune.spec import TrialSpec
from sparsetune.spec.declaration import Declaration

COST_AXES = ("schedule.epochs", "schedule.epoch_multiplier", "schedule.stretch")
"""Fields that change a trial's cost: searched without a budget, the longest run would always
win."""


class Budget(Declaration):
    """Highest cost of a search configuration, trained to its end; at least one unit is given."""

    epochs: float | None = Field(default=None, gt=0)
    """Epochs of training, including ``epoch_multiplier`` and ``stretch``."""
    train_flops: float | None = Field(default=None, gt=0)
    """Training FLOPs as in the column of that name, forecast before training: one epoch of dense
    training costs 1."""

    @model_validator(mode="after")
    def _bounds_something(self) -> Budget:
        if not self.limits():
            raise ValueError("a budget must bound `epochs`, `train_flops` or both")
        return self

    def limits(self) -> dict[str, float]:
        """Limits by unit, without the units that are not bounded."""
        given = {"epochs": self.epochs, "train_flops": self.train_flops}
        return {unit: limit for unit, limit in given.items() if limit is not None}


def trained_epochs(spec: TrialSpec) -> float:
    """Epochs that a trial trains, including its multiplier and stretch.

    To the rounding of steps; without it where the sizes of the data are not resolved yet.
    """
    if not spec.task.is_resolved:
        return spec.schedule.epochs * spec.schedule.epoch_multiplier * spec.schedule.stretch
    return spec.total_steps() / spec.steps_per_epoch()
