"""Figures in the plane of ramp start and end: configurations by value, contours of a surface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from sparsetune.study.questions.words import arm_words

from ..drawers import draws
from ..drawing.axes import make_panels
from ..drawing.style import project_style
from ..quantities import line_name
from .atlas import Atlas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CONTOUR_LEVELS = 4
"""Contours of a surface."""
WORST_SHARE = 0.1
"""Share of the configurations, the worst ones, that have one colour."""
PANEL_COLUMNS = 3


def draw_ramp_points(
    axis: Axes, part: pd.DataFrame, factor: float, high: bool
) -> tuple[pd.DataFrame, Any]:
    """Draw configurations coloured by ``value``; those without one are crosses.

    The worst tenth has one colour, and the ``best`` is drawn last.

    Args:
        axis: Where to draw.
        part: One row per configuration: ``ramp_start ramp_end value best``, ramps in fractions of
            training.
        factor: Factor of the values.
        high: True if high values are good.

    Returns:
        The rows that have a value, as they were drawn, and the collection for a colour bar.
    """
    known = part[part["value"].notna()]
    lost = part[part["value"].isna()]
    # The best is on top of configurations that share its ramp.
    known = known.iloc[::-1].sort_values("best", kind="stable")
    values = factor * known["value"].astype("float64")
    # One failed ramp would otherwise take most of the colour scale.
    lowest = float(values.quantile(WORST_SHARE if high else 0))
    highest = float(values.quantile(1 if high else 1 - WORST_SHARE))
    crosses: dict[str, Any] = {"color": "#999999", "markersize": 4, "label": "diverged"}
    axis.plot(100 * lost["ramp_start"], 100 * lost["ramp_end"], "x", **crosses)
    drawn = axis.scatter(
        100 * known["ramp_start"],
        100 * known["ramp_end"],
        c=values,
        cmap="viridis" if high else "viridis_r",
        s=18,
        linewidths=0,
        vmin=lowest,
        vmax=highest,
    )
    return known, drawn


def draw_ramp_best(axis: Axes, known: pd.DataFrame, name: str) -> None:
    """Draw a star around the ``best``, which the legend calls ``name``."""
    best = known[known["best"]]
    star: dict[str, Any] = {
        "marker": "*",
        "s": 150,
        "facecolors": "none",
        "edgecolors": "black",
        "linewidths": 1.0,
    }
    axis.scatter(100 * best["ramp_start"], 100 * best["ramp_end"], label=name, zorder=3, **star)


@draws(Atlas)
def draw_atlas(found: Atlas) -> Figure:
    """Draw a panel per cell: its configurations, the best, and contours if they are supported."""
    frame = found.frame()
    cells = list(dict.fromkeys(frame["cell"]))
    high = not found.lower_is_better
    with project_style():
        axes = make_panels(len(cells), size=(3.7, 3.1))
        figure = cast("Figure", axes[0].get_figure(root=True))
        for cell, axis in zip(cells, axes, strict=True):
            part = frame[frame["cell"] == cell]
            known, drawn = draw_ramp_points(axis, part, found.y.factor, high)
            draw_ramp_best(axis, known, "best measured")
            _draw_contours(axis, found, cell)
            axis.set_title(_title(found, part.iloc[0].to_dict()))
            axis.tick_params(labelbottom=True)
            bar = figure.colorbar(drawn, ax=axis, extend="min" if high else "max", aspect=25)
            bar.set_label(found.y.label, fontsize=9)
        columns = min(PANEL_COLUMNS, len(cells))
        for axis in axes[::columns]:
            axis.set_ylabel("Ramp ends at (% of training)")
        for axis in axes[-columns:]:
            axis.set_xlabel("Ramp starts at (% of training)")
        return _add_legend(figure)


def _draw_contours(axis: Axes, found: Atlas, cell: str) -> None:
    """Draw the outline of the searched region, and labelled contours of a supported surface."""
    plane = found.planes.get(cell)
    if plane is None:
        return
    start = 100 * plane.start
    end = 100 * plane.end
    # Start and length span a rectangle, whose image in start and end is drawn.
    corners = ((0, 0, -1, -1, 0), (0, -1, -1, 0, 0))
    axis.plot(start[corners], end[corners], color="#bbbbbb", linewidth=0.8, zorder=0)
    if not plane.supported:
        return
    value = found.y.factor * plane.value
    levels = np.linspace(value.min(), value.max(), CONTOUR_LEVELS + 2)[1:-1]
    lines = axis.contour(start, end, value, levels=levels, colors="#444444", linewidths=0.8)
    axis.clabel(lines, fmt="%.3g", fontsize=7)


def _title(found: Atlas, row: Mapping[Any, Any]) -> str:
    """Title of a cell's panel: its arm, if there are several, and its sweep values."""
    has_several_arms = found.frame()["arm"].nunique() > 1
    parts = [arm_words(str(row["arm"]))] if has_several_arms else []
    parts += [line_name(path, row[path]) for path in found.sweep]
    return ", ".join(part for part in parts if part)


def _add_legend(figure: Figure) -> Figure:
    """Add a legend below the panels; ``diverged`` is in it only if something did."""
    handles: dict[str, Any] = {}
    for axis in figure.axes:
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
            drawn: Any = handle
            # Crosses are drawn even if there are none, which the legend must not name.
            if name != "diverged" or len(drawn.get_xdata()):
                handles[name] = handle
    columns = max(1, len(handles))
    names = list(handles)
    figure.legend(list(handles.values()), names, loc="outside lower center", ncols=columns)
    return figure
