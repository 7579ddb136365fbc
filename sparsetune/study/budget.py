"""Budgets: the highest cost of one configuration of a search, or of a whole study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field, model_validator

from sparsetune.spec import TrialSpec
from sparsetune.spec.declaration import Declaration

COST_AXES = ("schedule.epochs", "schedule.epoch_multiplier", "schedule.stretch")
"""Fields that change a trial's cost: searched without a budget, the longest run would always
win."""


EARLY_HALVING_FRACTION = 0.45
"""Epochs that 16 configurations under `EARLY_HALVING` train, as a fraction of whole training:
measured on recorded landscapes (`python -m tests.benchmarks landscapes`)."""


class Budget(Declaration):
    """Highest cost of a search configuration, trained to its end, or of a whole study.

    At least one unit is given.
    """

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


class CellCost(NamedTuple):
    """Cost of a cell in epochs.

    Args:
        search: Of one configuration on all search seeds, trained to its end; 0 without a search.
        report: Of one report seed: of the winner, its twin and its control.
    """

    search: float
    report: float


class Division(NamedTuple):
    """What a budget is divided into.

    Args:
        configurations_per_cell: As in `Study`.
        report_seeds: As in `Study`.
    """

    configurations_per_cell: int
    report_seeds: int


DIVISIONS = (
    Division(2, 2),
    Division(4, 2),
    Division(4, 3),
    Division(8, 3),
    Division(16, 3),
    Division(16, 5),
    Division(32, 5),
    Division(32, 10),
)
"""Divisions from cheap to dear: three seeds before the fifth configuration, since intervals over
two show little; 16 configurations before the fourth seed, since a poor recipe costs more than a
wide interval; then both in turn."""


def division_cost(division: Division, cells: Sequence[CellCost], early_from: int | None) -> float:
    """Epochs that a study of these counts is expected to train.

    Args:
        division: The counts.
        cells: Cost of each cell.
        early_from: Number of configurations from which `EARLY_HALVING` stops most of them; None for
            a study without it.
    """
    is_early = early_from is not None and division.configurations_per_cell >= early_from
    fraction = EARLY_HALVING_FRACTION if is_early else 1.0
    search = sum(cell.search for cell in cells) * division.configurations_per_cell * fraction
    return search + sum(cell.report for cell in cells) * division.report_seeds


def divide_budget(
    epochs: float, divisions: Sequence[Division], cells: Sequence[CellCost], early_from: int | None
) -> Division:
    """The dearest division that a budget holds, with the report seeds that what is left pays for.

    Args:
        epochs: The budget.
        divisions: From cheap to dear; the first where the budget holds none.
        cells: Cost of each cell.
        early_from: As for `division_cost`.
    """
    held = divisions[0]
    most_seeds = divisions[-1].report_seeds
    for division in divisions:
        if division_cost(division, cells, early_from) <= epochs:
            held = division
    # A dearer division is cheaper where more configurations are stopped early.
    while held.report_seeds < most_seeds:
        longer = Division(held.configurations_per_cell, held.report_seeds + 1)
        if division_cost(longer, cells, early_from) > epochs:
            break
        held = longer
    return held


def allowed_divisions(configurations: int | None, report_seeds: int | None) -> list[Division]:
    """Divisions with the counts that a study declares itself; None where it leaves them open."""
    divisions = []
    for division in DIVISIONS:
        kept = Division(
            configurations or division.configurations_per_cell,
            report_seeds or division.report_seeds,
        )
        if kept not in divisions:
            divisions.append(kept)
    return divisions
