"""Figures of published results: that of arXiv 2308.02060 redrawn, training length, and points over a study's curve."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.drawing.axes import log_density, make_panels, set_sparsity_ticks, set_x_axis
from analysis.drawing.marks import add_legend
from analysis.drawing.style import ARM_COLOURS, LINE_MARKERS, line_colours, project_style
from analysis.exhibit import Exhibit
from analysis.quantities import column_label, display_factor, line_name
from analysis.references import references

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.references import Overlay

PAPER_CAPTION = "arXiv 2308.02060, digitised (error about 0.03 points; method inferred)"
SERIES_MARKERS = "os^vP<>p"
BEST_MARKER = "*"
DIGITISED_MARKER = "D"
"""Marks of published points: by series, and those kept for the best of a sweep and for what was read off a figure."""
STRETCH_LABELS = {
    "1x": "1x",
    "2x LR held at final": "2x, rate held at its end",
    "2x LR stretched": "2x, rate stretched",
}


def exhibits() -> Iterator[Exhibit]:
    """What is published, as a report shows it on request; it is not a study's."""
    paper = paper_points()
    length = length_points()
    stretch = stretch_points()
    caption = f"{PAPER_CAPTION}. Top-1 accuracy over training epochs, a line per sparsity; large: the best budget of each line,"
    caption += (
        " at its right end where the line still rises. n is not known, so there are no intervals."
    )
    yield Exhibit("paper", "The figure of arXiv 2308.02060", paper, caption, paper_figure)
    caption = "Published networks trained for longer, schedule stretched, each from its source's own recipe: only points"
    caption += " of one line may be compared. Bars: standard deviation over 3 seeds, where published; else single runs."
    yield Exhibit(
        "published-length",
        "Published: training for longer",
        length,
        caption,
        partial(length_figure, length),
    )
    caption = "Networks trained from scratch under a fixed mask for one or two times the steps (Gale et al. 2019), top-1"
    caption += " gained over 1x; means of 9 seeds, bars: two standard errors of the difference."
    yield Exhibit(
        "published-stretch",
        "Published: what stretching buys",
        stretch,
        caption,
        partial(stretch_figure, stretch),
    )


def paper_points() -> pd.DataFrame:
    """The digitised points: ``sparsity epochs value best``, the last true where a line is highest."""
    points = references("ResNet50/ImageNet")
    points = points[points["digitised"]].sort_values(["sparsity", "epochs"], ignore_index=True)
    highest = points.groupby("sparsity")["value"].transform("max")
    return points.assign(best=points["value"] == highest)[
        ["sparsity", "epochs", "value", "best", "source"]
    ]


def paper_figure() -> Figure:
    """The figure of arXiv 2308.02060 from its digitised points: top-1 over epochs, each line's best budget large."""
    points = paper_points()
    palette = line_colours(points["sparsity"], "sparsity.target")
    with project_style():
        (axis,) = make_panels(1, size=(5.4, 4.2))
        for rank, (sparsity, line) in enumerate(points.groupby("sparsity")):
            style = {"color": palette[sparsity], "marker": LINE_MARKERS[rank]}
            best = line[line["best"]]
            axis.plot(line["epochs"], 100 * line["value"], linewidth=1.5, markersize=5, **style)
            longest = best["epochs"].iloc[0] == line["epochs"].max()
            at = f"{best['epochs'].iloc[0]:g} epochs{' or more' if longest else ''}"
            name = f"{line_name('sparsity.target', sparsity)}: best at {at}"
            axis.plot(
                best["epochs"],
                100 * best["value"],
                markersize=11,
                markeredgecolor="white",
                label=name,
                **style,
            )
        set_x_axis(axis, "epochs", [16, 32, 56, 100, 250, 500])
        axis.set_ylabel("Top-1 accuracy (%)")
        axis.set_title(
            PAPER_CAPTION.replace(" (", "\n("), fontsize=8.5, loc="left", color="#555555"
        )
        return add_legend([axis], "Sparsity")


def length_points() -> pd.DataFrame:
    """Published scores at several lengths of one recipe: ``line sparsity epochs value sd source``."""
    rigl = references("ResNet50/ImageNet", "RigL", "ERK")
    checkpoint = rigl["source"].eq("google-research/rigl README") & rigl["sparsity"].eq(0.99)
    parts = {
        "RigL, ERK": rigl[rigl["source"].str.startswith("RigL paper") | checkpoint],
        "AC/DC, uniform": references("ResNet50/ImageNet", "AC/DC", "uniform(first+last dense)"),
        "dense (FFCV)": references("ResNet50/ImageNet", "Dense FFCV"),
    }
    rows = pd.concat([part.assign(line=name) for name, part in parts.items()])
    rows = rows[["line", "sparsity", "epochs", "value", "sd", "seeds", "source"]]
    return rows.sort_values(["line", "sparsity", "epochs"], kind="stable", ignore_index=True)


