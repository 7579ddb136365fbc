"""The work that is left of a study, as its forecast needs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sparsetune.spec import TrialSpec


@dataclass(frozen=True)
class RemainingCell:
    """The trials of one cell that have not finished.

    Args:
        spec: The cell's base recipe.
        epochs: Epochs that each trial still trains, by its id or by a placeholder.
    """

    spec: TrialSpec
    epochs: Mapping[str, float]


@dataclass(frozen=True)
class RemainingWork:
    """The trials of a study that have not finished.

    Args:
        cells: The study's cells; a cell with nothing left has no epochs.
        finished: Number of trials that have finished.
    """

    cells: Sequence[RemainingCell]
    finished: int = 0

    @property
    def is_left(self) -> bool:
        """True if any trial has not finished."""
        return any(cell.epochs for cell in self.cells)
