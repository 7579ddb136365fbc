"""Drawing in the plane of ramp start and ramp end: configurations coloured by their value, contours of a surface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from analysis.drawing.axes import make_panels
from analysis.drawing.style import project_style
from analysis.quantities import column_label, display_factor, line_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.ramps.atlas import Atlas

CONTOUR_LEVELS = 4
"""Contours of a surface."""


def draw_ramp_points(
    axis: Axes, part: pd.DataFrame, factor: float, high: bool
) -> tuple[pd.DataFrame, Any]:
    """Configurations coloured by ``value``, the worst tenth alike, the ``best`` on top; those without one as crosses.

    Args:
        axis: Where to draw.
        part: One row per configuration: ``ramp_start ramp_end value best``, ramps in fractions of training.
        factor: What values are multiplied with.
        high: Whether high values are good.

    Returns:
        The rows that have a value, as they were drawn, and the collection for a colour bar.
    """
    known = part[part["value"].notna()]
    lost = part[part["value"].isna()]
    known = known.iloc[::-1].sort_values(
        "best", kind="stable"
    )  # the best on top of who shares its ramp
    values = factor * known["value"].astype("float64")
    limits: dict[str, Any] = {
        "vmin": values.quantile(0.1 * high),
        "vmax": values.quantile(1 - 0.1 * (not high)),
    }
    axis.plot(
        100 * lost["ramp_start"],
        100 * lost["ramp_end"],
        "x",
        color="#999999",
        markersize=4,
        label="diverged",
    )
    place = (100 * known["ramp_start"], 100 * known["ramp_end"])
    drawn = axis.scatter(
        *place, c=values, cmap="viridis" if high else "viridis_r", s=18, linewidths=0, **limits
    )
    return known, drawn


def draw_ramp_best(axis: Axes, known: pd.DataFrame, name: str) -> None:
    """A star around the ``best``."""
    best = known[known["best"]]
    star: dict[str, Any] = {
        "marker": "*",
        "s": 150,
        "facecolors": "none",
        "edgecolors": "black",
        "linewidths": 1.0,
    }
    axis.scatter(100 * best["ramp_start"], 100 * best["ramp_end"], label=name, zorder=3, **star)


def draw_atlas(found: Atlas) -> Figure:
    """A panel per cell: its configurations, the best, and contours where the surface supports them."""
    frame = found.frame()
    cells = list(dict.fromkeys(frame["cell"]))
    high = not found.lower_is_better
    with project_style():
        axes = make_panels(len(cells), size=(3.7, 3.1))
        figure = cast("Figure", axes[0].get_figure(root=True))
        for cell, axis in zip(cells, axes, strict=True):
            part = frame[frame["cell"] == cell]
            known, drawn = draw_ramp_points(axis, part, display_factor(found.y), high)
            draw_ramp_best(axis, known, "best measured")
            _contours(axis, found, cell)
            axis.set_title(_title(found, part.iloc[0].to_dict()))
            axis.tick_params(labelbottom=True)
            bar = figure.colorbar(drawn, ax=axis, extend="min" if high else "max", aspect=25)
            bar.set_label(column_label(found.y), fontsize=9)
        columns = min(3, len(cells))
        for axis in axes[::columns]:
            axis.set_ylabel("Ramp ends at (% of training)")
        for axis in axes[-columns:]:
            axis.set_xlabel("Ramp starts at (% of training)")
        return _add_legend(figure)


def _contours(axis: Axes, found: Atlas, cell: str) -> None:
    """The modelled value, on average over the other axes, as labelled lines inside what was searched."""
    plane = found.planes.get(cell)
    if plane is None:
        return
    start = 100 * plane.start
    end = 100 * plane.end
    corners = (0, 0, -1, -1, 0), (0, -1, -1, 0, 0)
    axis.plot(start[corners], end[corners], color="#bbbbbb", linewidth=0.8, zorder=0)
    if not plane.supported:
        return
    value = display_factor(found.y) * plane.value
    levels = np.linspace(value.min(), value.max(), CONTOUR_LEVELS + 2)[1:-1]
    lines = axis.contour(start, end, value, levels=levels, colors="#444444", linewidths=0.8)
    axis.clabel(lines, fmt="%.3g", fontsize=7)


def _title(found: Atlas, row: dict[Any, Any]) -> str:
    parts = [line_name(path, row[path]) for path in found.sweep]
    arm = str(row["arm"]) if found.frame()["arm"].nunique() > 1 else ""
    return ", ".join(part for part in (arm, *parts) if part)


def _add_legend(figure: Figure) -> Figure:
    known: dict[str, Any] = {}
    for axis in figure.axes:
        handles, names = axis.get_legend_handles_labels()
        known |= {
            n: h
            for n, h in zip(names, handles, strict=True)
            if n != "diverged" or len(cast("Any", h).get_xdata())
        }
    figure.legend(
        list(known.values()), list(known), loc="outside lower center", ncols=max(1, len(known))
    )
    return figure
