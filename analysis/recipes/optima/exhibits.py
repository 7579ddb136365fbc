"""Exhibits of optima: their map, their shifts, the responses, and optima at an edge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ... import wording
from ...catalogue import paragraph, write
from ...exhibit import CellFormat, Exhibit, TableColumn
from ...tables.results import Results
from ..axis_text import (
    axis_column,
    axis_factor,
    axis_name,
    format_range,
    format_value,
    short_axis_name,
)
from ..responses import ranking_measure
from .edges import edges
from .figures import draw_response
from .optima import Optima, optima

AXIS_COLUMN = TableColumn("Axis", "axis", format=CellFormat.AXIS_NAME)
EDGE_TABLE_COLUMNS = (
    TableColumn("Network", "cell"),
    AXIS_COLUMN,
    TableColumn("End of its range", "end_is"),
    TableColumn("Winner", "winner_is"),
    TableColumn("95 % interval of\nthe best on average", "best"),
    TableColumn("n", "n"),
    TableColumn("Sure", "sure"),
    TableColumn("Search next", "wider"),
)


def optimum_exhibits(results: Results, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """Map of the optima for the objective, with the responses that it was read from, and shifts.

    The headline measure has none, since search trials never read the test set.

    Args:
        results: The study; without a search there is no exhibit.
        where: Sweep axes and their values, as in `optima`.
    """
    objective = ranking_measure(results)
    if objective is None or not results.design.search:
        return
    found = optima(results, objective, where=where)
    if found.frame()["value"].isna().all():
        return
    yield _map_exhibit(found)
    shifts = found.shifts()
    if len(shifts):
        yield _shift_exhibit(found, shifts)
    yield from _response_exhibits(found)


def _map_exhibit(found: Optima) -> Exhibit:
    """The map of the optima."""
    sweep = [path for path in map(str, found.cells) if "." in path]
    columns = (
        TableColumn("Arm", "arm"),
        *(axis_column(path) for path in sweep),
        AXIS_COLUMN,
        TableColumn("n", "n"),
        TableColumn(f"Best on average over\nthe others [{100 * found.level:g} % interval]", "best"),
        TableColumn("Flat region", "flat"),
        TableColumn("Best together\n(the winner)", "winner_is"),
        TableColumn("Verdict", "verdict"),
    )
    title = f"Hyperparameters that are best on average over the others, for {found.y.phrase}"
    frame = _format_optima(found.frame())
    return Exhibit("optimum", title, frame, found.note(), found.plot, columns)


def _shift_exhibit(found: Optima, shifts: pd.DataFrame) -> Exhibit:
    """The table of shifts."""
    columns = (
        TableColumn("Arm", "arm"),
        AXIS_COLUMN,
        TableColumn("Along", "step"),
        TableColumn("Network", "cell"),
        TableColumn("n", "n"),
        TableColumn(f"Shift\n[{100 * found.level:g} % interval]", "moved"),
        TableColumn("p (Holm)", "p_holm"),
        TableColumn("Verdict", "verdict"),
    )
    title = f"How the values that are best on average move, for {found.y.phrase}"
    rows = shifts.to_dict("records")
    frame = shifts.assign(
        step=[_format_step(row) for row in rows], moved=[_format_shift(row) for row in rows]
    )
    return Exhibit("shifts", title, frame, _shift_note(shifts, found), None, columns)


def _response_exhibits(found: Optima) -> Iterator[Exhibit]:
    """The values of all configurations against each search axis that some cell located."""
    rows = found.frame().dropna(subset="value")
    # Axes that no cell located show no pattern that a reader could check.
    located = rows.loc[rows["verdict"] != "not located", "axis"]
    for path in dict.fromkeys(located):
        title = f"{found.y.title} against {short_axis_name(path).lower()}"
        band = write("response_band", level=f"{100 * found.level:g}")
        caption = paragraph([write("response_marks"), band])
        points = found.points[found.points["axis"] == path]
        figure = partial(draw_response, found, path)
        yield Exhibit(f"response-{path.replace('.', '_')}", title, points, caption, figure)


def _format_optima(frame: pd.DataFrame) -> pd.DataFrame:
    """The optima with ``best flat winner_is`` as text, each in its axis's unit."""
    rows = frame.to_dict("records")
    return frame.assign(
        best=[format_value(row["axis"], row["value"], row["low"], row["high"]) for row in rows],
        flat=[format_range(row["axis"], row["flat_low"], row["flat_high"]) for row in rows],
        winner_is=[format_value(row["axis"], row["winner"]) for row in rows],
    )


