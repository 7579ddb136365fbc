"""Class numbers of a data set's labels: class labels, integers, truth values or strings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparsetune.errors import DataError
from sparsetune.tasks.hf.reading import HubSource


@dataclass(frozen=True)
class Classes:
    """Labels as class numbers.

    Args:
        numbers: Class numbers of each split, (n,).
        names: Names of the classes by number.
    """

    numbers: dict[str, NDArray[np.int64]]
    names: tuple[str, ...]


def read_classes(source: HubSource, sets: Mapping[str, Any], column: str) -> Classes:
    """Classes of ``train`` and ``test``.

    Class labels keep their numbers; other labels are sorted, those of the training split alone.

    Raises:
        DataError: naming the split and row of a label that is missing or no class.
    """
    labels = {name: list(rows[column]) for name, rows in sets.items()}
    names = getattr(sets["train"].features[column], "names", None)
    if names is None:
        known: Sequence[Any] = _sorted_labels(source, column, labels["train"])
        shown = tuple(str(label) for label in known)
    else:
        known = range(len(names))
        shown = tuple(names)
    number_by_label = {label: number for number, label in enumerate(known)}
    numbers: dict[str, NDArray[np.int64]] = {}
    for split, values in labels.items():
        for row, label in enumerate(values):
            if label not in number_by_label:
                raise DataError(_stray_label(source, column, split, row, label, shown))
        numbers[split] = np.array([number_by_label[label] for label in values], dtype=np.int64)
    if len(np.unique(numbers["train"])) < 2:
        rule = f"`{source.dataset}` must have training examples of at least two classes"
        raise DataError(f"{rule} in `{column}`, got one")
    return Classes(numbers, shown)


def _sorted_labels(source: HubSource, column: str, labels: Sequence[Any]) -> list[Any]:
    """Different labels in order.

    Raises:
        DataError: if they are no integers, truth values or strings, or one is missing.
    """
    for row, label in enumerate(labels):
        if not isinstance(label, int | str):
            got = "none" if label is None else repr(label)
            rule = "a label must be a class label, an integer or a string"
            raise DataError(
                f"`{source.dataset}`, `train`, row {row}, `{column}`: {rule}, got {got}"
            )
    # Of one type, since a column of Arrow has one.
    return sorted(set(labels))


def _stray_label(
    source: HubSource, column: str, split: str, row: int, label: Any, names: Sequence[str]
) -> str:
    listed = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
    place = f"`{source.dataset}`, `{split}`, row {row}, `{column}`"
    advice = ""
    if split == "test":
        advice = "; where the test split has no labels, set `task.test_split` to another"
    return f"{place}: a label must be one of the classes {listed}, got {label!r}{advice}"
