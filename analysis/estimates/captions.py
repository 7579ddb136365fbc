"""Words on the runs behind means, and on what their intervals are over, for captions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ..catalogue import write
from ..catalogue.template import Sentence
from ..tables.results import Results
from .intervals import BOOTSTRAP_FROM
from .pooled import POOLING_COLUMNS

PLURAL = re.compile(r"s\b")


def replicates_name(results: Results) -> str:
    """Name of what means are over: ``seeds``, or ``runs`` where nothing was selected.

    ``seeds and splits`` where each seed draws its own training and validation split too.
    """
    if results.design.objective is None:
        return "runs"
    trials = results.trials()
    varies = "task.split_seed" in trials and trials["task.split_seed"].eq("vary").any()
    return "seeds and splits" if varies else "seeds"


def interval_sentences(
    points: pd.DataFrame,
    level: float,
    like: Sequence[str] = POOLING_COLUMNS,
    runs: str = "seeds",
) -> Iterator[Sentence]:
    """Sentences on the number of runs behind means, and on what their intervals are over.

    Args:
        points: At least ``n df interval diverged``; ``configurations`` where it may exceed 1, and
            ``unpaired`` where differences are shown.
        level: Coverage of the intervals, in (0, 1).
        like: Columns that cells with a common spread share.
        runs: Name of what means are over, as `replicates_name` gives it.
    """
    given = points[points["n"] > 0]
    if given.empty:
        yield write("means_none")
        return
    if "configurations" in given:
        is_pooled = given["configurations"] > 1
        if is_pooled.any():
            n = count_words(given.loc[is_pooled, "configurations"], "configurations")
            yield write("means_pooled" if is_pooled.all() else "means_some_pooled", n=n)
            yield write("bars_spread")
        given = given[~is_pooled]
    if given.empty:
        return
    yield write("means", n=count_words(given["n"], runs))
    kinds = set(given["interval"]) - {""}
    is_equal = (given["interval"] == "") & (given["n"] > 1)
    if not kinds:
        yield write("no_bars_equal" if is_equal.any() else "no_bars_single")
        return
    percent = f"{100 * level:g}"
    if len(kinds) > 1:
        yield write("bars_both", level=percent, first=BOOTSTRAP_FROM, last=BOOTSTRAP_FROM - 1)
    else:
        yield write("bars_t" if kinds == {"t"} else "bars_bootstrap", level=percent)
    small = given[given["interval"] == "t"]
    if "unpaired" in small:
        # Welch's degrees of freedom are no sign of pooled spreads.
        small = small[~small["unpaired"]]
    if (small["df"] > small["n"] - 1).any():
        df = format_span(small["df"])
        if like:
            yield write("bars_pooled", like=" and ".join(map(_column_words, like)), df=df)
        else:
            yield write("bars_pooled_study", df=df)
    if is_equal.any():
        yield write("bars_not_of_equal")
    if "unpaired" in points and points["unpaired"].any():
        yield write("differences_unpaired")
    if (points["diverged"] > 0).any():
        yield write("diverged_without_mean")


def _column_words(column: str) -> str:
    """A column in words: ``sparsity``, ``weight decay``."""
    return column.rpartition(".")[2].replace("_", " ")


def count_words(counts: pd.Series[Any], things: str) -> str:
    """Numbers of things in words: ``3 seeds``, ``1 seed``, ``2 to 3 seeds``."""
    span = format_span(counts)
    # Every noun is in the singular: ``1 seed and split``.
    return f"{span} {re.sub(PLURAL, '', things) if span == '1' else things}"


def format_span(values: pd.Series[Any]) -> str:
    """Range of whole numbers: ``3``, or ``2 to 3`` where they differ."""
    low = int(values.min())
    high = int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"
