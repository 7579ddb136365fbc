"""Rules of the objective: its column, its direction, and whether every cell measures it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sparsetune.errors import Problem
from sparsetune.spec.columns import BETTER, OBJECTIVE_COLUMNS, Better, metric_columns
from sparsetune.spec.task import DatasetTask
from sparsetune.study.cells import Cell, is_searched
from sparsetune.study.fields import StudyFields

KIND_BY_DIRECTION: dict[Better, str] = {"higher": "Maximize", "lower": "Minimize"}


def objective_problems(study: StudyFields, cells: Iterable[Cell]) -> Iterator[Problem]:
    """Problems of the objective: an unknown column, the worse direction, a column of no cell."""
    column = study.objective.column
    task = study.base.task
    # A task that cannot be read has a problem of its own.
    names = task.metric_names() if isinstance(task, DatasetTask) else ()
    columns = (*OBJECTIVE_COLUMNS, *(own.name for own in metric_columns("val", names)))
    if column not in columns:
        yield Problem("objective.column", f"must be one of {', '.join(columns)}", repr(column))
        return
    yield from direction_problems(study, column_direction(study, column))
    for cell in cells:
        if is_searched(study, cell) and (reason := _unmeasured_reason(column, cell)):
            what = f"must be measured where configurations are compared, as in cell `{cell.name}`"
            rule = f"{what}: {reason}"
            yield Problem("objective.column", rule, repr(column), "first_launch")
            return


def direction_problems(study: StudyFields, better: Better | None) -> Iterator[Problem]:
    """Problem of an objective that asks for the worse direction of its column."""
    kind = type(study.objective).__name__
    if better is None or kind == KIND_BY_DIRECTION[better]:
        return
    column = study.objective.column
    rule = f"`{column}` is better when {better}: write {KIND_BY_DIRECTION[better]}({column!r})"
    yield Problem("objective", rule, f"{kind}({column!r})", "first_launch")


def column_direction(study: StudyFields, column: str) -> Better | None:
    """Direction in which a column is better; None where neither is, or only its metric knows."""
    task = study.base.task
    if column in BETTER or not isinstance(task, DatasetTask):
        return BETTER.get(column)
    for metric in task.measured().metrics:
        if f"val_{metric.column}" == column and metric.higher_is_better is not None:
            return "higher" if metric.higher_is_better else "lower"
    return None


def _unmeasured_reason(column: str, cell: Cell) -> str | None:
    """Why no trial of a cell has a column; None where it has."""
    task = cell.spec.task
    split, _, quantity = column.partition("_")
    if split == "val" and not task.has_validation():
        return (
            f"`{column}` needs `task.validation` > 0, as in `validation=0.1`, got"
            f' {task.validation:g}; Minimize("train_loss") needs none'
        )
    if reason := task.unmeasured().get(quantity):
        return f"{reason}, so that `{column}` is NaN"
    if column not in BETTER and quantity not in task.metric_names():
        return f"its task has no metric `{quantity}`"
    return None
