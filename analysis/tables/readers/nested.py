"""Nested records as rows of a table: a column for each leaf."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

MAX_CELLS = 10_000
"""Values of one record."""


def flatten(record: Mapping[str, Any], separator: str, prefix: str = "") -> dict[str, Any]:
    """Leaves of a nested record by their joined names; a list becomes its JSON text.

    Args:
        record: The record.
        separator: What stands between the names of a path.
        prefix: What stands before every name.

    Raises:
        ValueError: if there are more than `MAX_CELLS`.
    """
    flat: dict[str, Any] = {}
    for name, value in _leaves(record, separator, prefix):
        flat[name] = value
        if len(flat) > MAX_CELLS:
            raise ValueError(f"a record must have at most {MAX_CELLS:,} values, got more")
    return flat


def _leaves(record: Mapping[str, Any], separator: str, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, separator, f"{name}{separator}")
        elif isinstance(value, list | tuple):
            yield name, json.dumps(value, default=str)
        else:
            yield name, value


def rows_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row per record, a column per name in order of first appearance.

    Whole numbers, numbers and texts keep their kinds; a column of several holds objects.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, pd.Series[Any]] = {}
    for name in names:
        values = pd.Series([row.get(name) for row in rows], dtype="object")
        columns[name] = values.infer_objects()
    return pd.DataFrame(columns, index=pd.RangeIndex(len(rows)))


def merge_rows(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each combination of keys, in order of first appearance.

    Of several values of a column the last counts.
    """
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        merged.setdefault(tuple(row.get(key) for key in keys), {}).update(row)
    return list(merged.values())
