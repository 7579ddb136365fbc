"""Axes: panels in a grid, positions of sparsities, ticks at measured values, logarithmic scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsetune.errors import SparsetuneError

from ..measure import UNIT_RANGE, Measure
from ..quantities import column_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_AXIS_RATIO = 5
"""Ratio between its largest and smallest value above which an axis is logarithmic."""
MIN_TICK_SHARE = 0.06
"""Smallest distance between the ticks of two sparsities, as a share of the axis."""
MIN_LOGIT_SPARSITY = 1e-12
"""Sparsity below which a logit is cut off."""
MIN_ERROR_PERCENT = 1e-6
"""Error in percent below which its logarithm is cut off."""
ACCURACY_TICKS = (0, 20, 50, 70, 80, 90, 95, 97, 98, 99, 99.5, 99.8, 99.9)
"""Ticks in percent for an accuracy that is drawn by the logarithm of its error."""


def log_density(sparsity: Any) -> Any:
    """Position of a sparsity s on an axis of log density: -ln(1 - s), of the shape given.

    Sparsities of 0, 0.8, 0.9, 0.95, 0.98 and 0.99 can all be told apart on it.
    """
    return -np.log1p(-np.asarray(sparsity, dtype=np.float64))


def sparsity_transform(axis: str, sparsities: Iterable[float]) -> Callable[[Any], Any]:
    """Function from sparsities to positions on an axis.

    Args:
        axis: ``density``, ``linear`` or ``logit``.
        sparsities: All sparsities of the figure. A logit has no position for 0, so dense gets one
            to the left of them all.
    """
    if axis == "logit":
        positions = _logit([sparsity for sparsity in sparsities if sparsity > 0] or [0.5])
        gap = max(0.5, 0.2 * np.ptp(positions))
        return partial(_logit_with_dense, dense_position=positions.min() - gap)
    return log_density if axis == "density" else _as_floats


def _as_floats(values: Any) -> Any:
    return np.asarray(values, dtype=np.float64)


def _logit(sparsity: Any) -> Any:
    sparsity = np.maximum(_as_floats(sparsity), MIN_LOGIT_SPARSITY)
    return np.log(sparsity) - np.log1p(-sparsity)


def _logit_with_dense(sparsity: Any, dense_position: float) -> Any:
    return np.where(np.asarray(sparsity) > 0, _logit(sparsity), dense_position)


def require_rows(frame: pd.DataFrame, lacking: str) -> pd.DataFrame:
    """The frame, if it has rows to draw.

    Args:
        frame: The rows.
        lacking: What a study without rows lacks, for the error.

    Raises:
        SparsetuneError: if there are no rows.
    """
    if frame.empty:
        raise SparsetuneError(f"there is nothing to draw: {lacking}")
    return frame


def make_panels(
    count: int, columns: int = 3, size: tuple[float, float] = (4.2, 3.4), share: bool = True
) -> Sequence[Axes]:
    """Axes in a grid, row by row, with a common x axis; at least one.

    Args:
        count: Number of panels.
        columns: Most panels side by side.
        size: Width and height of a panel in inches.
        share: Gives the panels a common y axis too.
    """
    from .shown_figure import ShownFigure

    count = max(1, count)
    columns = max(1, min(columns, count))
    rows = math.ceil(count / columns)
    width, height = size
    # Room for the legend on the right.
    figure_size = (width * columns + 1.3, height * rows + 0.2)
    figure = ShownFigure(figsize=figure_size, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=share, squeeze=False)
    axes: list[Axes] = grid.ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    return axes[:count]


def set_x_axis(
    axis: Axes,
    x: str,
    values: Iterable[float],
    to_position: Callable[[Any], Any] = log_density,
) -> None:
    """Label the horizontal axis of a curve, and set its scale and ticks.

    Args:
        axis: The panel.
        x: ``sparsity``, ``epochs``, or a column of costs.
        values: All values that are drawn.
        to_position: Function from sparsities to positions on the axis.
    """
    axis.set_xlabel(column_label(x))
    values = list(values)
    if x == "sparsity":
        set_sparsity_axis(axis.xaxis, values, to_position)
    elif x == "epochs":
        _set_length_axis(axis, values)
    elif values and max(values) > LOG_AXIS_RATIO * min(values) > 0:
        is_wide = max(values) > LOG_AXIS_RATIO**2 * min(values)
        _set_log_cost_axis(axis, is_wide)


def _set_length_axis(axis: Axes, lengths: Sequence[float]) -> None:
    """Make the horizontal axis logarithmic, with a tick at each length."""
    ticks = sorted(set(lengths))
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


def _set_log_cost_axis(axis: Axes, is_wide: bool) -> None:
    """Make the horizontal axis logarithmic, with round ticks, fewer of them on a wide one."""
    from matplotlib.ticker import LogLocator

    axis.set_xscale("log")
    multiples = (1, 3) if is_wide else (1, 2, 5)
    axis.xaxis.set_major_locator(LogLocator(subs=multiples))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()


def set_sparsity_axis(
    axis: Any,
    values: Iterable[float],
    to_position: Callable[[Any], Any] = log_density,
    column: str = "sparsity",
) -> None:
    """Label an axis of sparsity, and set a tick at every sparsity that has room.

    On the axis of log density the label says so, and the ticks of a horizontal one show the share
    of weights that is left, too. Pointing at the axis names the nearest sparsity, whether it has a
    tick or not.

    Args:
        axis: One of Matplotlib's two axes of a panel.
        values: All sparsities of the figure; those with ticks are taken from the highest down.
        to_position: Function from sparsities to positions on the axis.
        column: Name of the column, for the label.
    """
    has_two_rows = to_position is log_density and axis.axis_name == "x"
    sparsities = sorted({float(value) for value in values})
    # The axis starts at dense even if it was not run.
    spread = float(np.ptp(to_position(sorted({0.0, *sparsities})))) or 1.0
    ticks: list[float] = []
    for sparsity in reversed(sparsities):
        distances = [abs(to_position(sparsity) - to_position(tick)) for tick in ticks]
        if all(distance > MIN_TICK_SHARE * spread for distance in distances):
            ticks.append(sparsity)
    axis.set_ticks(to_position(ticks), [_tick_text(tick, has_two_rows) for tick in ticks])
    label = column_label(column)
    if has_two_rows:
        label += ",\nbelow: weights left (%, log scale)"
    elif to_position is log_density:
        label += ",\nlog scale of weights left"
    elif to_position is not _as_floats:
        label += ", logit scale"
    axis.set_label_text(label)
    known = np.asarray(sparsities, dtype=np.float64)
    nearest_text = partial(_nearest_sparsity_text, known, to_position(known))
    setattr(axis.axes, f"fmt_{axis.axis_name}data", nearest_text)


def _tick_text(sparsity: float, has_two_rows: bool) -> str:
    """A sparsity in percent, and on a second row the share of weights that is left."""
    text = f"{100 * sparsity:.10g}"
    return f"{text}\n{100 * (1 - sparsity):.10g}" if has_two_rows else text


def _nearest_sparsity_text(sparsities: Any, positions: Any, position: float) -> str:
    """The sparsity whose position on an axis is nearest, in percent."""
    nearest = sparsities[np.abs(positions - position).argmin()]
    return f"{100 * nearest:.10g}"


def set_y_scale(axis: Axes, measure: Measure, drawn: pd.DataFrame) -> None:
    """Make the y axis logarithmic if values lie far apart, in the error in case of an accuracy.

    Args:
        axis: The panel, whose marks are drawn.
        measure: The measure or cost.
        drawn: ``low mean high`` of every mark, NaN where unknown.
    """
    has_error = measure.range == UNIT_RANGE and measure.higher_is_better is True
    means = drawn["mean"].dropna().to_numpy(np.float64)
    smallest, largest = _finite_range(1 - means if has_error else means)
    if not largest > LOG_AXIS_RATIO * smallest > 0:
        _limit_linear_y_axis(axis, measure, has_error)
    elif has_error:
        ends = _finite_range(drawn[["low", "mean", "high"]].to_numpy(np.float64))
        _set_log_error_axis(axis, measure, ends, smallest)
    else:
        _set_log_y_axis(axis)


def _limit_linear_y_axis(axis: Axes, measure: Measure, has_error: bool) -> None:
    """Cut off what a linear y axis should not show."""
    if measure.column == "total_flops":
        axis.set_ylim(0, None)
    elif has_error:
        # An interval of two seeds can end below 0 or above 100 %.
        low, high = axis.get_ylim()
        axis.set_ylim(max(0.0, low), min(100.0, high))


def _set_log_error_axis(
    axis: Axes, measure: Measure, ends: tuple[float, float], smallest_error: float
) -> None:
    """Draw an accuracy by the logarithm of its error.

    Args:
        axis: The panel.
        measure: The accuracy.
        ends: Lowest and highest end of all intervals, as fractions.
        smallest_error: Error of the highest mean, as a fraction.
    """
    low, high = ends
    axis.set_yscale("function", functions=(_accuracy_to_position, _position_to_accuracy))
    # The label ends with the unit in brackets.
    axis.set_ylabel(f"{measure.label[:-1]}, by the logarithm of the error)")
    # Intervals that reach an error of 0 would take up the whole axis.
    top = max(1 - smallest_error / 1.3, min(high, 1 - smallest_error / 2))
    axis.set_ylim(max(0.0, 100 * low - 5), 100 * top)
    bottom_limit, top_limit = axis.get_ylim()
    axis.set_yticks([tick for tick in ACCURACY_TICKS if bottom_limit <= tick <= top_limit])
    axis.yaxis.set_major_formatter("{x:g}")


def _set_log_y_axis(axis: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter("{x:g}")


def _finite_range(values: Any) -> tuple[float, float]:
    """The smallest and the largest value that is no NaN; NaN and NaN if there is none."""
    known = values[~np.isnan(values)]
    if not known.size:
        return math.nan, math.nan
    return float(known.min()), float(known.max())


def _accuracy_to_position(percent: Any) -> Any:
    error = np.maximum(100.0 - np.asarray(percent, dtype=np.float64), MIN_ERROR_PERCENT)
    return -np.log(error)


def _position_to_accuracy(position: Any) -> Any:
    return 100.0 - np.exp(-np.asarray(position, dtype=np.float64))
