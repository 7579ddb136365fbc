"""Cells as questions see them: arm, sparsity, length of training and other swept values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sparsetune.spec import ScheduleSpec
from sparsetune.study.cells import MULTIPLIER_FIELD, Cell, expand_cells
from sparsetune.study.fields import StudyFields
from sparsetune.study.space import Choice, Value

LENGTH_FIELDS = ("schedule.epochs", MULTIPLIER_FIELD)
TARGET_FIELD = "sparsity.target"


@dataclass(frozen=True)
class CellPoint:
    """One cell as a question sees it.

    Args:
        cell: Its name.
        arm: Name of its arm.
        sparsity: Sparsity that is asked for; 0 is dense.
        epochs: Length of training in epochs of the dense twin, the multiplier included;
            0 where a table does not say it.
        others: Values of further sweep axes, by dotted field.
        searched: Dotted fields that its search chooses from a range.
        has_control: Whether the dense recipe is run in it.
    """

    cell: str
    arm: str
    sparsity: float
    epochs: float
    others: tuple[tuple[str, Value], ...] = ()
    searched: tuple[str, ...] = ()
    has_control: bool = False


def study_points(study: StudyFields, cells: Iterable[Cell] | None = None) -> list[CellPoint]:
    """Cells of a study in their order.

    Args:
        study: The declaration.
        cells: Its cells; None to expand them here.
    """
    if cells is None:
        cells = expand_cells(study)[0]
    points = []
    for cell in cells:
        schedule = cell.spec.schedule
        epochs = schedule.epochs * schedule.epoch_multiplier
        # Where FLOPs are equal, the stretch only makes up for the FLOPs that sparsity saves.
        if study.equal == "epochs":
            epochs *= schedule.stretch
        shown = (TARGET_FIELD, *LENGTH_FIELDS)
        others = [(path, value) for path, value in cell.point.items() if path not in shown]
        ranges = [path for path, axis in cell.search.items() if not isinstance(axis, Choice)]
        points.append(
            CellPoint(
                cell=cell.name,
                arm=cell.arm,
                sparsity=cell.spec.sparsity.target,
                epochs=epochs,
                others=tuple(others),
                searched=tuple(ranges),
                has_control=cell.control_from is not None and not cell.is_dense,
            )
        )
    return points


def base_epochs(study: StudyFields) -> float:
    """Length of the study's base in epochs; NaN where the base has none that can be read."""
    schedule = study.base.schedule
    if not isinstance(schedule, ScheduleSpec):
        return math.nan
    try:
        return float(schedule.epochs * schedule.epoch_multiplier)
    except TypeError:
        return math.nan


def sparse_arms(points: Iterable[CellPoint]) -> list[str]:
    """Arms with a sparse cell, in order of declaration."""
    return list(dict.fromkeys(point.arm for point in points if point.sparsity > 0))


def dense_arm_of(arm: str, dense: Sequence[str]) -> str | None:
    """Dense arm that belongs to ``arm``: ``dense-ARM``, else ``dense``, else the only one.

    Returns:
        None where ``dense`` holds none of these.
    """
    for name in (f"dense-{arm}", "dense"):
        if name in dense:
            return name
    return dense[0] if len(dense) == 1 else None


def base_length(points: Sequence[CellPoint], preferred: float | None) -> float:
    """Length that longer training is compared with: the preferred one, or the shortest.

    Args:
        points: Cells of one arm, sparsity and combination of other values; at least one.
        preferred: Length of the study's base in epochs; None where there is no base.
    """
    lengths = sorted({point.epochs for point in points})
    for length in lengths[:-1]:
        if preferred is not None and is_close(length, preferred):
            return length
    return lengths[0]


def is_close(one: float, other: float) -> bool:
    """True for numbers that are equal to nine significant digits."""
    return abs(one - other) <= 1e-9 * max(abs(one), abs(other))
