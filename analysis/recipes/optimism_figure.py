"""Drawing what a search saw of its winners beside what fresh seeds show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis import wording
from analysis.drawing.axes import make_panels
from analysis.drawing.marks import add_legend, attach_hover_texts
from analysis.drawing.style import ARM_COLOURS, project_style
from analysis.quantities import column_label, display_factor
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.recipes.optimism import Optimism


def draw_optimism(found: Optimism) -> Figure:
    """A line per cell, the first on top: hollow the search's value, filled with bars the mean over fresh seeds.

    Raises:
        SparsetuneError: if no winner of a search was run again.
    """
    frame = found.frame()
    factor = display_factor(found.y)
    if frame.empty:
        raise SparsetuneError(
            "how much of the best is luck needs a search and report trials of its winner: there are none"
        )
    names = [_cell_label(row) for row in frame.to_dict("records")]
    places = np.arange(len(frame))[::-1]
    with project_style():
        (axis,) = make_panels(1, size=(5.6, 0.7 + 0.26 * len(frame)))
        ends = factor * np.stack([frame["report"] - frame["low"], frame["high"] - frame["report"]])
        report = factor * frame["report"]
        search = factor * frame["search"]
        axis.hlines(places, search, report, color="#bbbbbb", linewidth=1.2, zorder=1)
        style: dict[str, Any] = {
            "linestyle": "none",
            "marker": "o",
            "markersize": 5,
            "color": ARM_COLOURS[0],
        }
        bars = axis.errorbar(
            report,
            places,
            xerr=np.nan_to_num(ends),
            label="on fresh seeds",
            elinewidth=1,
            capsize=2,
            **style,
        )
        (best,) = axis.plot(search, places, label="in the search", markerfacecolor="white", **style)
        rows = list(zip(names, frame.to_dict("records"), strict=True))
        attach_hover_texts(bars, [_hover_text(name, row, factor) for name, row in rows])
        attach_hover_texts(
            best,
            [
                wording.hover_text(
                    name, f"best of {row['configurations']}: {factor * row['search']:.4g}"
                )
                for name, row in rows
            ],
        )
        axis.set_yticks(places, names)
        axis.set_ylim(-0.7, len(frame) - 0.3)
        axis.grid(visible=False, axis="y")
        axis.set_xlabel(column_label(found.y))
        return add_legend([axis])


def _hover_text(name: str, row: dict[Any, Any], factor: float) -> str:
    luck = wording.format_interval(row["luck"], row["luck_low"], row["luck_high"], factor)
    return wording.hover_text(
        name,
        wording.format_interval(row["report"], row["low"], row["high"], factor),
        row["n"],
        f"luck {luck}",
    )


def _cell_label(row: dict[Any, Any]) -> str:
    sparsity = "dense" if row["sparsity"] == 0 else f"{row['arm']}, {100 * row['sparsity']:.10g} %"
    others = (
        f"{path.rpartition('.')[2]} {row[path]}"
        for path in row
        if "." in path and row[path] == row[path]
    )
    return ", ".join([sparsity, *others, f"{row['epochs']:g} epochs"])