def length_figure(points: pd.DataFrame) -> Figure:
    """Top-1 over epochs, a panel per source, a line per sparsity."""
    lines = ["RigL, ERK", "AC/DC, uniform", "dense (FFCV)"]
    palette = line_colours(points["sparsity"], "sparsity.target")
    with project_style():
        axes = make_panels(len(lines), size=(3.3, 3.4))
        for axis, line in zip(axes, lines, strict=True):
            part = points[points["line"] == line]
            for rank, (sparsity, colour) in enumerate(palette.items()):
                own = part[part["sparsity"] == sparsity]
                style = {
                    "color": colour,
                    "marker": LINE_MARKERS[rank % len(LINE_MARKERS)],
                    "markersize": 5,
                    "linewidth": 1.4,
                }
                bars = np.nan_to_num(100 * own["sd"].to_numpy(np.float64))
                if len(own):
                    name = line_name("sparsity.target", sparsity)
                    axis.errorbar(
                        own["epochs"], 100 * own["value"], bars, capsize=2, label=name, **style
                    )
            set_x_axis(axis, "epochs", [16, 32, 100, 500, 2000, 10000])
            axis.set_title(line)
        axes[0].set_ylabel("Top-1 accuracy (%)")
        names = [line_name("sparsity.target", sparsity) for sparsity in palette]
        return add_legend(axes, "Sparsity", names)


def stretch_points() -> pd.DataFrame:
    """What twice the steps gain under a fixed mask: ``sparsity length gain low high n``, +- two standard errors."""
    rows = references("ResNet50/ImageNet", "Static GMP-mask from scratch")
    one = rows[rows["length"] == "1x"].set_index("sparsity")
    twice = rows[rows["length"] != "1x"]
    base = one.loc[twice["sparsity"]].reset_index(drop=True)
    twice = twice.reset_index(drop=True)
    seeds = twice["seeds"].astype("float64")
    error = np.sqrt((twice["sd"] ** 2 + base["sd"] ** 2) / seeds)
    gain = twice["value"] - base["value"]
    frame = twice[["sparsity", "length"]].assign(
        gain=gain, low=gain - 2 * error, high=gain + 2 * error, n=twice["seeds"]
    )
    return frame.assign(source=twice["source"])


def stretch_figure(points: pd.DataFrame) -> Figure:
    """Gain of twice the steps over sparsity: learning rate stretched, and held at its last value."""
    with project_style():
        (axis,) = make_panels(1, size=(4.8, 3.6))
        axis.axhline(0, color="#555555", linewidth=1)
        for rank, length in enumerate(("2x LR stretched", "2x LR held at final")):
            part = points[points["length"] == length]
            ends = 100 * np.stack([part["gain"] - part["low"], part["high"] - part["gain"]])
            style: dict[str, Any] = {
                "color": ARM_COLOURS[rank],
                "marker": LINE_MARKERS[rank],
                "markersize": 5,
                "capsize": 2,
            }
            axis.errorbar(
                log_density(part["sparsity"]),
                100 * part["gain"],
                ends,
                label=STRETCH_LABELS[length],
                **style,
            )
        axis.set_xticks(
            log_density(sorted(set(points["sparsity"]))),
            [f"{100 * s:g}" for s in sorted(set(points["sparsity"]))],
        )
        axis.set_xlabel(column_label("sparsity"))
        axis.set_ylabel("Top-1 gained over 1x (points)")
        return add_legend([axis], "Trained for")


def draw_overlay(overlay: Overlay, ax: Axes | None = None) -> Figure:
    """A study's curve with published points in every panel, hollow; a second legend names them."""
    from matplotlib.lines import Line2D

    with project_style():
        figure = overlay.curve.plot(ax)
        styles = _styles(overlay.points)
        for axis in [ax] if ax else figure.axes:
            for series, part in overlay.points.groupby("series", sort=False):
                x = log_density(part["x"]) if overlay.curve.x == "sparsity" else part["x"]
                axis.plot(x, display_factor(overlay.curve.y) * part["value"], **styles[str(series)])
            _extend_axes(axis, overlay)
        handles = [Line2D([], [], label=name, **style) for name, style in styles.items()]
        title = "Published" + (": not one baseline, see the caption" if overlay.warnings() else "")
        if ax:
            ax.add_artist(ax.legend())  # the curve's own, which a second one would replace
            ax.legend(handles=handles, title=title, loc="lower left", fontsize=7)
        else:
            figure.set_figheight(figure.get_figheight() + 0.35 + 0.19 * len(handles))
            figure.legend(
                handles=handles, title=title, alignment="left", fontsize=8, loc="outside lower left"
            )
        return figure


def _styles(points: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Of each series: hollow marks, thin dotted lines, colours from the end that arms take last."""
    styles = {}
    for rank, (name, part) in enumerate(points.groupby("series", sort=False)):
        colour = ARM_COLOURS[::-1][rank % len(ARM_COLOURS)]
        marker = (
            DIGITISED_MARKER
            if part["digitised"].all()
            else BEST_MARKER
            if part["best_of_sweep"].all()
            else SERIES_MARKERS[rank % 8]
        )
        size = 9 if marker == BEST_MARKER else 6
        line = {"color": colour, "linestyle": ":", "linewidth": 1, "markersize": size}
        styles[str(name)] = {
            **line,
            "marker": marker,
            "markerfacecolor": "none",
            "markeredgewidth": 1.2,
        }
    return styles


def _extend_axes(axis: Axes, overlay: Overlay) -> None:
    """Limits and ticks that hold the published points too."""
    values = display_factor(overlay.curve.y) * overlay.points["value"]
    low, high = axis.get_ylim()
    axis.set_ylim(min(low, values.min() - 1), max(high, min(99.9, values.max() + 0.5)))
    if overlay.curve.x == "sparsity":
        set_sparsity_ticks(
            axis.xaxis, [*overlay.curve.frame()["sparsity"], *overlay.points["x"].round(2)]
        )
    else:
        set_x_axis(axis, "epochs", sorted({*overlay.curve.frame()["epochs"], *overlay.points["x"]}))
