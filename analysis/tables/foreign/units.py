"""Numbers as people write them: text, percent, density and compression ratio to plain fractions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...catalogue import paragraph, write

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Unit = Literal["percent", "fraction", "density", "compression_ratio"]

UNIT_NAMES: tuple[str, ...] = get_args(Unit)
OF_SPARSITY = ("density", "compression_ratio")
"""Units that only a sparsity can have: the weights left, and the dense weights over those left."""
SPARSITY_COLUMNS = ("sparsity", "target", "sparsity.target", "sparsity.ramp.first")
"""Columns that hold a sparsity."""
MEASURE_SUFFIXES = ("_accuracy", "_score")
"""Endings of columns whose values are compared with each other; an error may be below 1 percent."""
MISSING_WORDS = ("", "nan", "none", "null", "na", "n/a", "<na>", "nat", "-")
"""Texts that mean a missing number, in any case."""
NUMBER_PATTERN = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
INFINITY_PATTERN = r"[+-]?(?:[iI]nf|INF|[iI]nfinity|INFINITY)"
MAX_EXACT_INTEGER = 2**53
"""Largest whole number up to which float64 holds all of them exactly."""
FRACTION_DECIMALS = 12
"""Decimals that a converted fraction keeps: 1 - 0.8 is 0.2, not 0.19999999999999996."""
OUTLYING_RATIO = 10
"""Factor from which on smaller numbers are taken to be another thing, or in another unit."""
MAX_LISTED_ROWS = 3
"""Rows that a message names; for more it gives their number."""


@dataclass(frozen=True)
class ParsedNumbers:
    """Numbers read from a column.

    Args:
        values: One per row; NaN where the value is missing or no number.
        percent: Rows written with a percent sign.
        bad: Rows that hold something other than a number.
        texts: Content of every row as text.
    """

    values: Floats
    percent: Mask
    bad: Mask
    texts: pd.Series[Any]


def parse_numbers(column: pd.Series[Any]) -> ParsedNumbers:
    """Read numbers from any column.

    Args:
        column: Numbers, or text in plain decimal or exponent form. Booleans and dates are no
            numbers.
    """
    nowhere = np.zeros(len(column), dtype=bool)
    if _is_numeric(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return ParsedNumbers(values, nowhere, nowhere, column)
    texts = to_text(column)
    plain = texts.str.strip()
    # The sign is only marked here; the column's unit decides what the numbers mean.
    percent = plain.str.endswith("%").to_numpy(dtype=bool)
    plain = plain.str.removesuffix("%").str.strip()
    finite = plain.str.fullmatch(NUMBER_PATTERN).to_numpy(dtype=bool)
    infinite = plain.str.fullmatch(INFINITY_PATTERN).to_numpy(dtype=bool) & ~percent
    missing = plain.str.lower().isin(MISSING_WORDS).to_numpy(dtype=bool) & ~percent
    readable = finite | infinite
    values = np.full(len(column), np.nan)
    values[readable] = plain[readable].astype("float64")
    # `1e999` is written as a finite number and read as an infinite one.
    overflow = finite & ~np.isfinite(values)
    values[overflow] = np.nan
    bad = ~(readable | missing) | overflow
    return ParsedNumbers(values, percent, bad, texts)


def parse_whole_numbers(column: pd.Series[Any]) -> tuple[pd.Series[Any], Mask]:
    """Read whole numbers from any column, exactly.

    Returns:
        Int64 values, NA where missing or no whole number; rows that hold something else.
    """
    found = parse_numbers(column)
    values = found.values
    is_whole = np.nan_to_num(values) % 1 == 0
    is_exact = np.abs(values) <= MAX_EXACT_INTEGER
    bad = found.bad | found.percent | ~(np.isnan(values) | (is_exact & is_whole))
    result = pd.Series(np.where(bad, np.nan, values), column.index, dtype="float64").astype("Int64")
    # Seeds may need all their digits, which float64 does not hold: read those from the text.
    is_large = np.abs(np.nan_to_num(values)) >= MAX_EXACT_INTEGER
    texts = to_text(column[is_large]).str.strip()
    exact = texts.index[texts.str.fullmatch(r"[+-]?[0-9]{1,18}")]
    if len(exact):
        result[exact] = texts[exact].astype("int64")
        bad = bad & ~column.index.isin(exact)
    return result, bad


def to_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """Every value as text; empty where it is missing."""
    kinds = pd.api.types
    if kinds.is_string_dtype(column.dtype) and not kinds.is_object_dtype(column.dtype):
        return column.astype("str").fillna("")
    texts = [_value_text(value) for value in column.astype("object")]
    return pd.Series(texts, column.index, dtype="str")


def _value_text(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_EXACT_INTEGER:
        return str(int(value))  # whole ids become floats where one of them is missing
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
    "density": "must lie in (0, 1] where `units` says `density`:"
    " the fraction of weights that are left",
    "compression_ratio": "must be at least 1 where `units` says `compression_ratio`:"
    " dense weights over those left",
}


def to_fractions(
    found: ParsedNumbers, unit: str | None, of: str, low: float, high: float
) -> tuple[Floats, str]:
    """Convert a column's values to fractions.

    Args:
        found: The column's numbers.
        unit: Unit that the caller states; None where nothing is stated: then fractions, or percent
            if every value has a percent sign.
        of: Our name of the column.
        low: Smallest fraction that makes sense.
        high: Largest fraction that makes sense; a sparsity must lie below 1.

    Returns:
        Values of the column's length, NaN where missing; the rule that they break, with the values
        found, or an empty text.
    """
    values = found.values
    is_given = ~np.isnan(values)
    if not is_given.any():
        return values, ""
    finite = values[np.isfinite(values)]
    span = f"values from {finite.min():g} to {finite.max():g}" if len(finite) else "no finite value"
    unit, rule = _resolve_unit(found, unit, of)
    if rule:
        return values, rule
    # Numbers up to 100 may be percent; larger ones break the limits below.
    if unit is None and len(finite) and 1 < finite.max() <= 100:
        return values, _ambiguity_message(finite, of, span)
    if unit == "percent":
        reason = _not_percent_reason(found, of)
        if reason:
            return values, f"{reason}, with {span}"
    rule = _limit_rule(finite, unit, low, high)
    if rule:
        return values, f"{rule}, got {span}"
    converted = values.copy()
    converted[is_given] = _FRACTION_CONVERSIONS[unit or "fraction"](values[is_given])
    if unit not in (None, "fraction"):
        # Else 90 % and a density of 0.1 would be two sparsities.
        converted = converted.round(FRACTION_DECIMALS)
    if of in SPARSITY_COLUMNS and (converted[is_given] >= 1).any():
        return values, f"a sparsity must lie in [0, 1), got {span}"
    return converted, ""


def _resolve_unit(found: ParsedNumbers, unit: str | None, of: str) -> tuple[str | None, str]:
    """Unit of the values by what is stated and by percent signs, and the rule that both break."""
    if not found.percent.any():
        return unit, ""
    if unit not in (None, "percent"):
        return unit, f"some values have a percent sign, but `units` says `{unit}`"
    is_given = ~np.isnan(found.values)
    if unit is None and not found.percent[is_given].all():
        advice = _percent_advice(of)
        return unit, (
            f"some values have a percent sign and some have none: {advice} if all are percent"
        )
    return "percent", ""


def _limit_rule(finite: Floats, unit: str | None, low: float, high: float) -> str:
    """Rule on the range that finite values break in their unit; empty where they lie within."""
    bottom, top = _UNIT_LIMITS.get(unit or "", (low, high))
    if unit == "percent" and low < 0:  # a score may be negative
        bottom = 100 * low
        top = 100 * high
    if not len(finite):
        return ""
    is_outside = finite.min() < bottom or finite.max() > top
    if is_outside or (unit == "density" and finite.min() <= 0):
        return _UNIT_RULES.get(unit or "") or f"must lie in [{low:g}, {high:g}]"
    return ""


def _not_percent_reason(found: ParsedNumbers, of: str) -> str:
    """Reason to doubt that a column is in percent, as stated; empty where there is none."""
    small, large = _unit_interval_rows(found)
    if of in SPARSITY_COLUMNS:
        # A sparsity of 1 is no fraction: no weight would be left.
        small &= found.values < 1
    elif not of.endswith(MEASURE_SUFFIXES):
        return ""
    elif large.any():
        # A fraction among percents is recognised by lying where the others do once it is converted.
        low = found.values[large].min()
        high = found.values[large].max()
        percents = 100 * found.values
        small &= (percents >= 0.9 * low) & (percents <= 1.1 * high) & _has_outlying_values(found)
    if not small.any():
        return ""
    if large.any():
        return (
            f"percent and fractions seem mixed, fractions in {_list_rows(small)} (counted from 0):"
            " write all in one unit"
        )
    return (
        f"these look like fractions, not percent: give units={{'{of}': 'fraction'}},"
        " or convert them before"
    )


def small_percents_note(found: ParsedNumbers, of: str) -> str:
    """Sentences on values of a measure that are at most 1 percent and far below all others.

    A network at chance on many classes has such values; so has a column that mixes percent and
    fractions. Empty where there are none.
    """
    if not of.endswith(MEASURE_SUFFIXES) or not _has_outlying_values(found):
        return ""
    small, _ = _unit_interval_rows(found)
    lowest = found.values[small].min()
    highest = found.values[small].max()
    span = f"{lowest:g}" if lowest == highest else f"{lowest:g} to {highest:g}"
    read = write("reading_percent", column=of, span=span, rows=_list_rows(small))
    return paragraph([read, write("reading_percent_convert")])


def _has_outlying_values(found: ParsedNumbers) -> bool:
    """True if there are numbers up to 1 and all others are `OUTLYING_RATIO` times as large."""
    small, large = _unit_interval_rows(found)
    if not (small.any() and large.any()):
        return False
    return bool(found.values[large].min() >= OUTLYING_RATIO * found.values[small].max())


def _unit_interval_rows(found: ParsedNumbers) -> tuple[Mask, Mask]:
    """Rows without a percent sign whose numbers lie in (0, 1], and all rows above 1."""
    with np.errstate(invalid="ignore"):
        small = (found.values > 0) & (found.values <= 1) & ~found.percent
        large = found.values > 1
    return small, large


def _list_rows(mask: Mask) -> str:
    """Numbers of the first rows: ``row 3``, or ``rows 0, 1, 2 and 4 more``."""
    rows = np.flatnonzero(mask)
    rest = len(rows) - MAX_LISTED_ROWS
    more = f" and {rest} more" if rest > 0 else ""
    plural = "s" if len(rows) > 1 else ""
    return f"row{plural} {', '.join(map(str, rows[:MAX_LISTED_ROWS]))}{more}"


def _ambiguity_message(finite: Floats, of: str, span: str) -> str:
    """Reason not to take numbers above 1 for fractions, and what to write instead."""
    if ((finite > 0) & (finite <= 1)).any():
        return f"percent and fractions may be mixed, with {span}: {_percent_advice(of)} if all are"
    may_be_ratio = of in SPARSITY_COLUMNS and finite.min() >= 1
    ratio = " (or 'compression_ratio' if it is that)" if may_be_ratio else ""
    return f"a fraction is due, got {span}: if it is percent, {_percent_advice(of)}{ratio}"


def _percent_advice(of: str) -> str:
    return f"give units={{'{of}': 'percent'}}"
