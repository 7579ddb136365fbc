"""The recipe that a tuner asks for, and rows of its trainings for `analysis.load_table`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sparsetune.spec import TrialSpec

TableRow = dict[str, float | int | str | bool | None]
"""Columns of `sparsetune.spec.columns.TRIAL_COLUMNS`, and dotted fields."""


def configured(base: TrialSpec, values: Mapping[str, Any]) -> TrialSpec:
    """The base with the values that a tuner chose.

    Args:
        base: The declaration that the values vary.
        values: Values by dotted field; numbers of NumPy are taken too.

    Raises:
        DeclarationError: naming every unknown field and every faulty value.
    """
    plain = {path: _to_python(value) for path, value in values.items()}
    return base.with_values(plain).checked()


def _to_python(value: Any) -> Any:
    """A number of NumPy as Python's own, which a digest can name."""
    return value.item() if hasattr(value, "item") else value


def field_columns(spec: TrialSpec) -> TableRow:
    """Every applicable field of a trial by its dotted name; a list of values as JSON."""
    columns: TableRow = {}
    for path, value in spec.columns().items():
        is_nested = isinstance(value, list | dict)
        columns[path] = json.dumps(value) if is_nested else value
    return columns


def distinct_rows(trainings: Iterable[tuple[str, list[TableRow]]]) -> list[TableRow]:
    """Rows of trainings, without those that repeat another one, since equal ones are equal runs.

    Args:
        trainings: Name of each training and its rows; of those with one name, the first that is
            COMPLETE stays, else the first.
    """
    kept: dict[str, list[TableRow]] = {}
    for name, rows in trainings:
        if name not in kept or (_is_complete(rows) and not _is_complete(kept[name])):
            kept[name] = rows
    return [row for rows in kept.values() for row in rows]


def _is_complete(rows: list[TableRow]) -> bool:
    return rows[-1]["status"] == "COMPLETE"
