"""Optima at the edge of what was searched: the best value may lie beyond, so which way to widen, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.exhibit import Exhibit
from analysis.recipes.optima import Optima, optima
from analysis.recipes.optimum_figure import axis_name, format_range, format_value
from analysis.recipes.responses import (
    Range,
    is_natural_end,
    largest_value,
    to_unit_range,
    value_at_position,
)
from analysis.tables.results import Results
from sparsetune.study.space import IntRange, LogUniform

EDGE_MARGIN = 0.05
"""A winner within this part of its range of an end, on the axis's own scale, lies at the edge."""
WIDENING_FACTOR = 10**0.5
"""By this factor a logarithmic range is widened, others by half of their width."""
SURE_EDGE_MARGIN = 0.1
"""An interval that lies wholly within this part of the range of an end says that the best is there or beyond. Measured
on quadratic bowls of 12 to 48 points: it is said of none that lie 0.25 of the range or more inside and of nine in ten
that lie 0.1 beyond; of truths spread evenly over the inner 80 % of the range, of one in twenty."""
EDGE_COLUMNS = [
    "end",
    "bound",
    "winner",
    "low",
    "high",
    "n",
    "sure",
    "wider_low",
    "wider_high",
    "finding",
]


def edges(
    results: Results, y: str | None = None, *, where: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Where the best value of a search axis lies at an end of its range, or may do so.

    ``sure`` is where the interval of the optimum's place lies wholly within a tenth of the range of that end. Where it
    only reaches that end, the best may lie at or beyond it, or inside. Where the optimum was not located, or there are
    too few configurations to try, a winner within 5 % of the range of an end is reported as not ``sure``: one in ten
    lies there by chance. An optimum located inside its range is no finding, wherever the winner lies, nor is an end
    beyond which there is nothing, a ramp that starts at 0 say.

    Args:
        results: A study that searches something.
        y: A measured column; by default the objective, by which winners were chosen.
        where: Sweep axes and their values: only those cells.

    Returns:
        One row per cell and axis at an edge: ``cell arm``, the sweep axes, ``axis``; ``end`` (``low`` or ``high``) and
        its ``bound``; ``winner``; ``low high``, the optimum's interval, from ``n`` configurations; ``sure``;
        ``wider_low wider_high``, the range to search next; ``finding``, all that in words.

    Raises:
        SparsetuneError: if ``y`` or a field in ``where`` is unknown.
    """
    found = optima(results, y, where=where)
    if results.design.objective not in (None, found.y):
        found = replace(found, rows=found.rows.assign(winner=np.nan))
    return edges_of_optima(found)


def edges_of_optima(found: Optima) -> pd.DataFrame:
    """The rows of `edges` from optima that are known already."""
    frame = found.frame()
    keys = [str(name) for name in frame.columns[: list(frame.columns).index("axis") + 1]]
    rows = [
        {key: row[key] for key in keys} | edge
        for row in frame.to_dict("records")
        if (edge := _edge(row, found.ranges[row["cell"], row["axis"]])) is not None
    ]
    return pd.DataFrame(rows, columns=[*keys, *EDGE_COLUMNS])


def _edge(row: Mapping[Any, Any], axis: Range) -> dict[str, Any] | None:
    end, sure = _edge_end(row, axis)
    if end is None or is_natural_end(row["axis"], axis, end):
        return None
    bound = axis.low if end == "low" else axis.high
    wider = _widened_range(row["axis"], axis, end)
    kept = {name: row[name] for name in ("winner", "low", "high", "n")}
    edge = {
        "end": end,
        "bound": bound,
        "sure": sure,
        "wider_low": wider[0],
        "wider_high": wider[1],
    } | kept
    return edge | {"finding": _edge_finding(row, edge)}


def _edge_end(row: Mapping[Any, Any], axis: Range) -> tuple[str | None, bool]:
    """At which end, and whether the whole interval lies there."""
    if row["verdict"] == "at most":
        return "low", bool(to_unit_range(axis, row["high"]) <= SURE_EDGE_MARGIN)
    if row["verdict"] == "at least":
        return "high", bool(to_unit_range(axis, row["low"]) >= 1 - SURE_EDGE_MARGIN)
    if row["verdict"] == "located" or pd.isna(row["winner"]):
        return None, False
    at = float(to_unit_range(axis, row["winner"]))
    if isinstance(axis, IntRange):  # the share of an end's own value may be more than 5 %
        return ("low" if at <= 0 else "high" if at >= 1 else None), False
    return ("low" if at <= EDGE_MARGIN else "high" if at >= 1 - EDGE_MARGIN else None), False


def _widened_range(path: str, axis: Range, end: str) -> tuple[float, float]:
    """The range with the one end moved outwards, as far as there is anything."""
    if isinstance(axis, LogUniform):
        low = axis.low / WIDENING_FACTOR
        high = axis.high * WIDENING_FACTOR
    else:
        low = max(0.0, float(value_at_position(axis, -0.5)))
        high = float(value_at_position(axis, 1.5))
    low, high = (
        (low, float(axis.high))
        if end == "low"
        else (float(axis.low), min(high, largest_value(path)))
    )
    return (np.floor(low), np.ceil(high)) if isinstance(axis, IntRange) else (low, high)


def _edge_finding(row: Mapping[Any, Any], edge: Mapping[str, Any]) -> str:
    which = "lower" if edge["end"] == "low" else "upper"
    path = row["axis"]
    name = axis_name(row["axis"]).split(" (")[0]
    bound = format_value(path, edge["bound"])
    wider = format_range(path, edge["wider_low"], edge["wider_high"])
    if edge["sure"]:
        said = f"the best lies at the {which} end {bound} of its range or beyond (n = {row['n']})"
    elif row["verdict"] in ("at most", "at least"):
        interval = format_range(path, row["low"], row["high"])
        said = f"the interval {interval} reaches the {which} end: the best may lie at or beyond it (n = {row['n']})"
    else:
        why = (
            "too few configurations"
            if row["verdict"].startswith("too few")
            else "the optimum was not located"
        )
        lies = f"within 5 % of the range of the {which} end {bound}"
        if row["winner"] < edge["bound"] if edge["end"] == "low" else row["winner"] > edge["bound"]:
            lies = f"beyond the {which} end {bound} of the searched range"  # the base recipe, or a known point
        said = f"the winner {format_value(path, row['winner'])} lies {lies}; {why}, so this may be chance (n = {row['n']})"
    return f"{name}, {row['cell']}: {said}. Search {wider}."


def exhibits(results: Results, y: str, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """A table of the edges, for the objective; nothing where there is none.

    Args:
        results: The study.
        y: The headline measure; not used, since search trials never read the test set.
        where: Sweep axes and their values.
    """
    if results.design.objective is None or not results.design.search:
        return
    frame = edges(results, where=where)
    if frame.empty:
        return
    rows = frame.to_dict("records")
    told = {"end_is": [f"{row['end']}, {format_value(row['axis'], row['bound'])}" for row in rows]}
    told |= {"winner_is": [format_value(row["axis"], row["winner"]) for row in rows]}
    told |= {"best": [format_range(row["axis"], row["low"], row["high"]) for row in rows]}
    told |= {
        "wider": [format_range(row["axis"], row["wider_low"], row["wider_high"]) for row in rows]
    }
    columns = {"cell": "Cell", "axis": "Axis", "end_is": "End of its range", "winner_is": "Winner"}
    columns |= {
        "best": "95 % interval\nof the best",
        "n": "n",
        "sure": "Sure",
        "wider": "Search next",
    }
    caption = (
        "Sure: the interval of the optimum's place lies wholly within 10 % of the range of that end. Not sure: the"
        " interval reaches that end but also holds places inside; or the optimum was not located and only the winner"
        " lies there, within 5 % of the range or beyond it, as one in ten does by chance where an axis does"
        " nothing."
        " Logarithmic ranges are widened by a factor 10^0.5, others by half of their width."
    )
    yield Exhibit(
        "edges", "Best at the edge of its range", frame.assign(**told), caption, None, columns
    )
