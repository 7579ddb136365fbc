"""Optima at the edge of the searched range, and the wider range to search next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from sparsetune.study.space import IntRange, LogUniform

from ...tables.results import Results
from ...wording import cell_phrase
from ..axis_text import format_range, format_value, short_axis_name
from ..responses import (
    Range,
    is_natural_end,
    largest_value,
    to_unit_range,
    value_at_position,
)
from .optima import Optima, optima

EDGE_MARGIN = 0.05
"""A winner is at the edge if it is within this part of its range of an end, on the axis's scale."""
WIDENING_FACTOR = 10**0.5
"""Factor by which a logarithmic range is widened; others are widened by half of their width."""
SURE_EDGE_MARGIN = 0.1
"""An interval wholly within this part of the range of an end says that the best is there or beyond.

Measured on quadratic bowls of 12 to 48 points: this is said of none that lie 0.25 of the range or
more inside and of nine in ten that lie 0.1 beyond; of optima spread evenly over the inner 80 % of
the range, of one in twenty.
"""
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
    """Search axes whose best value is at an end of its range, or may be.

    ``sure`` is True if the interval of the optimum lies wholly within a tenth of the range of that
    end. If it only reaches that end, the best may lie at or beyond it, or inside. If the optimum
    was not located, or there are too few configurations to try, a winner within 5 % of the range of
    an end is reported as not ``sure``: one in ten lies there by chance. An optimum located inside
    its range is no finding, wherever the winner lies, nor is an end beyond which there is nothing,
    such as a ramp that starts at 0.

    Args:
        results: A study that searches something.
        y: A measured column; by default the objective, by which winners were chosen.
        where: Sweep axes and their values: only those cells.

    Returns:
        One row per cell and axis at an edge: ``cell arm``, the sweep axes, ``axis``; ``end``
        (``low`` or ``high``) and its ``bound``; ``winner``; ``low high``, the optimum's interval,
        from ``n`` configurations; ``sure``; ``wider_low wider_high``, the range to search next;
        ``finding``, all that in words.

    Raises:
        SparsetuneError: if ``y`` or a field in ``where`` is unknown.
    """
    found = optima(results, y, where=where)
    # The winners were chosen by the objective: for another measure they mean nothing.
    if results.design.objective not in (None, found.y.column):
        found = replace(found, rows=found.rows.assign(winner=np.nan))
    return edges_of_optima(found)


def edges_of_optima(found: Optima) -> pd.DataFrame:
    """The rows of `edges` from optima that are known already."""
    frame = found.frame()
    names = [str(name) for name in frame.columns]
    keys = names[: names.index("axis") + 1]
    rows = []
    for row in frame.to_dict("records"):
        edge = _edge(row, found.ranges[row["cell"], row["axis"]])
        if edge is not None:
            rows.append({key: row[key] for key in keys} | edge)
    return pd.DataFrame(rows, columns=[*keys, *EDGE_COLUMNS])


def _edge(row: Mapping[Any, Any], axis: Range) -> dict[str, Any] | None:
    """Columns `EDGE_COLUMNS` of one optimum; None if it is at no edge."""
    end, is_sure = _edge_end(row, axis)
    if end is None or is_natural_end(row["axis"], axis, end):
        return None
    wider_low, wider_high = _widened_range(row["axis"], axis, end)
    edge = {
        "end": end,
        "bound": axis.low if end == "low" else axis.high,
        "winner": row["winner"],
        "low": row["low"],
        "high": row["high"],
        "n": row["n"],
        "sure": is_sure,
        "wider_low": wider_low,
        "wider_high": wider_high,
    }
    return edge | {"finding": _edge_finding(row, edge)}


def _edge_end(row: Mapping[Any, Any], axis: Range) -> tuple[str | None, bool]:
    """The end at which an optimum may be, ``low``, ``high`` or None, and True if that is sure."""
    if row["verdict"] == "at most":
        return "low", bool(to_unit_range(axis, row["high"]) <= SURE_EDGE_MARGIN)
    if row["verdict"] == "at least":
        return "high", bool(to_unit_range(axis, row["low"]) >= 1 - SURE_EDGE_MARGIN)
    if row["verdict"] == "located" or pd.isna(row["winner"]):
        return None, False
    position = float(to_unit_range(axis, row["winner"]))
    # Of whole numbers only the end itself counts: its own share may be more than 5 %.
    margin = 0.0 if isinstance(axis, IntRange) else EDGE_MARGIN
    if position <= margin:
        return "low", False
    if position >= 1 - margin:
        return "high", False
    return None, False


def _widened_range(path: str, axis: Range, end: str) -> tuple[float, float]:
    """The range with one end moved outwards, as far as values are possible."""
    is_log = isinstance(axis, LogUniform)
    low = float(axis.low)
    high = float(axis.high)
    if end == "low":
        low = low / WIDENING_FACTOR if is_log else max(0.0, float(value_at_position(axis, -0.5)))
    else:
        high = high * WIDENING_FACTOR if is_log else float(value_at_position(axis, 1.5))
        high = min(high, largest_value(path))
    if isinstance(axis, IntRange):
        return np.floor(low), np.ceil(high)
    return low, high


def _edge_finding(row: Mapping[Any, Any], edge: Mapping[str, Any]) -> str:
    """An edge in words: the axis and cell, the reason, and the range to search next."""
    path = row["axis"]
    which = "lower" if edge["end"] == "low" else "upper"
    bound = format_value(path, edge["bound"])
    wider = format_range(path, edge["wider_low"], edge["wider_high"])
    n = f"(from {row['n']} configurations)"
    if edge["sure"]:
        finding = f"the best lies at the {which} end {bound} of its range or beyond {n}"
    elif row["verdict"] in ("at most", "at least"):
        interval = format_range(path, row["low"], row["high"])
        finding = (
            f"the interval {interval} reaches the {which} end: the best may lie at or beyond it {n}"
        )
    else:
        has_few = row["verdict"].startswith("too few")
        why = "too few configurations" if has_few else "the optimum was not located"
        place = f"within 5 % of the range of the {which} end {bound}"
        if _is_beyond(row["winner"], edge):
            place = f"beyond the {which} end {bound} of the searched range"
        winner = format_value(path, row["winner"])
        finding = f"the winner {winner} lies {place}; {why}, so this may be chance {n}"
    return f"{short_axis_name(path)}, {cell_phrase(row)}: {finding}. Search {wider}."


def _is_beyond(winner: float, edge: Mapping[str, Any]) -> bool:
    """True if the winner is outside the searched range: the base recipe or a known point may be."""
    return bool(winner < edge["bound"] if edge["end"] == "low" else winner > edge["bound"])
