"""Figures of optima: their position against sparsity, and the responses they were read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from sparsetune.errors import SparsetuneError
from sparsetune.study.questions.words import arm_words
from sparsetune.study.space import LogUniform

from ... import wording
from ...drawers import draws
from ...drawing.axes import log_density, make_panels, set_sparsity_axis
from ...drawing.line_styles import LineStyles, arm_styles
from ...drawing.marks import add_legend, attach_hover_texts
from ...drawing.style import DENSE_COLOUR, REGION_COLOUR, project_style
from ...estimates.means import add_dense_points
from ...quantities import line_name
from ..axis_text import axis_factor, axis_name, format_value
from ..responses import MIN_CONFIGURATIONS
from .optima import Optima

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARK_SPACING = 0.1
"""Distance between the marks of one sparsity, on the axis of log density."""
WORST_QUANTILE = 0.85
"""Values above this quantile are drawn at its height if they are far from the middle."""
RANGE_MARGIN = 0.04
"""Margin of a panel beyond the searched range, as a part of it on the axis's own scale."""
MAX_RATIO_WITH_MINOR_TICKS = 1000
"""Ratio of the ends of a logarithmic axis up to which 2 and 5 of each decade have ticks."""


@draws(Optima)
def draw_optima(found: Optima) -> Figure:
    """Draw medians and intervals against sparsity: a column of panels per search axis.

    There is a row of panels per arm, and a line per training length, the longer the darker.

    Raises:
        SparsetuneError: if no cell has enough configurations.
    """
    frame, lines = _line_rows(found)
    if frame.empty:
        raise SparsetuneError(
            f"optima need a finished search of {MIN_CONFIGURATIONS} configurations in a cell:"
            " there is none"
        )
    paths = list(dict.fromkeys(frame["axis"]))
    arms = list(dict.fromkeys(frame["arm"]))
    panels = [(arm, path) for arm in arms for path in paths]
    ranks = frame["line"].map(lines.index)
    styles = LineStyles(frame, ranks, None)
    right_end = log_density(frame["sparsity"].max())
    with project_style():
        grid = make_panels(len(panels), columns=len(paths), size=(3.1, 3.4), share=False)
        for axes, (arm, path) in zip(grid, panels, strict=True):
            part = frame[(frame["arm"] == arm) & (frame["axis"] == path)]
            _draw_lines(axes, part, lines, styles, axis_factor(path))
            _set_searched_range(axes, found, path)
            set_sparsity_axis(axes.xaxis, frame["sparsity"])
            axes.set_xlim(log_density(0) - 0.35, right_end + 0.35)
            alone = len(arms) == 1
            title = axis_name(path) if alone else f"{arm_words(arm)}: {axis_name(path).lower()}"
            axes.set_title(title, **styles.title(arm))
            axes.tick_params(labelbottom=True)
        for axes in grid[:: len(paths)]:
            axes.set_ylabel(f"Best on average for {found.y.phrase}")
        return _add_legend(grid, lines, styles)


def draw_response(found: Optima, path: str) -> Figure:
    """Draw ``y`` of every configuration against one search axis, a panel per cell.

    The optima of the axis were read from these values.
    """
    frame, lines = _line_rows(found)
    frame = frame[frame["axis"] == path]
    sparsities = sorted(set(frame["sparsity"]))
    arms = list(dict.fromkeys(frame["arm"]))
    panels = [(arm, line, s) for arm in arms for line in lines for s in sparsities]
    columns = len(sparsities)
    colours = arm_styles(frame)
    with project_style():
        grid = make_panels(len(panels), columns=columns, size=(2.6, 2.3), share=False)
        for number, (axes, (arm, line, sparsity)) in enumerate(zip(grid, panels, strict=True)):
            is_of_line = (frame["arm"] == arm) & (frame["line"] == line)
            own = frame[is_of_line & (frame["sparsity"] == sparsity)]
            # A cell without the axis keeps its place, so that columns of panels are sparsities.
            axes.set_visible(len(own) > 0)
            for row in own.to_dict("records"):
                _draw_points(axes, found, row, path, colours[arm]["color"])
            arm_name = arm_words(arm) if len(arms) > 1 else ""
            parts = [line_name("sparsity.target", sparsity), arm_name, line]
            axes.set_title(", ".join(part for part in parts if part))
            _set_searched_range(axes, found, path, vertical=False)
            if number % columns == 0:
                axes.set_ylabel(found.y.label)
            axes.tick_params(labelbottom=number >= len(panels) - columns)
        for axes in grid[-columns:]:
            axes.set_xlabel(axis_name(path))
        return cast("Figure", grid[0].get_figure(root=True))


