"""Columns of each trial's configuration; declarations that differ only in numbers are read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from sparsetune.spec import TrialSpec, flatten_values

SWITCH_FIELDS = ("sparsity.target", "distill.hardness")
"""Numbers whose value 0 means that other fields do not apply."""


def configurations(specs: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Table of configurations, one row per declaration.

    Reading a declaration takes milliseconds. Where several differ only in numbers that become
    columns unchanged, the first is read and the numbers of the others replace its values.

    Args:
        specs: Declarations as `TrialSpec.given` returns them.

    Returns:
        A column for every applicable field by its dotted name, defaults included, without the seed.
    """
    read: list[dict[str, Any]] = []
    free: dict[Any, tuple[str, ...]] = {}  # fields that may differ, by what must be equal
    places: dict[Any, int] = {}
    codes = []
    numbers = []
    for spec in specs:
        alike, own = _split_numbers(spec)
        if alike not in free:
            free[alike] = _verbatim_fields(own, _columns(spec))
        laid = {path: own[path] for path in free[alike]}
        key = alike, *(value for path, value in own.items() if path not in laid)
        if key not in places:
            places[key] = len(read)
            read.append(_columns(spec))
        codes.append(places[key])
        numbers.append(laid)
    return _overlay_numbers(read, codes, numbers)


def narrow_dtype(column: pd.Series[Any]) -> pd.Series[Any]:
    """Column with the narrowest dtype that holds its values; values of mixed types become text."""
    if column.dtype in ("float64", "int64"):
        return column.astype("float64" if column.dtype == "float64" else "Int64")
    kinds = {type(value) for value in column.dropna()}
    if kinds == {bool}:
        return column.astype("boolean")
    if kinds == {int}:
        return column.astype("Int64")
    if kinds <= {int, float}:
        return column.astype("float64")
    return column.map(str, na_action="ignore").astype("string")


def _columns(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in TrialSpec.model_validate(spec).columns().items()
        if name != "seed"
    }


def _split_numbers(spec: Mapping[str, Any]) -> tuple[Any, dict[str, float]]:
    """Fields that must be equal to share a reading, and numbers that may differ."""
    alike: list[tuple[str, Any]] = []
    numbers: dict[str, float] = {}
    for path, value in flatten_values(spec).items():
        if path == "seed":
            continue
        is_number = (
            type(value) in (int, float)
            and path not in SWITCH_FIELDS
            and not path.startswith("distill.teacher.")
        )
        alike.append((path, type(value) if is_number else repr(value)))
        if is_number:
            numbers[path] = value
    return tuple(alike), numbers


def _verbatim_fields(numbers: Mapping[str, float], columns: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields whose column holds the declared number itself, in its type."""
    same = (path for path, value in numbers.items() if path in columns and columns[path] == value)
    return tuple(path for path in same if type(columns[path]) is type(numbers[path]))


def _overlay_numbers(
    read: Sequence[Mapping[str, Any]], codes: Sequence[int], numbers: Sequence[Mapping[str, float]]
) -> pd.DataFrame:
    """Table whose row i is ``read[codes[i]]`` with the values of ``numbers[i]``."""
    frame = pd.DataFrame(read)
    columns = {}
    differing = {path for laid in numbers for path in laid}
    for path in map(str, frame):
        if path in differing:
            first = frame[path].tolist()
            values = [
                laid.get(path, first[code]) for laid, code in zip(numbers, codes, strict=True)
            ]
            columns[path] = narrow_dtype(pd.Series(values))
        else:
            columns[path] = narrow_dtype(frame[path]).take(codes).reset_index(drop=True)
    return pd.DataFrame(columns)
