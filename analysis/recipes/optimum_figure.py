"""The figures of `analysis.recipes.optima`: where optima lie against sparsity, and what they were read from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from analysis import wording
from analysis.drawing.axes import log_density, make_panels, set_sparsity_ticks
from analysis.drawing.marks import add_legend, attach_hover_texts
from analysis.drawing.style import LINE_MARKERS, line_colours, project_style
from analysis.estimates.means import add_dense_points
from analysis.quantities import column_label, display_factor, line_name, measure_name
from analysis.recipes.responses import MIN_CONFIGURATIONS
from sparsetune.errors import SparsetuneError
from sparsetune.study.space import LogUniform

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.recipes.optima import Optima

PERCENT_AXES = ("sparsity.ramp.start", "sparsity.ramp.length")
"""Axes that are drawn in percent of training."""
MARK_SPACING = 0.1
"""Distance between the marks of one sparsity, on the axis of log density."""


def axis_name(path: str) -> str:
    """A search axis in words."""
    words = wording.field_heading(path).removesuffix(" (%)")
    return f"{words} (% of training)" if path in PERCENT_AXES else words


def format_value(path: str, value: Any, low: Any = np.nan, high: Any = np.nan) -> str:
    """A value of a search axis in words, with its interval: ``0.11 [0.084, 0.13]``, ``10 [0, 50] %`` of training."""
    said = wording.format_interval(value, low, high, axis_factor(path), "{:.3g}")
    return f"{said} %" if said and path in PERCENT_AXES else said


def format_range(path: str, low: Any, high: Any) -> str:
    """A part of a search axis in words: ``0.056 to 0.19``, ``0 to 50 %`` of training."""
    factor = axis_factor(path)
    unit = " %" * (path in PERCENT_AXES)
    return (
        "" if pd.isna(low) or pd.isna(high) else f"{factor * low:.3g} to {factor * high:.3g}{unit}"
    )


def draw_optima(found: Optima) -> Figure:
    """Medians and intervals against sparsity: a column of panels per search axis, a row per arm, a line per length.

    Raises:
        SparsetuneError: if no cell has enough configurations.
    """
    frame, lines = _line_rows(found)
    if frame.empty:
        raise SparsetuneError(
            f"optima need a finished search of {MIN_CONFIGURATIONS} configurations in a cell: there is none"
        )
    axes = list(dict.fromkeys(frame["axis"]))
    arms = list(dict.fromkeys(frame["arm"]))
    palette = _palette(lines)
    with project_style():
        grid = make_panels(len(axes) * len(arms), columns=len(axes), size=(3.1, 3.0), share=False)
        for panel, (arm, path) in zip(
            grid, ((arm, path) for arm in arms for path in axes), strict=True
        ):
            part = frame[(frame["arm"] == arm) & (frame["axis"] == path)]
            for rank, line in enumerate(lines):
                style = {"color": palette[line], "marker": LINE_MARKERS[rank % len(LINE_MARKERS)]}
                own = part[part["line"] == line].sort_values("sparsity")
                _draw_line(
                    panel,
                    own,
                    MARK_SPACING * (rank - (len(lines) - 1) / 2),
                    style,
                    line,
                    axis_factor(path),
                )
            _set_searched_range(panel, found, path)
            set_sparsity_ticks(panel.xaxis, frame["sparsity"])
            panel.set_xlim(*(log_density([0, frame["sparsity"].max()]) + np.array([-0.35, 0.35])))
            panel.set_title(
                axis_name(path) if len(arms) == 1 else f"{arm}: {axis_name(path).lower()}"
            )
            panel.set_xlabel(column_label("sparsity"))
            panel.tick_params(labelbottom=True)
        for panel in grid[:: len(axes)]:
            panel.set_ylabel(f"Best for {measure_name(found.y).lower()}")
        return _add_legend(grid, lines)


def draw_response(found: Optima, path: str) -> Figure:
    """What one axis's optima were read from: ``y`` of every configuration against it, a panel per cell."""
    frame, lines = _line_rows(found)
    frame = frame[frame["axis"] == path]
    sparsities = sorted(set(frame["sparsity"]))
    arms = list(dict.fromkeys(frame["arm"]))
    rows = [(arm, line) for arm in arms for line in lines]
    with project_style():
        grid = make_panels(
            len(rows) * len(sparsities), columns=len(sparsities), size=(2.6, 2.3), share=False
        )
        wanted = [(arm, line, s) for arm, line in rows for s in sparsities]
        for number, (panel, (arm, line, sparsity)) in enumerate(zip(grid, wanted, strict=True)):
            own = frame[
                (frame["arm"] == arm) & (frame["line"] == line) & (frame["sparsity"] == sparsity)
            ]
            panel.set_visible(len(own) > 0)
            for row in own.to_dict("records"):
                _draw_points(panel, found, row, path)
            name = ", ".join(part for part in (arm if len(arms) > 1 else "", line) if part)
            panel.set_title(
                ", ".join(part for part in (line_name("sparsity.target", sparsity), name) if part)
            )
            _set_searched_range(panel, found, path, vertical=False)
            if number % len(sparsities) == 0:
                panel.set_ylabel(column_label(found.y))
            panel.tick_params(labelbottom=number >= len(wanted) - len(sparsities))
        for panel in grid[-len(sparsities) :]:
            panel.set_xlabel(axis_name(path))
        return cast("Figure", grid[0].get_figure(root=True))


