"""Figure of the luck in a search: its winners there and on fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsetune.errors import SparsetuneError

from ... import wording
from ...drawers import draws
from ...drawing.axes import make_panels
from ...drawing.line_styles import row_colours
from ...drawing.marks import (
    LEARNED_NOTHING,
    LEARNED_NOTHING_STYLE,
    add_legend,
    attach_hover_texts,
    draw_key,
    has_learned_nothing,
)
from ...drawing.style import NEUTRAL_COLOUR, project_style
from .optimism import Optimism

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@draws(Optimism)
def draw_optimism(found: Optimism) -> Figure:
    """Draw a line per cell, the first on top, from the value in the search to that on fresh seeds.

    The search's value is hollow; the mean over fresh seeds is filled and has bars. The colour tells
    the arm.

    Raises:
        SparsetuneError: if no winner of a search was run again.
    """
    frame = found.frame()
    if frame.empty:
        raise SparsetuneError(
            "how much of the best is luck needs a search and report trials of its winner:"
            " there are none"
        )
    factor = found.y.factor
    names = [_cell_label(row) for row in frame.to_dict("records")]
    frame = frame.assign(height=np.arange(len(frame))[::-1], colour=row_colours(frame))
    style: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5}
    hollow: dict[str, Any] = {**style, "markerfacecolor": "white"}
    with project_style():
        (axis,) = make_panels(1, size=(5.6, 0.7 + 0.26 * len(frame)))
        ends = (factor * frame["search"], factor * frame["report"])
        axis.hlines(frame["height"], *ends, color="#bbbbbb", linewidth=1.2, zorder=1)
        frame = frame.assign(is_lost=has_learned_nothing(frame))
        for (colour, is_lost), part in frame.groupby(["colour", "is_lost"], sort=False):
            rows = part.to_dict("records")
            bar_ends = np.stack([part["report"] - part["low"], part["high"] - part["report"]])
            bars = axis.errorbar(
                factor * part["report"],
                part["height"],
                xerr=np.nan_to_num(factor * bar_ends),
                elinewidth=1,
                capsize=2,
                color=colour,
                **(LEARNED_NOTHING_STYLE if is_lost else style),
            )
            (marks,) = axis.plot(factor * part["search"], part["height"], color=colour, **hollow)
            attach_hover_texts(bars, [_report_hover_text(row, factor) for row in rows])
            attach_hover_texts(marks, [_search_hover_text(row, factor) for row in rows])
        draw_key(axis, "on fresh seeds", color=NEUTRAL_COLOUR, **style)
        draw_key(axis, "in the search", color=NEUTRAL_COLOUR, **hollow)
        if frame["is_lost"].any():
            draw_key(axis, LEARNED_NOTHING, color=NEUTRAL_COLOUR, **LEARNED_NOTHING_STYLE)
        axis.set_yticks(frame["height"], names)
        axis.set_ylim(-0.7, len(frame) - 0.3)
        axis.grid(visible=False, axis="y")
        axis.set_xlabel(found.y.label)
        return add_legend([axis])


def _report_hover_text(row: Mapping[Any, Any], factor: float) -> str:
    """Text of a mean over fresh seeds when pointed at."""
    value = wording.format_interval(row["report"], row["low"], row["high"], factor)
    luck = wording.format_interval(row["luck"], row["luck_low"], row["luck_high"], factor)
    return wording.hover_text(_cell_label(row), value, row["n"], f"luck {luck}")


def _search_hover_text(row: Mapping[Any, Any], factor: float) -> str:
    """Text of a value in the search when pointed at."""
    found = f"best of {row['configurations']}: {factor * row['search']:.4g}"
    return wording.hover_text(_cell_label(row), found)


def _cell_label(row: Mapping[Any, Any]) -> str:
    """Name of a cell: ``gmp, 98 %, 8 epochs``, with the values of other sweep axes."""
    parts = ["dense" if row["sparsity"] == 0 else f"{row['arm']}, {100 * row['sparsity']:.10g} %"]
    for path, value in row.items():
        is_known = value == value  # NaN if the axis does not apply to the cell
        if "." in path and is_known:
            parts.append(f"{path.rpartition('.')[2]} {value}")
    parts.append(f"{row['epochs']:g} epochs")
    return ", ".join(parts)