def _line_rows(found: Optima) -> tuple[pd.DataFrame, list[str]]:
    """Rows with a value, with ``sparsity`` and the name of their ``line``, and the lines' names.

    Dense rows are in every arm.
    """
    frame = found.frame().dropna(subset="value").set_index("cell", drop=False)
    others = [name for name in map(str, found.cells) if "." in name and name != "sparsity.target"]
    frame = frame.sort_values(others, kind="stable")
    lines = []
    for row in frame.to_dict("records"):
        parts = [line_name(path, row[path]) for path in others]
        lines.append(", ".join(part for part in parts if part))
    frame = frame.assign(line=lines, sparsity=frame["sparsity.target"])
    return add_dense_points(frame), list(dict.fromkeys(lines))


def _draw_lines(
    axes: Axes, part: pd.DataFrame, lines: Sequence[str], styles: LineStyles, factor: float
) -> None:
    """Draw the lines of one panel, a little beside each other."""
    for rank, line in enumerate(lines):
        own = part[part["line"] == line].sort_values("sparsity")
        if own.empty:
            continue
        style = styles.line(str(own["arm"].iloc[0]), rank)
        offset = MARK_SPACING * (rank - (len(lines) - 1) / 2)
        _draw_line(axes, own, offset, style, line, factor)


def _draw_line(
    axes: Axes, part: pd.DataFrame, offset: float, style: dict[str, Any], name: str, factor: float
) -> None:
    """Draw one line, broken at optima that are not located: hollow marks with faint bars.

    Args:
        axes: Where to draw.
        part: Rows of `_line_rows`, one per mark.
        offset: Distance of the marks from their sparsity.
        style: Colour and marker.
        name: Name in the legend; empty for none.
        factor: Factor of the values.
    """
    x = log_density(part["sparsity"]) + offset
    columns = ("value", "low", "high", "flat_low", "flat_high")
    values, low, high, flat_low, flat_high = (
        factor * part[column].to_numpy(dtype=np.float64) for column in columns
    )
    is_lost = part["verdict"].eq("not located").to_numpy()
    texts: Any = np.array([_hover_text(row) for row in part.to_dict("records")], dtype=object)
    colour = style["color"]
    # A line through optima that are not located would show a trend that is not there.
    located = np.where(is_lost, np.nan, values)
    (line,) = axes.plot(x, located, linewidth=1.3, markersize=5, label=name or None, **style)
    faint = {"color": colour, "markerfacecolor": "white", "markersize": 5, "alpha": 0.45}
    (hollow,) = axes.plot(x[is_lost], values[is_lost], style["marker"], **faint)
    attach_hover_texts(line, texts)
    attach_hover_texts(hollow, texts[is_lost])
    axes.vlines(x, flat_low, flat_high, color=colour, linewidth=5, alpha=0.16)
    winners = factor * part["winner"].to_numpy(dtype=np.float64)
    (crosses,) = axes.plot(x, winners, "x", color=colour, markersize=5, markeredgewidth=1.4)
    attach_hover_texts(crosses, [_winner_hover_text(row) for row in part.to_dict("records")])
    for k in range(len(part)):
        opacity = 0.3 if is_lost[k] else 0.9
        axes.vlines(x[k], low[k], high[k], color=colour, linewidth=1.1, alpha=opacity)
    verdicts = part["verdict"].to_numpy()
    for ends, verdict, marker in ((low, "at most", "v"), (high, "at least", "^")):
        is_open = verdicts == verdict
        (triangles,) = axes.plot(x[is_open], ends[is_open], marker, color=colour, markersize=5)
        attach_hover_texts(triangles, texts[is_open])


def _hover_text(row: Mapping[Any, Any]) -> str:
    """Text of an optimum when pointed at."""
    where = f"{line_name('sparsity.target', row['sparsity'])}, {row['line']}"
    found = format_value(row["axis"], row["value"], row["low"], row["high"])
    return wording.hover_text(where, found, row["n"], row["verdict"])


def _winner_hover_text(row: Mapping[Any, Any]) -> str:
    """Text of a winner when pointed at."""
    where = f"{line_name('sparsity.target', row['sparsity'])}, {row['line']}"
    return wording.hover_text(where, f"winner {format_value(row['axis'], row['winner'])}")


