"""Numbers as people write them: text, percent, density and compression ratio become plain numbers and fractions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Unit = Literal["percent", "fraction", "density", "compression_ratio"]
UNIT_NAMES: tuple[str, ...] = get_args(Unit)
OF_SPARSITY = ("density", "compression_ratio")
"""Units that only a sparsity can have: the weights that are left, and the dense network's over those."""
MISSING_WORDS = ("", "nan", "none", "null", "na", "n/a", "<na>", "nat", "-")
"""What stands for a missing number in text, in any case."""
NUMBER_PATTERN = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
INFINITY_PATTERN = r"[+-]?(?:[iI]nf|INF|[iI]nfinity|INFINITY)"
MAX_EXACT_INTEGER = 2**53
"""Whole numbers up to here survive as float64."""
FRACTION_DECIMALS = 12
"""That a converted fraction keeps: 1 - 0.8 is 0.2, not 0.19999999999999996."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ParsedNumbers:
    """A column read as numbers.

    Args:
        values: One per row; NaN where it is missing or no number.
        percent: Rows written with a percent sign.
        bad: Rows that hold something else than a number.
        texts: What every row holds, as text.
    """

    values: Floats
    percent: Mask
    bad: Mask
    texts: pd.Series[Any]


def parse_numbers(column: pd.Series[Any]) -> ParsedNumbers:
    """Read any column: numbers as they are, text in plain decimal or exponent form; booleans and dates are none."""
    none = np.zeros(len(column), dtype=bool)
    if _is_numeric(column):
        return ParsedNumbers(column.to_numpy(dtype=np.float64, na_value=np.nan), none, none, column)
    texts = to_text(column)
    plain = texts.str.strip()
    percent = plain.str.endswith("%").to_numpy(dtype=bool)
    plain = plain.str.removesuffix("%").str.strip()
    finite = plain.str.fullmatch(NUMBER_PATTERN).to_numpy(dtype=bool)
    infinite = plain.str.fullmatch(INFINITY_PATTERN).to_numpy(dtype=bool) & ~percent
    missing = plain.str.lower().isin(MISSING_WORDS).to_numpy(dtype=bool) & ~percent
    values = np.full(len(column), np.nan)
    values[finite | infinite] = plain[finite | infinite].astype("float64")
    overflow = finite & ~np.isfinite(values)
    values[overflow] = np.nan
    return ParsedNumbers(values, percent, ~(finite | infinite | missing) | overflow, texts)


def parse_whole_numbers(column: pd.Series[Any]) -> tuple[pd.Series[Any], Mask]:
    """Read a column of whole numbers, exactly: as Int64, and the rows that hold something else."""
    found = parse_numbers(column)
    values = found.values
    whole = np.isnan(values) | (
        (np.abs(values) <= MAX_EXACT_INTEGER) & (np.nan_to_num(values) % 1 == 0)
    )
    bad = found.bad | found.percent | ~whole
    result = pd.Series(np.where(bad, np.nan, values), column.index, dtype="float64").astype("Int64")
    large = np.abs(np.nan_to_num(values)) >= MAX_EXACT_INTEGER  # seeds may need all their digits
    texts = to_text(column[large]).str.strip()
    exact = texts.index[texts.str.fullmatch(r"[+-]?[0-9]{1,18}")]
    if len(exact):
        result[exact] = texts[exact].astype("int64")
        bad = bad & ~column.index.isin(exact)
    return result, bad


def to_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """Every value as text; empty where it is missing."""
    if pd.api.types.is_string_dtype(column.dtype) and not pd.api.types.is_object_dtype(
        column.dtype
    ):
        return column.astype("str").fillna("")
    return pd.Series([_text(value) for value in column.astype("object")], column.index, dtype="str")


def _text(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_EXACT_INTEGER:
        return str(int(value))  # ids that a missing one made floats
    try:
        return str(value)
    except Exception:  # whole numbers above 4300 digits, objects of any kind
        return f"a {type(value).__name__}"


def _is_numeric(column: pd.Series[Any]) -> bool:
    kinds = pd.api.types
    return (
        kinds.is_numeric_dtype(column.dtype)
        and not kinds.is_bool_dtype(column.dtype)
        and not kinds.is_complex_dtype(column.dtype)
    )


_FRACTION_CONVERSIONS: dict[str, Callable[[Floats], Floats]] = {
    "percent": lambda values: values / 100,
    "fraction": lambda values: values,
    "density": lambda values: 1 - values,
    "compression_ratio": lambda values: 1 - 1 / values,
}
_UNIT_LIMITS = {"percent": (0.0, 100.0), "density": (0.0, 1.0), "compression_ratio": (1.0, np.inf)}
_UNIT_RULES = {
    "percent": "must lie in [0, 100] where `units` says `percent`",
    "fraction": "must lie in [0, 1] where `units` says `fraction`",
    "density": "must lie in (0, 1] where `units` says `density`: the fraction of weights that are left",
    "compression_ratio": "must be at least 1 where `units` says `compression_ratio`: dense weights over those left",
}


def to_fractions(
    found: ParsedNumbers, unit: str | None, of: str, low: float, high: float
) -> tuple[Floats, str]:
    """A column's values as fractions, and what is wrong with them, empty where nothing is.

    Args:
        found: The column.
        unit: What its author says it is in; None where nothing is said: then fractions, unless all have a percent sign.
        of: Its name in `columns` and `units`.
        low: The least fraction that makes sense.
        high: The greatest; a sparsity must lie below 1.

    Returns:
        Values of the column's length, NaN where missing; a rule that is broken, with what came.
    """
    values = found.values
    given = ~np.isnan(values)
    if not given.any():
        return values, ""
    finite = values[np.isfinite(values)]
    span = f"values from {finite.min():g} to {finite.max():g}" if len(finite) else "no finite value"
    if found.percent.any() and unit not in (None, "percent"):
        return values, f"some values have a percent sign, but `units` says `{unit}`"
    if found.percent.any() and unit is None and not found.percent[given].all():
        return (
            values,
            f"some values have a percent sign and some have none: {_percent_advice(of)} if all are percent",
        )
    unit = unit or ("percent" if found.percent.any() else None)
    if unit is None and len(finite) and 1 < finite.max() <= 100:
        return values, _ambiguity_message(finite, of, span)
    if unit == "percent" and (rule := _not_percent_reason(found, of)):
        return values, rule + f", with {span}"
    bottom, top = _UNIT_LIMITS.get(unit or "", (low, high))
    if unit in ("percent", "fraction"):
        bottom, top = (bottom, top) if low >= 0 or unit == "fraction" else (100 * low, 100 * high)
    if len(finite) and (
        finite.min() < bottom or finite.max() > top or (unit == "density" and finite.min() <= 0)
    ):
        return values, (
            _UNIT_RULES.get(unit or "") or f"must lie in [{low:g}, {high:g}]"
        ) + f", got {span}"
    converted = values.copy()
    converted[given] = _FRACTION_CONVERSIONS[unit or "fraction"](values[given])
    converted = converted if unit in (None, "fraction") else converted.round(FRACTION_DECIMALS)
    if of in SPARSITY_COLUMNS and (converted[given] >= 1).any():
        return values, f"a sparsity must lie in [0, 1), got {span}"
    return converted, ""


def _not_percent_reason(found: ParsedNumbers, of: str) -> str:
    """Why a column seems not to be in percent, though it is said to be; empty where nothing speaks against it."""
    small, large = _unit_interval_rows(found)
    if of in SPARSITY_COLUMNS:
        small &= found.values < 1
    elif not of.endswith(MEASURE_SUFFIXES):
        return ""
    elif large.any():  # a fraction lies among the others if it is written as they are
        low = found.values[large].min()
        high = found.values[large].max()
        small &= (
            (100 * found.values >= 0.9 * low)
            & (100 * found.values <= 1.1 * high)
            & _has_outlying_values(found)
        )
    if not small.any():
        return ""
    if large.any():
        return f"percent and fractions seem mixed, fractions in {_rows(small)} (counted from 0): write all in one unit"
    return f"these look like fractions, not percent: give units={{'{of}': 'fraction'}}, or convert them before"


def small_percents_note(found: ParsedNumbers, of: str) -> str:
    """A sentence on rows of a measure at most 1 percent and far below all others; empty where there are none.

    A network at chance on many classes has them; so has a column in which somebody mixed percent and fractions.
    """
    if not of.endswith(MEASURE_SUFFIXES) or not _has_outlying_values(found):
        return ""
    small, _ = _unit_interval_rows(found)
    least = found.values[small].min()
    most = found.values[small].max()
    span = f"{least:g}" if least == most else f"{least:g} to {most:g}"
    where = f"{span} % in {_rows(small)} (counted from 0) too"
    return f"`{of}` is read as percent, {where}: if these are fractions, convert them before."


def _has_outlying_values(found: ParsedNumbers) -> bool:
    """Whether there are numbers up to 1, and the others are `OUTLYING_RATIO` times as large."""
    small, large = _unit_interval_rows(found)
    return bool(
        small.any()
        and large.any()
        and found.values[large].min() >= OUTLYING_RATIO * found.values[small].max()
    )


def _unit_interval_rows(found: ParsedNumbers) -> tuple[Mask, Mask]:
    """Rows without a percent sign whose numbers lie in (0, 1], and those of any that lie above."""
    with np.errstate(invalid="ignore"):
        return (found.values > 0) & (found.values <= 1) & ~found.percent, found.values > 1


def _rows(which: Mask) -> str:
    rows = np.flatnonzero(which)
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return f"row{'s' * (len(rows) > 1)} {', '.join(map(str, rows[:3]))}{more}"


MEASURE_SUFFIXES = ("_accuracy", "_score")
"""How columns end that are compared with each other; an error may well be below 1 percent."""
OUTLYING_RATIO = 10
"""Numbers that are smaller than the others by this factor or more are another thing, or in another unit."""
SPARSITY_COLUMNS = ("sparsity", "target", "sparsity.target", "sparsity.ramp.first")
"""Columns that hold a sparsity."""


def _ambiguity_message(finite: Floats, of: str, span: str) -> str:
    """Why numbers above 1 are not taken for fractions, and what to write."""
    if ((finite > 0) & (finite <= 1)).any():
        return f"percent and fractions may be mixed, with {span}: {_percent_advice(of)} if all are"
    ratio = (
        " (or 'compression_ratio' if it is that)"
        if of in SPARSITY_COLUMNS and finite.min() >= 1
        else ""
    )
    return f"a fraction is due, got {span}: if it is percent, {_percent_advice(of)}{ratio}"


def _percent_advice(of: str) -> str:
    return f"give units={{'{of}': 'percent'}}"