def _line_rows(found: Optima) -> tuple[pd.DataFrame, list[str]]:
    """The located rows with ``sparsity`` and the name of their ``line``, dense ones in every arm; the lines' names."""
    frame = found.frame().dropna(subset="value").set_index("cell", drop=False)
    others = [name for name in map(str, found.cells) if "." in name and name != "sparsity.target"]
    frame = frame.sort_values(others, kind="stable")
    names = [[line_name(path, row[path]) for path in others] for row in frame.to_dict("records")]
    frame = frame.assign(
        line=[", ".join(filter(None, parts)) for parts in names], sparsity=frame["sparsity.target"]
    )
    return add_dense_points(frame), list(dict.fromkeys(frame["line"]))


def _palette(lines: Sequence[str]) -> dict[str, Any]:
    ranked = line_colours(range(len(lines)), "schedule.epoch_multiplier")
    return {line: ranked[rank] for rank, line in enumerate(lines)}


def _draw_line(
    panel: Axes, part: pd.DataFrame, aside: float, style: dict[str, Any], name: str, factor: float
) -> None:
    """One line, broken where nothing is located: those marks are hollow and their bars faint."""
    x = log_density(part["sparsity"]) + aside
    columns = ("value", "low", "high", "flat_low", "flat_high")
    values, low, high, *flat = (
        factor * part[column].to_numpy(dtype=np.float64) for column in columns
    )
    lost = part["verdict"].eq("not located").to_numpy()
    told: Any = np.array([_hover_text(row) for row in part.to_dict("records")], dtype=object)
    (kept,) = panel.plot(
        x, np.where(lost, np.nan, values), linewidth=1.3, markersize=5, label=name or None, **style
    )
    colour = style["color"]
    marker = style["marker"]
    faint = {"color": colour, "markerfacecolor": "white", "markersize": 5, "alpha": 0.45}
    (hollow,) = panel.plot(x[lost], values[lost], marker, **faint)
    attach_hover_texts(kept, told)
    attach_hover_texts(hollow, told[lost])
    panel.vlines(x, *flat, color=colour, linewidth=5, alpha=0.16)
    for k in range(len(part)):
        panel.vlines(
            x[k], low[k], high[k], color=colour, linewidth=1.1, alpha=0.3 if lost[k] else 0.9
        )
    verdicts = part["verdict"].to_numpy()
    for ends, end, sign in ((low, "at most", "v"), (high, "at least", "^")):
        (at,) = panel.plot(
            x[verdicts == end], ends[verdicts == end], sign, color=colour, markersize=5
        )
        attach_hover_texts(at, told[verdicts == end])


