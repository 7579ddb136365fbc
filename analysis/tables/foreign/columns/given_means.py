"""Rows that are means over several runs: their spread and the number of runs behind them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from sparsetune.errors import Problem

from .known import COUNT_COLUMN, RESULT_COLUMNS
from .quotes import quote_value

Spread = Literal["sd", "se"]
"""Standard deviation over runs, or standard error of their mean."""
SPREAD_WORDS = ("std", "stdev", "stddev", "sd", "stderr", "sem", "se")
"""Words for a spread in a column's name."""
_ERROR_WORDS = ("stderr", "sem", "se")
_COUNT_NAMES = re.compile(r"(n|num|number_of|#)_?(seeds|runs|repeats|replicates)|seeds")
_MEASURE_WORDS = ("acc", "accuracy", "test", "val", "loss", "score", "top1", "mean", "avg", "err")


@dataclass(frozen=True)
class GivenSpread:
    """What the caller says of means in the table.

    Args:
        kind: What follows a mean in a text such as ``93.1 ± 0.2``; None where nothing is said.
        n: Number of runs behind every mean; None where a column has it, or no row is a mean.
        has_counts: True if a column has the number of runs.
    """

    kind: Spread | None = None
    n: int | None = None
    has_counts: bool = False


def spread_problems(ours: str, theirs: str, given: GivenSpread) -> Iterator[Problem]:
    """Problems of a column of texts with spreads of which too little is said."""
    if given.kind is None:
        rule = (
            f"column {quote_value(theirs)} holds means such as `93.1 ± 0.2`: say what follows the"
            " mean, spread='sd' (standard deviation over runs) or spread='se' (standard error)"
        )
        yield Problem(ours, rule)
    if given.n is None and not given.has_counts:
        rule = (
            f"column {quote_value(theirs)} holds means: say over how many runs, with"
            f" columns={{'{COUNT_COLUMN}': …}} or, where all have one number, runs_per_mean=…"
        )
        yield Problem(ours, rule)


def mean_problems(rows: pd.DataFrame) -> Iterator[Problem]:
    """Problems of spreads and numbers of runs, once they are read."""
    for measure in RESULT_COLUMNS:
        spreads = [name for name in (f"{measure}_sd", f"{measure}_se") if name in rows]
        if spreads and measure not in rows:
            yield Problem(spreads[0], f"is the spread of `{measure}`, which the table must give")
        if len(spreads) > 1:
            yield Problem(spreads[1], f"a mean has one spread: leave out `{spreads[0]}` or this")
        if spreads and COUNT_COLUMN not in rows:
            rule = (
                "the spread of a mean needs the number of runs behind it: give"
                f" columns={{'{COUNT_COLUMN}': …}} or runs_per_mean=…"
            )
            yield Problem(spreads[0], rule)


def untold_mean_problems(
    table: pd.DataFrame, taken: Sequence[Hashable], results: Iterable[str]
) -> Iterator[Problem]:
    """Problem of columns that look like the spread of means, or their number of runs.

    Args:
        table: The rows.
        taken: Columns that have been taken or left out, by the table's name.
        results: Results that the table gives, by our name.
    """
    result = next(iter(results), "test_accuracy")
    for name in map(str, table.columns):
        if name in map(str, taken):
            continue
        words = [word for word in re.split(r"[^a-z0-9#]+", name.lower()) if word]
        spread = [word for word in words if word in SPREAD_WORDS]
        others = [word for word in words if word not in SPREAD_WORDS]
        if spread and all(word in _MEASURE_WORDS for word in others):
            suffix = "se" if spread[0] in _ERROR_WORDS else "sd"
            ours = f"{result}_{suffix}"
        elif _COUNT_NAMES.fullmatch(name.lower().replace(" ", "_")):
            ours = COUNT_COLUMN
        else:
            continue
        rule = (
            f"looks like part of a mean over runs: give columns={{'{ours}': '{name}'}} if it is,"
            f" else ignore=['{name}']"
        )
        yield Problem(quote_value(name)[1:-1], rule)


def add_standard_deviations(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows whose standard errors are standard deviations over runs: the error times sqrt(n)."""
    errors = [name for name in map(str, rows) if name.endswith("_se")]
    if not errors:
        return rows
    root = np.sqrt(rows[COUNT_COLUMN].astype("float64"))
    deviations: dict[str, pd.Series[Any]] = {}
    for name in errors:
        deviations[f"{name.removesuffix('_se')}_sd"] = rows[name] * root
    return rows.drop(columns=errors).assign(**deviations)
