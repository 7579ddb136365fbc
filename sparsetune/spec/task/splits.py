"""Sizes of a task's splits and batches, as far as its classes do not matter."""

from __future__ import annotations

from sparsetune.errors import Problem
from sparsetune.spec.task.base import DatasetTask


def size_problems(task: DatasetTask) -> list[Problem]:
    """First problem with the sizes of a task's splits and batches; an empty list if they fit.

    Sizes that are not resolved yet have no problem.
    """
    if not task.is_resolved:
        return []
    pool = task.pool()
    left = pool - task.held_out()
    if left < 1:
        rule = f"must hold out fewer examples than the {pool} that there are"
        return [Problem("task.validation", rule, f"{task.held_out()} examples")]
    subset = getattr(task, "train_examples", None) or 0
    if subset > left:
        rule = f"must be at most {left}, what validation leaves"
        return [Problem("task.train_examples", rule, str(subset))]
    if task.batch_size > task.train_size():
        rule = f"must be at most the training set's {task.train_size()} examples"
        return [Problem("task.batch_size", rule, str(task.batch_size))]
    return []
