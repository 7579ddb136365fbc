"""Texts of a task, whether GLUE's or of a data set ``hf:…``."""

from __future__ import annotations

from pathlib import Path

from sparsetune.spec.task import TextTask
from sparsetune.tasks.text.glue import (
    GLUE_TASKS,
    Sentences,
    check_train_size,
    glue_digest,
    output_count,
    read_glue,
)
from sparsetune.tasks.text.hub import HubTexts, require_same_size

GLUE_CLASS_NAMES = {
    "cola": ("unacceptable", "acceptable"),
    "sst2": ("negative", "positive"),
    "mrpc": ("not_equivalent", "equivalent"),
    "qqp": ("not_duplicate", "duplicate"),
    "stsb": ("score",),
    "wnli": ("not_entailment", "entailment"),
}
"""Names of GLUE's classes by number, from the hub, for tasks whose files have numbers only."""


def count_outputs(task: TextTask) -> int:
    """Number of outputs of the head: the classes, or 1 where a score is predicted."""
    return task.sizes().n_outputs if task.is_hub else output_count(task)


def class_names(task: TextTask) -> tuple[str, ...]:
    """Names of the classes by number; the name of the score where one is predicted."""
    if task.is_hub:
        return task.sizes().class_names
    return GLUE_CLASS_NAMES.get(task.dataset) or GLUE_TASKS[task.dataset].classes


def read_texts(task: TextTask, data_root: Path | None) -> dict[str, Sentences]:
    """Texts of ``train`` and ``test``.

    Raises:
        DataError: in one line, the first fault found.
    """
    if task.is_hub:
        return HubTexts.of(task).read(data_root)
    return read_glue(task, data_root)


def texts_digest(task: TextTask, data_root: Path | None) -> str:
    """Twelve hexadecimal digits that name everything that is read.

    Raises:
        DataError: if there are no texts.
    """
    if task.is_hub:
        return HubTexts.of(task).digest(data_root)
    return glue_digest(task, data_root)


def require_train_size(task: TextTask, rows: int) -> None:
    """Refuse a training set whose size does not fit the declaration.

    Raises:
        DataError: saying what must be there.
    """
    if task.is_hub:
        require_same_size(task, rows)
    else:
        check_train_size(task, rows)
