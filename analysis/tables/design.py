"""What a set of runs was meant to show: its objective and axes, as a study declares them or a table implies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sparsetune.study import Minimize, Study
from sparsetune.study.space import Axis

LENGTH_FIELDS = ("schedule.epochs", "schedule.epoch_multiplier")
"""Axes that change how long is trained."""
TARGET_FIELD = "sparsity.target"


@dataclass(frozen=True)
class Design:
    """What the analyses need to know of a study besides its tables.

    Args:
        name: Of the study, or of the table.
        question: In a sentence.
        objective: The column that chose each cell's winner; None where nothing was chosen and all rows count.
        minimize: Whether lower is better in it.
        sweep: Dotted fields crossed exhaustively.
        search: Dotted fields optimised within each cell.
        ranges: What was searched, for each cell and field; empty where it is not known.
        equal: What sparse networks share with their dense twins.
        search_seeds: Runs that stand behind each configuration's objective.
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

    @classmethod
    def of(cls, study: Study) -> Design:
        """That of a declared study."""
        ranges = {
            (cell.name, path): axis for cell in study.cells() for path, axis in cell.search.items()
        }
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
        )

    def lengths(self) -> list[str]:
        """The sweep axes that change how long is trained."""
        return [path for path in LENGTH_FIELDS if path in self.sweep]

    def points(self) -> list[str]:
        """The sweep axes, sparsity first: what names a cell within its arm."""
        return list(dict.fromkeys([TARGET_FIELD, *self.sweep]))

    def other_axes(self) -> list[str]:
        """The sweep axes that are neither sparsity nor the first of length: a figure shows one value of each."""
        return [path for path in self.sweep if path not in (TARGET_FIELD, *self.lengths()[:1])]


def declared_axes(study: Study, kind: Literal["sweep", "search"]) -> tuple[str, ...]:
    """The dotted fields of every ``sweep`` or ``search`` axis of the study, those of its arms after its own."""
    declared = [getattr(study, kind), *(getattr(arm, kind) for arm in study.arms.values())]
    return tuple(dict.fromkeys(path for part in declared for path in part))
