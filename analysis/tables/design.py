"""Objective and axes of a set of runs, as a study declares them or a table implies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sparsetune.spec.task.measured import Measured
from sparsetune.study import Minimize, Study
from sparsetune.study.samplers import Adaptive
from sparsetune.study.space import Axis

EPOCHS_FIELD = "schedule.epochs"
EPOCH_MULTIPLIER_FIELD = "schedule.epoch_multiplier"
LENGTH_FIELDS = (EPOCHS_FIELD, EPOCH_MULTIPLIER_FIELD)
"""Fields that set the length of training."""
TARGET_FIELD = "sparsity.target"


@dataclass(frozen=True)
class Design:
    """Facts about a study that analyses need besides its tables.

    Args:
        name: Name of the study or of the table.
        question: The question that the runs should answer, one sentence.
        objective: Column that chose each cell's winner; None where nothing was chosen and all runs
            count.
        minimize: True if lower values of the objective are better.
        sweep: Dotted fields that were crossed exhaustively.
        search: Dotted fields that were optimised within each cell.
        ranges: Searched range by cell and field; empty where it is unknown.
        equal: Quantity that sparse networks share with their dense twins.
        search_seeds: Number of runs behind each configuration's objective.
        adaptive: True if what was tried in a cell followed from its results so far.
        measured: What the tasks of the cells measure, each once; empty for a table, of which
            nothing is known but the names of its columns.
    """

    name: str
    question: str = ""
    objective: str | None = None
    minimize: bool = True
    sweep: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    ranges: Mapping[tuple[str, str], Axis] = field(default_factory=dict)
    equal: Literal["epochs", "train_flops"] = "epochs"
    search_seeds: int = 1
    adaptive: bool = False
    measured: tuple[Measured, ...] = ()

    @classmethod
    def of(cls, study: Study) -> Design:
        """Build the design of a declared study."""
        ranges: dict[tuple[str, str], Axis] = {}
        measured = [study.base.task.measured()]
        for cell in study.cells():
            measured.append(cell.spec.task.measured())
            for path, axis in cell.search.items():
                ranges[cell.name, path] = axis
        return cls(
            name=study.name,
            question=study.question,
            objective=study.objective.column,
            minimize=isinstance(study.objective, Minimize),
            sweep=declared_axes(study, "sweep"),
            search=declared_axes(study, "search"),
            ranges=ranges,
            equal=study.equal,
            search_seeds=study.search_seeds,
            adaptive=isinstance(study.sampler, Adaptive),
            measured=tuple(dict.fromkeys(measured)),
        )

    def lengths(self) -> list[str]:
        """Sweep axes that set the length of training."""
        return [path for path in LENGTH_FIELDS if path in self.sweep]

    def points(self) -> list[str]:
        """Sweep axes, sparsity first; their values name a cell within its arm."""
        return list(dict.fromkeys([TARGET_FIELD, *self.sweep]))

    def other_axes(self) -> list[str]:
        """Sweep axes besides sparsity and the first of length; a figure shows one value of each."""
        shown = (TARGET_FIELD, *self.lengths()[:1])
        return [path for path in self.sweep if path not in shown]


def declared_axes(study: Study, kind: Literal["sweep", "search"]) -> tuple[str, ...]:
    """Dotted fields of all ``sweep`` or ``search`` axes, the study's before those of its arms."""
    paths = list(getattr(study, kind))
    for arm in study.arms.values():
        paths += getattr(arm, kind)
    return tuple(dict.fromkeys(paths))