def _draw_points(axes: Axes, found: Optima, row: Mapping[Any, Any], path: str, colour: str) -> None:
    """Draw the configurations of one cell in its arm's colour, the optimum's interval behind them.

    The worst configurations, diverged ones among them, are hollow triangles at the top.
    """
    points = found.response(row["cell"])
    points = points[points["axis"] == path]
    factor = axis_factor(path)
    x = factor * points["x"].to_numpy(dtype=np.float64)
    y = found.y.factor * points["value"].to_numpy(dtype=np.float64)
    is_diverged = np.isnan(y)
    worst = np.nanquantile(y, WORST_QUANTILE)
    middle = np.nanmedian(y)
    # A cliff above the middle would squeeze all other values into a line.
    has_long_tail = middle - np.nanmin(y) <= np.nanmax(y) - middle
    is_beyond = is_diverged | (y > worst) if has_long_tail else is_diverged
    opacity = 0.5 if row["verdict"] == "not located" else 1
    interval_style: dict[str, Any] = {"color": REGION_COLOUR, "alpha": opacity, "linewidth": 0}
    colour = colour if row["sparsity"] else DENSE_COLOUR
    axes.axvspan(factor * row["low"], factor * row["high"], **interval_style)
    near_style: dict[str, Any] = {"color": colour, "markersize": 3.2, "alpha": 0.7}
    far_style: dict[str, Any] = {**near_style, "markersize": 4, "markerfacecolor": "white"}
    (near,) = axes.plot(x[~is_beyond], y[~is_beyond], "o", **near_style)
    top = np.full(is_beyond.sum(), worst)
    (far,) = axes.plot(x[is_beyond], top, "^", **far_style)
    texts: Any = np.empty(len(points), dtype=object)
    for k, value in enumerate(y):
        result = "diverged" if is_diverged[k] else f"{value:.4g}"
        texts[k] = wording.hover_text(f"{axis_name(path)}: {x[k]:.3g}", result)
    attach_hover_texts(near, texts[~is_beyond])
    attach_hover_texts(far, texts[is_beyond])


def _set_searched_range(axes: Axes, found: Optima, path: str, vertical: bool = True) -> None:
    """Show the searched range of an axis from edge to edge, on its own scale.

    Args:
        axes: The panel.
        found: The optima, with the ranges of all cells.
        path: The search axis.
        vertical: True if the search axis is the panel's y axis, False for its x axis.
    """
    ranges = [axis for (_, name), axis in found.ranges.items() if name == path]
    low = min(axis.low for axis in ranges)
    high = max(axis.high for axis in ranges)
    is_log = all(isinstance(axis, LogUniform) for axis in ranges)
    if is_log:
        margin = (high / low) ** RANGE_MARGIN
        ends = (low / margin, high * margin)
    else:
        margin = RANGE_MARGIN * (high - low)
        ends = (low - margin, high + margin)
    set_scale = axes.set_yscale if vertical else axes.set_xscale
    set_limits = axes.set_ylim if vertical else axes.set_xlim
    if is_log:
        set_scale("log")
        _set_log_ticks(axes.yaxis if vertical else axes.xaxis, high / low)
    factor = axis_factor(path)
    # After the scale, since a change of scale resets the limits.
    set_limits(factor * ends[0], factor * ends[1])


def _set_log_ticks(axis: Any, ratio: float) -> None:
    """Set ticks with plain numbers, since the style draws no mathematics.

    Args:
        axis: The axis of a panel.
        ratio: Ratio of its ends; below 1,000 there are ticks at 1, 2 and 5 of each decade.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    has_few_decades = ratio < MAX_RATIO_WITH_MINOR_TICKS
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if has_few_decades else (1,)))
    text = _three_digits if has_few_decades else _power_of_ten
    axis.set_major_formatter(FuncFormatter(text))
    axis.set_minor_formatter(NullFormatter())


def _three_digits(value: float, _: int) -> str:
    """A tick's label with three significant digits."""
    return f"{value:.3g}"


def _power_of_ten(value: float, _: int) -> str:
    """A tick's label at a power of ten: ``1e-3``, ``100``."""
    return f"1e{round(np.log10(value))}" if value < 1 else f"{value:g}"


def _add_legend(grid: Sequence[Axes], lines: Sequence[str], styles: LineStyles) -> Figure:
    """Add a legend if there are several lines."""
    if len(lines) < 2:
        return cast("Figure", grid[0].get_figure(root=True))
    names = styles.draw_keys(grid[-1], lines, linewidth=1.3, markersize=5)
    return add_legend(grid, "Epochs", names)
