"""Figures of published results: arXiv 2308.02060 redrawn, training length, and overlays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..drawers import draws
from ..drawing.axes import log_density, make_panels, set_sparsity_axis, set_x_axis
from ..drawing.line_styles import SPARSITY_FIELD, LineStyles, shades
from ..drawing.marks import add_legend
from ..drawing.style import ARM_COLOURS, LINE_MARKERS, NEUTRAL_COLOUR, project_style
from ..quantities import line_name
from .overlay import Overlay
from .published import paper_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER_CAPTION = "arXiv 2308.02060, digitised (error about 0.03 points; method inferred)"
PAPER_TICKS = [16, 32, 56, 100, 250, 500]
LENGTH_TICKS = [16, 32, 100, 500, 2000, 10000]
SERIES_MARKERS = "os^vP<>p"
"""Marks of published points, by series."""
BEST_MARKER = "*"
"""Mark of a series that is the best of a sweep."""
DIGITISED_MARKER = "D"
"""Mark of a series that was read off a figure."""
LENGTH_LINE_STYLES = ("-", "--")
"""Line style of each of `STRETCH_LABELS`."""
STRETCH_LABELS = {
    "2x LR stretched": "2x, rate stretched",
    "2x LR held at final": "2x, rate held at its end",
}
MAX_SHOWN_PERCENT = 99.9
"""Upper limit of an axis of accuracies to which published points extend it."""


def paper_figure() -> Figure:
    """Redraw the figure of arXiv 2308.02060 from its digitised points: top-1 over epochs.

    There is a line per sparsity, whose best budget is large.
    """
    points = paper_points()
    palette = shades(ARM_COLOURS[0], points["sparsity"], SPARSITY_FIELD)
    with project_style():
        (axis,) = make_panels(1, size=(5.4, 4.2))
        for rank, (sparsity, line) in enumerate(points.groupby("sparsity")):
            style: dict[str, Any] = {"color": palette[sparsity], "marker": LINE_MARKERS[rank]}
            axis.plot(line["epochs"], 100 * line["value"], linewidth=1.5, markersize=5, **style)
            best = line[line["best"]]
            epochs = best["epochs"].iloc[0]
            is_longest = epochs == line["epochs"].max()
            budget = f"{epochs:g} epochs{' or more' if is_longest else ''}"
            name = f"{line_name('sparsity.target', sparsity)}: best at {budget}"
            large: dict[str, Any] = {"markersize": 11, "markeredgecolor": "white", "label": name}
            axis.plot(best["epochs"], 100 * best["value"], **large, **style)
        set_x_axis(axis, "epochs", PAPER_TICKS)
        axis.set_ylabel("Top-1 accuracy (%)")
        source = PAPER_CAPTION.replace(" (", "\n(")
        axis.set_title(source, fontsize=8.5, loc="left", color="#555555")
        return add_legend([axis], "Sparsity")


def length_figure(points: pd.DataFrame) -> Figure:
    """Draw top-1 over epochs, a panel per recipe, a line per sparsity.

    Args:
        points: Rows of `length_points`.
    """
    recipes = ["RigL, ERK", "AC/DC, uniform", "dense (FFCV)"]
    points = points[points["line"].isin(recipes)]
    styles = LineStyles(points.assign(arm=points["line"]), points["sparsity"], SPARSITY_FIELD)
    with project_style():
        axes = make_panels(len(recipes), size=(3.3, 3.4))
        for axis, recipe in zip(axes, recipes, strict=True):
            _draw_length_lines(axis, points[points["line"] == recipe], styles)
            set_x_axis(axis, "epochs", LENGTH_TICKS)
            axis.set_title(recipe, **styles.title(recipe))
        axes[0].set_ylabel("Top-1 accuracy (%)")
        names = styles.draw_keys(axes[-1], markersize=5, linewidth=1.4)
        return add_legend(axes, "Sparsity", names)


def _draw_length_lines(axis: Axes, points: pd.DataFrame, styles: LineStyles) -> None:
    """Draw a line per sparsity of one recipe; bars are standard deviations, if published."""
    for sparsity, own in points.groupby("sparsity"):
        style: dict[str, Any] = {
            **styles.line(str(own["line"].iloc[0]), sparsity),
            "markersize": 5,
            "linewidth": 1.4,
            "capsize": 2,
            "label": line_name("sparsity.target", sparsity),
        }
        # Without a published deviation there is a bar of length 0.
        bars = np.nan_to_num(100 * own["sd"].to_numpy(np.float64))
        axis.errorbar(own["epochs"], 100 * own["value"], bars, **style)


def stretch_figure(points: pd.DataFrame) -> Figure:
    """Draw the gain of twice the steps over sparsity: learning rate stretched, or held at its end.

    Args:
        points: Rows of `stretch_points`.
    """
    sparsities = sorted(set(points["sparsity"]))
    with project_style():
        (axis,) = make_panels(1, size=(4.8, 3.6))
        axis.axhline(0, color="#555555", linewidth=1)
        for rank, (length, label) in enumerate(STRETCH_LABELS.items()):
            part = points[points["length"] == length]
            ends = 100 * np.stack([part["gain"] - part["low"], part["high"] - part["gain"]])
            style: dict[str, Any] = {
                "color": NEUTRAL_COLOUR,
                "linestyle": LENGTH_LINE_STYLES[rank],
                "marker": LINE_MARKERS[rank],
                "markersize": 5,
                "capsize": 2,
                "label": label,
            }
            axis.errorbar(log_density(part["sparsity"]), 100 * part["gain"], ends, **style)
        set_sparsity_axis(axis.xaxis, sparsities)
        axis.set_ylabel("Top-1 gained over 1x (points)")
        return add_legend([axis], "Trained for")


@draws(Overlay)
def draw_overlay(overlay: Overlay, ax: Axes | None = None) -> Figure:
    """Draw a study's curve with published points in every panel, hollow.

    A second legend names the series.

    Args:
        overlay: The numbers.
        ax: Where to draw; a new figure by default.
    """
    from matplotlib.lines import Line2D

    with project_style():
        figure = overlay.curve.plot(ax)
        styles = _series_styles(overlay.points)
        for axis in figure.axes if ax is None else [ax]:
            _draw_series(axis, overlay, styles)
            _extend_axes(axis, overlay)
        handles = [Line2D([], [], label=name, **style) for name, style in styles.items()]
        title = "Published"
        if overlay.warnings():
            title += ": not one baseline, see the caption"
        if ax is not None:
            # A second legend would replace the curve's own, so that is kept as an artist.
            ax.add_artist(ax.legend())
            ax.legend(handles=handles, title=title, loc="lower left", fontsize=7)
        else:
            figure.set_figheight(figure.get_figheight() + 0.35 + 0.19 * len(handles))
            placed: dict[str, Any] = {"loc": "outside lower left", "alignment": "left"}
            figure.legend(handles=handles, title=title, fontsize=8, **placed)
        return figure


def _draw_series(axis: Axes, overlay: Overlay, styles: Mapping[str, Mapping[str, Any]]) -> None:
    """Draw the published points into one panel, a line per series."""
    factor = overlay.curve.y.factor
    for series, part in overlay.points.groupby("series", sort=False):
        x = log_density(part["x"]) if overlay.curve.x == "sparsity" else part["x"]
        style: Any = styles[str(series)]
        axis.plot(x, factor * part["value"], **style)


def _series_styles(points: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Style of each series: hollow marks on thin dotted lines.

    Colours begin at the end that arms take last.
    """
    styles = {}
    for rank, (name, part) in enumerate(points.groupby("series", sort=False)):
        marker = SERIES_MARKERS[rank % len(SERIES_MARKERS)]
        if part["best_of_sweep"].all():
            marker = BEST_MARKER
        if part["digitised"].all():
            marker = DIGITISED_MARKER
        styles[str(name)] = {
            "color": ARM_COLOURS[::-1][rank % len(ARM_COLOURS)],
            "linestyle": ":",
            "linewidth": 1,
            "markersize": 9 if marker == BEST_MARKER else 6,
            "marker": marker,
            "markerfacecolor": "none",
            "markeredgewidth": 1.2,
        }
    return styles


def _extend_axes(axis: Axes, overlay: Overlay) -> None:
    """Extend limits and ticks so that they hold the published points too."""
    values = overlay.curve.y.factor * overlay.points["value"]
    low, high = axis.get_ylim()
    highest = min(MAX_SHOWN_PERCENT, values.max() + 0.5)
    axis.set_ylim(min(low, values.min() - 1), max(high, highest))
    frame = overlay.curve.frame()
    if overlay.curve.x == "sparsity":
        sparsities = [*frame["sparsity"], *overlay.points["x"].round(2)]
        set_sparsity_axis(axis.xaxis, sparsities)
    else:
        set_x_axis(axis, "epochs", sorted({*frame["epochs"], *overlay.points["x"]}))
