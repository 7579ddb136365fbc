"""Lengths of training as text, in epochs, steps or samples, as fractions of the whole training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from sparsetune.durations import ABSOLUTE_UNITS, Length
from sparsetune.errors import Problem

from ...design import EPOCH_MULTIPLIER_FIELD, EPOCHS_FIELD
from .known import column_kind
from .numbers import Floats, broken_rule, to_text
from .units import FRACTION_DECIMALS

MAX_LENGTH = 1 + 1e-9
"""Longest part of a training, with a margin for rounding."""
LENGTHS = "lengths such as `0.1`, `5 epochs` or `100 steps`"
ABSOLUTE_ENDING = ".every"
"""Ending of fields that are a period of steps, for which no fraction is usual."""


def has_length_units(column: pd.Series[Any]) -> bool:
    """True if a value is a length with its unit, such as ``2 epochs``."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return False
    return any(_length_or_none(text) is not None for text in to_text(column).str.strip().unique())


def _length_or_none(text: str) -> Length | None:
    """Length that a text with a unit means; None for any other text."""
    try:
        length = Length.parse(text)
    except (ValueError, OverflowError):
        return None
    return length


def totals_problems(totals: Mapping[str, float]) -> Iterator[Problem]:
    """Problems of the caller's lengths of the whole training."""
    for unit, value in totals.items():
        if unit not in ABSOLUTE_UNITS:
            yield Problem("totals", f"takes {', '.join(ABSOLUTE_UNITS)}", f"`{unit}`")
        elif isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            yield Problem("totals", f"the whole training must have a positive number of {unit}")


def resolve_lengths(
    rows: pd.DataFrame, totals: Mapping[str, float]
) -> tuple[pd.DataFrame, list[Problem]]:
    """Rows whose lengths are fractions of training, however they were written.

    A column whose lengths are all one text stays as it is where the whole training is not known.

    Args:
        rows: Columns under our names; lengths with units are text.
        totals: Length of one whole training by unit.

    Returns:
        The rows; problems of lengths that cannot be compared, or exceed the training.
    """
    problems: list[Problem] = []
    for path in map(str, rows.columns):
        known = column_kind(path)
        if known is None or known.kind != "length" or rows[path].dtype == np.float64:
            continue
        values, rule = _fractions(rows, path, totals)
        rows = rows.assign(**{path: values})
        if rule:
            problems.append(Problem(path, rule))
    return rows, problems


def _fractions(
    rows: pd.DataFrame, path: str, totals: Mapping[str, float]
) -> tuple[pd.Series[Any], str]:
    """One column of lengths as fractions, and the rule that it breaks."""
    column = rows[path]
    # Lengths are parsed once each: a column of thousands of rows has a few.
    texts = {text: _parse(text) for text in column.unique()}
    bad = column.map(lambda text: texts[text] is None and text != "").to_numpy(dtype=bool)
    rules = broken_rule(bad, column, f"must hold {LENGTHS}")
    if rules:
        return column, rules[0]
    lengths = column.map(texts)
    units = lengths.map(lambda length: length.unit, na_action="ignore")
    values = lengths.map(lambda length: length.value, na_action="ignore").astype("float64")
    fractions = values.where(units == "fraction").to_numpy(dtype=np.float64).copy()
    for unit in ABSOLUTE_UNITS:
        is_own = (units == unit).to_numpy(dtype=bool)
        fractions[is_own] = (values / _totals(rows, unit, totals))[is_own]
    is_open = units.notna().to_numpy(dtype=bool) & np.isnan(fractions)
    if is_open.any():
        return _open_lengths(column, lengths, values, units, path)
    too_long = broken_rule(fractions > MAX_LENGTH, column, "must not exceed the whole training")
    rule = too_long[0] if too_long else ""
    return pd.Series(fractions.round(FRACTION_DECIMALS), column.index), rule


def _parse(text: str) -> Length | None:
    try:
        return _length_or_none(str(float(text))) or Length.parse(float(text))
    except ValueError:
        return _length_or_none(text)


def _totals(rows: pd.DataFrame, unit: str, totals: Mapping[str, float]) -> Floats:
    """Length of each row's whole training in a unit; NaN where it is not known."""
    unknown = pd.Series(np.nan, rows.index)
    epochs = rows.get(EPOCHS_FIELD, unknown).astype("float64")
    epochs = epochs * rows.get(EPOCH_MULTIPLIER_FIELD, unknown).astype("float64").fillna(1.0)
    if unit == "epochs":
        known = epochs.fillna(totals.get("epochs", np.nan))
        return np.asarray(known, dtype=np.float64)
    total = totals.get(unit, np.nan)
    if "epochs" in totals:
        times = (epochs / totals["epochs"]).fillna(1.0)
        return np.asarray(total * times, dtype=np.float64)
    # Without its epochs, one total cannot be that of trainings of several lengths.
    is_one_length = epochs.nunique() <= 1
    return np.repeat(np.float64(total if is_one_length else np.nan), len(rows))


def _open_lengths(
    column: pd.Series[Any],
    lengths: pd.Series[Any],
    values: pd.Series[Any],
    units: pd.Series[Any],
    path: str,
) -> tuple[pd.Series[Any], str]:
    """Lengths of which not all can be fractions: text if they are all one, else refused."""
    declared = lengths.map(lambda length: str(length.declared()), na_action="ignore")
    if declared.nunique() <= 1:
        return declared.astype("string"), ""
    if path.endswith(ABSOLUTE_ENDING) and units.nunique() == 1:
        return values, ""
    missing = sorted(set(units.dropna()) - {"fraction"})
    example = ", ".join(f"'{unit}': …" for unit in dict.fromkeys(["epochs", *missing]))
    rule = (
        f"lengths in {' and '.join(missing)} are compared as parts of the training: give its"
        f" length, `{EPOCHS_FIELD}` or totals={{{example}}}"
    )
    return declared.astype("string"), rule
