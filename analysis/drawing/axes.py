"""Axes: panels in a grid, where sparsities lie, ticks at what there is, logarithms where values lie far apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.quantities import column_label
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_AXIS_RATIO = 5
"""From this ratio between its ends, an axis is logarithmic."""
ACCURACY_TICKS = (0, 20, 50, 70, 80, 90, 95, 97, 98, 99, 99.5, 99.8, 99.9)
"""Ticks where an accuracy is drawn by the logarithm of its error, in percent."""


def log_density(sparsity: Any) -> Any:
    """Position of a sparsity on the axis: -ln(1 - s), where 0, 0.8, 0.9, 0.95, 0.98 and 0.99 are all readable."""
    return -np.log1p(-np.asarray(sparsity, dtype=np.float64))


def sparsity_transform(axis: str, sparsities: Iterable[float]) -> Callable[[Any], Any]:
    """Where sparsities lie on an axis: ``density``, ``linear`` or ``logit``, on which dense stands left of the others.

    Args:
        axis: Which one.
        sparsities: All of the figure, since a logit has no place for 0.
    """
    if axis == "logit":
        inner = _logit([sparsity for sparsity in sparsities if sparsity > 0] or [0.5])
        dense = inner.min() - max(0.5, 0.2 * (inner.max() - inner.min()))
        return lambda sparsity: np.where(np.asarray(sparsity) > 0, _logit(sparsity), dense)
    return (
        log_density
        if axis == "density"
        else lambda sparsity: np.asarray(sparsity, dtype=np.float64)
    )


def _logit(sparsity: Any) -> Any:
    sparsity = np.maximum(np.asarray(sparsity, dtype=np.float64), 1e-12)
    return np.log(sparsity) - np.log1p(-sparsity)


def require_rows(frame: pd.DataFrame, lacking: str) -> pd.DataFrame:
    """The frame, if there is anything to draw.

    Raises:
        SparsetuneError: with what is ``lacking``, if there is none.
    """
    if frame.empty:
        raise SparsetuneError(f"there is nothing to draw: {lacking}")
    return frame


def make_panels(
    count: int, columns: int = 3, size: tuple[float, float] = (4.2, 3.4), share: bool = True
) -> Sequence[Axes]:
    """Axes in a grid, each of a ``size`` in inches, with a common y axis where they ``share`` one."""
    from matplotlib.figure import Figure

    columns = max(1, min(columns, count))
    rows = math.ceil(max(count, 1) / columns)
    width, height = size
    figure = Figure(figsize=(width * columns + 1.3, height * rows + 0.2), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=share, squeeze=False).ravel().tolist()
    for axis in axes[max(count, 1) :]:
        axis.remove()
    kept: Sequence[Axes] = axes[: max(count, 1)]
    return kept


def set_x_axis(
    axis: Axes, x: str, values: Iterable[float], place: Callable[[Any], Any] = log_density
) -> None:
    """The horizontal axis of a curve: ticks at the sparsities or lengths that there are, logarithmic ones of costs."""
    from matplotlib.ticker import LogLocator

    axis.set_xlabel(column_label(x))
    if x == "sparsity":
        set_sparsity_ticks(axis.xaxis, values, place)
    elif x == "epochs":
        ticks = sorted(set(values))
        axis.set_xscale("log", base=2)
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
    elif (
        max(values, default=0) > LOG_AXIS_RATIO * min(values, default=0) > 0
    ):  # of costs, no two are equal
        axis.set_xscale("log")
        far = max(values) > LOG_AXIS_RATIO**2 * min(values)
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 3) if far else (1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()


def set_sparsity_ticks(
    axis: Any, values: Iterable[float], place: Callable[[Any], Any] = log_density
) -> None:
    """A tick at every sparsity of the study that has room, the highest first."""
    values = [float(value) for value in values]
    kept = list[float]()
    spread = float(np.ptp(place(sorted({0.0, *values})))) or 1.0
    for value in sorted(set(values), reverse=True):
        if all(abs(place(value) - place(other)) > 0.06 * spread for other in kept):
            kept.append(value)
    axis.set_ticks(place(kept), [f"{100 * value:.10g}" for value in kept])
    known = np.unique(np.asarray(list(values), dtype=np.float64))
    setattr(axis.axes, f"fmt_{axis.axis_name}data", partial(_nearest, known, place(known)))


def _nearest(sparsities: Any, places: Any, at: float) -> str:
    """The sparsity whose place on an axis is nearest, in percent."""
    return f"{100 * sparsities[np.abs(places - at).argmin()]:.10g}"


def set_y_scale(axis: Axes, column: str, drawn: pd.DataFrame) -> None:
    """A logarithmic y axis where values lie far apart: of a loss or cost, or of the error behind an accuracy."""
    from matplotlib.ticker import LogLocator, NullLocator

    fraction = column.rpartition("_")[2] in ("accuracy", "score")
    means = drawn["mean"].dropna().to_numpy(np.float64)
    least, most = _finite_range(1 - means if fraction else means)
    if not most > LOG_AXIS_RATIO * least > 0:
        low, high = axis.get_ylim()
        if column == "total_flops":
            axis.set_ylim(0, None)
        elif fraction:  # an interval of two seeds may end beyond what there is
            axis.set_ylim(max(0.0, low), min(100.0, high))
        return
    if fraction:
        axis.set_yscale("function", functions=(_accuracy_to_position, _position_to_accuracy))
        axis.set_ylabel(f"{column_label(column)[:-1]}, by the logarithm of the error)")
        low, high = _finite_range(drawn[["low", "mean", "high"]].to_numpy(np.float64))
        top = max(1 - least / 1.3, min(high, 1 - least / 2))
        axis.set_ylim(max(0.0, 100 * low - 5), 100 * top)
        axis.set_yticks(
            [tick for tick in ACCURACY_TICKS if axis.get_ylim()[0] <= tick <= axis.get_ylim()[1]]
        )
    else:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter("{x:g}")


def _finite_range(values: Any) -> tuple[float, float]:
    """The lowest and highest, NaN left out; NaN where there is none."""
    known = values[~np.isnan(values)]
    return (float(known.min()), float(known.max())) if known.size else (math.nan, math.nan)


def _accuracy_to_position(percent: Any) -> Any:
    return -np.log(np.maximum(100.0 - np.asarray(percent, dtype=np.float64), 1e-6))


def _position_to_accuracy(position: Any) -> Any:
    return 100.0 - np.exp(-np.asarray(position, dtype=np.float64))
