"""Numbers as people write them: text, percent, density and compression ratio become plain numbers and fractions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Unit = Literal["percent", "fraction", "density", "compression_ratio"]
UNITS: tuple[str, ...] = get_args(Unit)
OF_SPARSITY = ("density", "compression_ratio")
"""Units that only a sparsity can have: the weights that are left, and the dense network's over those."""
MISSING = ("", "nan", "none", "null", "na", "n/a", "<na>", "nat", "-")
"""What stands for a missing number in text, in any case."""
NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
INFINITE = r"[+-]?(?:[iI]nf|INF|[iI]nfinity|INFINITY)"
EXACT = 2**53
"""Whole numbers up to here survive as float64."""
DIGITS = 12
"""That a converted fraction keeps: 1 - 0.8 is 0.2, not 0.19999999999999996."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Numbers:
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


def numbers(column: pd.Series[Any]) -> Numbers:
    """Read any column: numbers as they are, text in plain decimal or exponent form; booleans and dates are none."""
    none = np.zeros(len(column), dtype=bool)
    if _is_numeric(column):
        return Numbers(column.to_numpy(dtype=np.float64, na_value=np.nan), none, none, column)
    texts = as_text(column)
    plain = texts.str.strip()
    percent = plain.str.endswith("%").to_numpy(dtype=bool)
    plain = plain.str.removesuffix("%").str.strip()
    finite = plain.str.fullmatch(NUMBER).to_numpy(dtype=bool)
    infinite = plain.str.fullmatch(INFINITE).to_numpy(dtype=bool) & ~percent
    missing = plain.str.lower().isin(MISSING).to_numpy(dtype=bool) & ~percent
    values = np.full(len(column), np.nan)
    values[finite | infinite] = plain[finite | infinite].astype("float64")
    overflow = finite & ~np.isfinite(values)
    values[overflow] = np.nan
    return Numbers(values, percent, ~(finite | infinite | missing) | overflow, texts)


def whole_numbers(column: pd.Series[Any]) -> tuple[pd.Series[Any], Mask]:
    """Read a column of whole numbers, exactly: as Int64, and the rows that hold something else."""
    found = numbers(column)
    values = found.values
    whole = np.isnan(values) | ((np.abs(values) <= EXACT) & (np.nan_to_num(values) % 1 == 0))
    bad = found.bad | found.percent | ~whole
    result = pd.Series(np.where(bad, np.nan, values), column.index, dtype="float64").astype("Int64")
    large = np.abs(np.nan_to_num(values)) >= EXACT  # seeds may need all their digits
    texts = as_text(column[large]).str.strip()
    exact = texts.index[texts.str.fullmatch(r"[+-]?[0-9]{1,18}")]
    if len(exact):
        result[exact] = texts[exact].astype("int64")
        bad = bad & ~column.index.isin(exact)
    return result, bad


def as_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """Every value as text; empty where it is missing."""
    if pd.api.types.is_string_dtype(column.dtype) and not pd.api.types.is_object_dtype(
        column.dtype
    ):
        return column.astype("str").fillna("")
    return pd.Series([_text(value) for value in column.astype("object")], column.index, dtype="str")


def _text(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
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


_CONVERSIONS: dict[str, Callable[[Floats], Floats]] = {
    "percent": lambda values: values / 100,
    "fraction": lambda values: values,
    "density": lambda values: 1 - values,
    "compression_ratio": lambda values: 1 - 1 / values,
}
_LIMITS = {"percent": (0.0, 100.0), "density": (0.0, 1.0), "compression_ratio": (1.0, np.inf)}
_RULES = {
    "percent": "must lie in [0, 100] where `units` says `percent`",
    "fraction": "must lie in [0, 1] where `units` says `fraction`",
    "density": "must lie in (0, 1] where `units` says `density`: the fraction of weights that are left",
    "compression_ratio": "must be at least 1 where `units` says `compression_ratio`: dense weights over those left",
}


def fractions(
    found: Numbers, unit: str | None, of: str, low: float, high: float
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
            f"some values have a percent sign and some have none: {_say_percent(of)} if all are percent",
        )
    unit = unit or ("percent" if found.percent.any() else None)
    if unit is None and len(finite) and 1 < finite.max() <= 100:
        return values, _ambiguous(finite, of, span)
    if unit == "percent" and (rule := _no_percents(found, of)):
        return values, rule + f", with {span}"
    bottom, top = _LIMITS.get(unit or "", (low, high))
    if unit in ("percent", "fraction"):
        bottom, top = (bottom, top) if low >= 0 or unit == "fraction" else (100 * low, 100 * high)
    if len(finite) and (
        finite.min() < bottom or finite.max() > top or (unit == "density" and finite.min() <= 0)
    ):
        return values, (
            _RULES.get(unit or "") or f"must lie in [{low:g}, {high:g}]"
        ) + f", got {span}"
    converted = values.copy()
    converted[given] = _CONVERSIONS[unit or "fraction"](values[given])
    converted = converted if unit in (None, "fraction") else converted.round(DIGITS)
    if of in SPARSITIES and (converted[given] >= 1).any():
        return values, f"a sparsity must lie in [0, 1), got {span}"
    return converted, ""


def _no_percents(found: Numbers, of: str) -> str:
    """Why a column seems not to be in percent, though it is said to be; empty where nothing speaks against it."""
    small, large = _about_one(found)
    if of in SPARSITIES:
        small &= found.values < 1
    elif not of.endswith(MEASURES):
        return ""
    elif large.any():  # a fraction lies among the others if it is written as they are
        low = found.values[large].min()
        high = found.values[large].max()
        small &= (
            (100 * found.values >= 0.9 * low) & (100 * found.values <= 1.1 * high) & _far(found)
        )
    if not small.any():
        return ""
    if large.any():
        return f"percent and fractions seem mixed, fractions in {_rows(small)} (counted from 0): write all in one unit"
    return f"these look like fractions, not percent: give units={{'{of}': 'fraction'}}, or convert them before"


def small_percents(found: Numbers, of: str) -> str:
    """A sentence on rows of a measure at most 1 percent and far below all others; empty where there are none.

    A network at chance on many classes has them; so has a column in which somebody mixed percent and fractions.
    """
    if not of.endswith(MEASURES) or not _far(found):
        return ""
    small, _ = _about_one(found)
    least = found.values[small].min()
    most = found.values[small].max()
    span = f"{least:g}" if least == most else f"{least:g} to {most:g}"
    where = f"{span} % in {_rows(small)} (counted from 0) too"
    return f"`{of}` is read as percent, {where}: if these are fractions, convert them before."


def _far(found: Numbers) -> bool:
    """Whether there are numbers up to 1, and the others are `FAR` times as large."""
    small, large = _about_one(found)
    return bool(
        small.any() and large.any() and found.values[large].min() >= FAR * found.values[small].max()
    )


def _about_one(found: Numbers) -> tuple[Mask, Mask]:
    """Rows without a percent sign whose numbers lie in (0, 1], and those of any that lie above."""
    with np.errstate(invalid="ignore"):
        return (found.values > 0) & (found.values <= 1) & ~found.percent, found.values > 1


def _rows(which: Mask) -> str:
    rows = np.flatnonzero(which)
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return f"row{'s' * (len(rows) > 1)} {', '.join(map(str, rows[:3]))}{more}"


MEASURES = ("_accuracy", "_score")
"""How columns end that are compared with each other; an error may well be below 1 percent."""
FAR = 10
"""Numbers that are smaller than the others by this factor or more are another thing, or in another unit."""
SPARSITIES = ("sparsity", "target", "sparsity.target", "sparsity.ramp.first")
"""Columns that hold a sparsity."""


def _ambiguous(finite: Floats, of: str, span: str) -> str:
    """Why numbers above 1 are not taken for fractions, and what to write."""
    if ((finite > 0) & (finite <= 1)).any():
        return f"percent and fractions may be mixed, with {span}: {_say_percent(of)} if all are"
    ratio = (
        " (or 'compression_ratio' if it is that)" if of in SPARSITIES and finite.min() >= 1 else ""
    )
    return f"a fraction is due, got {span}: if it is percent, {_say_percent(of)}{ratio}"


def _say_percent(of: str) -> str:
    return f"give units={{'{of}': 'percent'}}"
