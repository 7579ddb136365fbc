"""Numbers as people write them in a table: plain, in text, with a percent sign or a spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .quotes import quote_value

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MISSING_WORDS = ("", "nan", "none", "null", "na", "n/a", "<na>", "nat", "-")
"""Texts that mean a missing number, in any case."""
NUMBER_PATTERN = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
INFINITY_PATTERN = r"[+-]?(?:[iI]nf|INF|[iI]nfinity|INFINITY)"
MAX_EXACT_INTEGER = 2**53
"""Largest whole number up to which float64 holds all of them exactly."""
MAX_LISTED_ROWS = 3
"""Rows that a message names; for more it gives their number."""
_SPREAD_PATTERN = (
    rf"(?P<mean>{NUMBER_PATTERN})\s*(?P<first>%?)\s*"
    rf"(?:(?:±|\+/-|\+-|\\pm)\s*(?P<plus>{NUMBER_PATTERN})"
    # Digits alone in brackets may also be those of the mean's last places: 93.12(4) is ± 0.04.
    r"|\(\s*(?P<brackets>[0-9]*\.[0-9]+)\s*%?\s*\))\s*(?P<last>%?)"
)
"""A mean with its spread: ``93.1 ± 0.2``, ``93.1 +/- 0.2 %``, ``93.1 (0.2)``."""
_SPREAD_MARKS = r"±|\+/?-|\\pm|\("


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
        values = _without_float_noise(column).to_numpy(dtype=np.float64, na_value=np.nan)
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


def _without_float_noise(column: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers of single precision by the shortest text that means them: 0.9, not 0.89999998."""
    if str(column.dtype).lower() not in ("float16", "float32"):
        return column
    return column.astype("object").map(str, na_action="ignore").astype("float64")


def split_spreads(column: pd.Series[Any]) -> tuple[pd.Series[Any], Floats] | None:
    """Means and their spreads from a column of texts such as ``93.1 ± 0.2``.

    Returns:
        The means as text, with their percent sign, and other rows as they are; the spread of each
        row, NaN where it has none. None where no row has one.
    """
    if _is_numeric(column):
        return None
    texts = to_text(column).str.strip()
    # A search for the marks is much quicker than taking every text apart.
    if not texts.str.contains(_SPREAD_MARKS).any():
        return None
    found = texts.str.extract(rf"^{_SPREAD_PATTERN}$")
    if found["mean"].isna().all():
        return None
    is_percent = found["first"].eq("%") | found["last"].eq("%")
    means = found["mean"] + is_percent.map({True: "%", False: ""})
    spreads = found["plus"].fillna(found["brackets"]).astype("float64")
    return means.fillna(texts), np.asarray(spreads, dtype=np.float64)


def list_rows(mask: Mask) -> str:
    """Numbers of the first rows: ``row 3``, or ``rows 0, 1, 2 and 4 more``."""
    rows = np.flatnonzero(mask)
    rest = len(rows) - MAX_LISTED_ROWS
    more = f" and {rest} more" if rest > 0 else ""
    plural = "s" if len(rows) > 1 else ""
    return f"row{plural} {', '.join(map(str, rows[:MAX_LISTED_ROWS]))}{more}"


def broken_rule(bad: ArrayLike, column: pd.Series[Any], rule: str) -> list[str]:
    """The rule with the first rows that break it, counted from 0; nothing where none does."""
    rows = np.flatnonzero(bad)
    if not len(rows):
        return []
    examples: list[str] = []
    for row in rows[:MAX_LISTED_ROWS]:
        text = to_text(column.iloc[[row]]).iloc[0]
        examples.append(f"{quote_value(text)} in row {row}")
    rest = len(rows) - MAX_LISTED_ROWS
    more = f" and {rest} more" if rest > 0 else ""
    return [f"{rule}, got {', '.join(examples)}{more} (rows counted from 0)"]