def _hover_text(row: dict[Any, Any]) -> str:
    """What an optimum says when pointed at."""
    found = format_value(row["axis"], row["value"], row["low"], row["high"])
    return wording.hover_text(
        f"{line_name('sparsity.target', row['sparsity'])}, {row['line']}",
        found,
        row["n"],
        row["verdict"],
    )


def _draw_points(panel: Axes, found: Optima, row: dict[Any, Any], path: str) -> None:
    """Configurations of one cell, the worst and diverged ones at the top, and the optimum's interval behind them."""
    points = found.response(row["cell"])
    points = points[points["axis"] == path]
    factor = axis_factor(path)
    x = factor * points["x"].to_numpy(dtype=np.float64)
    y = display_factor(found.y) * points["value"].to_numpy(dtype=np.float64)
    middle = np.nanmedian(y)
    worst = np.nanquantile(y, 0.85)
    beyond = (
        np.isnan(y) | (y > worst) if middle - np.nanmin(y) <= np.nanmax(y) - middle else np.isnan(y)
    )
    faint = 0.12 if row["verdict"] == "not located" else 0.25
    panel.axvspan(
        factor * row["low"], factor * row["high"], color="#0055aa", alpha=faint, linewidth=0
    )
    (near,) = panel.plot(x[~beyond], y[~beyond], "o", color="#333333", markersize=3.2, alpha=0.7)
    (far,) = panel.plot(
        x[beyond], np.full(beyond.sum(), worst), "^", color="#cc3311", markersize=3.5, alpha=0.8
    )
    reached = zip(
        x, np.where(np.isnan(y), "diverged", [f"{value:.4g}" for value in y]), strict=True
    )
    told: Any = np.array(
        [wording.hover_text(f"{axis_name(path)}: {at:.3g}", said) for at, said in reached],
        dtype=object,
    )
    attach_hover_texts(near, told[~beyond])
    attach_hover_texts(far, told[beyond])


def axis_factor(path: str) -> float:
    """What a value of a search axis is multiplied with before it is drawn or printed."""
    return 100.0 if path in PERCENT_AXES else 1.0


def _set_searched_range(panel: Axes, found: Optima, path: str, vertical: bool = True) -> None:
    """The searched range from edge to edge, on its own scale."""
    ranges = [axis for (_, name), axis in found.ranges.items() if name == path]
    low = min(axis.low for axis in ranges)
    high = max(axis.high for axis in ranges)
    logarithmic = all(isinstance(axis, LogUniform) for axis in ranges)
    room = (high / low) ** 0.04 if logarithmic else 0.04 * (high - low)
    ends = (low / room, high * room) if logarithmic else (low - room, high + room)
    ends = (axis_factor(path) * ends[0], axis_factor(path) * ends[1])
    if logarithmic:
        (panel.set_yscale if vertical else panel.set_xscale)("log")
        _set_log_ticks(panel.yaxis if vertical else panel.xaxis, high / low)

    (panel.set_ylim if vertical else panel.set_xlim)(*ends)


def _set_log_ticks(axis: Any, ratio: float) -> None:
    """Plain numbers: 1, 2 and 5 of each decade where there are few decades; the style draws no mathematics."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 1000 else (1,)))
    text = (
        (lambda v, _: f"{v:.3g}")
        if ratio < 1000
        else (lambda v, _: f"1e{round(np.log10(v))}" if v < 1 else f"{v:g}")
    )
    axis.set_major_formatter(FuncFormatter(text))
    axis.set_minor_formatter(NullFormatter())


def _add_legend(grid: Sequence[Axes], lines: Sequence[str]) -> Figure:
    if grid[0].get_legend_handles_labels()[1] and len(lines) > 1:
        return add_legend(grid[:1], "Epochs")
    return cast("Figure", grid[0].get_figure(root=True))