def _format_step(row: Mapping[Any, Any]) -> str:
    """Values of a sweep axis between which an optimum moved: ``sparsity 0 to 90 %``."""
    name = axis_name(row["along"]).lower()
    if row["along"] == "sparsity.target":
        return f"{name} {100 * row['from']:.10g} to {100 * row['to']:.10g} %"
    return f"{name} {row['from']:g} to {row['to']:g}"


def _format_shift(row: Mapping[Any, Any]) -> str:
    """A factor, or a difference in the axis's unit, with its interval.

    Of an interval that is open on one side only the bound is given.
    """
    is_factor = row["scale"] == "factor"
    scale = 1.0 if is_factor else axis_factor(row["axis"])
    digits = "{:.3g}" if is_factor else "{:+.3g}"
    prefix = "times " if is_factor else ""
    has_low = row["low"] > 0 if is_factor else np.isfinite(row["low"])
    has_high = np.isfinite(row["high"])
    if has_low and has_high:
        interval = wording.format_interval(row["shift"], row["low"], row["high"], scale, digits)
        text = f"{prefix}{interval}"
    # An interval that is open on one side has no middle: only its bound is known.
    elif has_low:
        text = f"at least {prefix}{digits.format(scale * row['low'])}"
    elif has_high:
        text = f"at most {prefix}{digits.format(scale * row['high'])}"
    else:
        return "open on both sides"
    return f"{text} points" if scale == 100 else text


def _shift_note(shifts: pd.DataFrame, found: Optima) -> str:
    """Caption of the table of shifts, with what was found in a sentence."""
    moved = int(shifts["verdict"].str.startswith(("higher", "lower")).sum())
    count = len(shifts)
    level = f"{100 * found.level:g}"
    sentences = [
        write("shifts_found", moved=moved, all=count) if moved else write("shifts_none"),
        write("shifts_corrected", all=count, level=level),
        write("shifts_base"),
        write("shifts_units"),
        write("shifts_open"),
    ]
    if not found.shared:
        sentences.append(write("shifts_own"))
    return paragraph(sentences)


def edge_exhibits(results: Results, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """The table of optima at an edge, for the objective; none if there is no such optimum.

    Args:
        results: The study; without a search there is no exhibit.
        where: Sweep axes and their values.
    """
    if ranking_measure(results) is None or not results.design.search:
        return
    frame = edges(results, where=where)
    if frame.empty:
        return
    names = ("edges_sure", "edges_unsure", "edges_winner", "edges_wider")
    caption = paragraph(write(name) for name in names)
    title = "Best at the edge of its range"
    yield Exhibit("edges", title, _format_edges(frame), caption, None, EDGE_TABLE_COLUMNS)


def _format_edges(frame: pd.DataFrame) -> pd.DataFrame:
    """The edges with ``end_is winner_is best wider`` as text, each in its axis's unit."""
    ends = []
    winners = []
    intervals = []
    wider_ranges = []
    for row in frame.to_dict("records"):
        path = row["axis"]
        ends.append(f"{row['end']}, {format_value(path, row['bound'])}")
        winners.append(format_value(path, row["winner"]))
        intervals.append(format_range(path, row["low"], row["high"]))
        wider_ranges.append(format_range(path, row["wider_low"], row["wider_high"]))
    return frame.assign(end_is=ends, winner_is=winners, best=intervals, wider=wider_ranges)
