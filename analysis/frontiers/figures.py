"""Figures of budgets, equal costs and the Pareto front: a measure against sparsity or FLOPs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import wording
from ..drawers import draws
from ..drawing.axes import log_density, make_panels, require_rows, set_sparsity_ticks
from ..drawing.marks import add_legend, attach_hover_texts
from ..drawing.style import LINE_MARKERS, line_colours, project_style
from ..measure import Measure
from ..quantities import column_label, line_name
from .budgets import BestAt
from .iso_flops import IsoFlops
from .pareto import ParetoFront

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIMIT_FORMATS = {
    "epochs": "{:.4g} epochs",
    "train_flops": "{:.3g} dense epochs",
    "gpu_hours": "{:.2g} h",
}
LOG_LOSS_RATIO = 3
"""From this ratio between the means' ends on, a loss is drawn on a logarithmic axis."""
LIMIT_OFFSET = 0.035
"""Distance between the marks of two limits at one sparsity, on the axis of log density."""
UNSURE_ALPHA = 0.4
"""Opacity of a mark that may be on the other side of the front."""
ARM_MARK_COLOUR = "#777777"
"""Colour of the marks that name arms in a legend."""


@draws(BestAt)
def draw_best(found: BestAt) -> Figure:
    """Draw ``y`` of the best cell against sparsity, a line per limit.

    If there are several arms, each has its mark.

    Raises:
        SparsetuneError: if there is nothing to draw.
    """
    frame = _require_rows(found.frame(), found.y)
    factor = found.y.factor
    limits = sorted(set(frame["limit"]))
    arms = list(dict.fromkeys(frame.loc[frame["sparsity"] > 0, "arm"]))
    palette = line_colours(limits, "schedule.epochs")
    marker_of = {arm: LINE_MARKERS[rank % len(LINE_MARKERS)] for rank, arm in enumerate(arms)}
    with project_style():
        (panel,) = make_panels(1, size=(5.2, 4.0))
        for rank, limit in enumerate(limits):
            part = frame[frame["limit"] == limit].sort_values("sparsity")
            offset = LIMIT_OFFSET * (rank - (len(limits) - 1) / 2)
            part = part.assign(x=log_density(part["sparsity"]) + offset)
            colour = palette[limit]
            name = f"at most {LIMIT_FORMATS[found.budget].format(limit)}"
            (line,) = panel.plot(
                part["x"], factor * part["mean"], color=colour, linewidth=1.3, label=name
            )
            attach_hover_texts(line, _hover_texts(part, factor))
            for arm, own in part.groupby("arm", sort=False):
                _draw_means(panel, own["x"], own, factor, colour, marker_of.get(str(arm), "o"))
        if len(arms) > 1:
            for arm, marker in marker_of.items():
                panel.plot([], [], marker, color=ARM_MARK_COLOUR, label=f"best: {arm}")
        set_sparsity_ticks(panel.xaxis, frame["sparsity"])
        panel.set_xlabel(column_label("sparsity"))
        panel.set_ylabel(found.y.label)
        return add_legend([panel])


@draws(IsoFlops)
def draw_iso_flops(found: IsoFlops) -> Figure:
    """Draw ``y`` against training FLOPs, a line per sparsity and a panel per arm.

    Dense networks are in every panel.

    Raises:
        SparsetuneError: if there is nothing to draw.
    """
    points = _require_rows(found.points, found.y)
    arms = _arms(points)
    palette = line_colours(points["sparsity"], "sparsity.target")
    with project_style():
        axes = make_panels(len(arms), size=(4.4, 3.8))
        for arm, panel in zip(arms, axes, strict=True):
            own = points[(points["arm"] == arm) | (points["sparsity"] == 0)]
            _draw_sparsity_lines(panel, own, palette, found.y.factor)
            panel.set_title(arm if len(arms) > 1 else "")
            _set_cost_axes(panel, points, found.y)
        axes[0].set_ylabel(found.y.label)
        return add_legend(axes, "Sparsity")


def _draw_sparsity_lines(
    panel: Axes, points: pd.DataFrame, palette: Mapping[Any, Any], factor: float
) -> None:
    """Draw a line per sparsity against training FLOPs, with the intervals of its means."""
    for rank, (sparsity, part) in enumerate(points.groupby("sparsity")):
        ordered = part.sort_values("train_flops")
        marker = LINE_MARKERS[rank % len(LINE_MARKERS)]
        style: dict[str, Any] = {
            "color": palette[sparsity],
            "linewidth": 1.3,
            "markersize": 4.5,
            "linestyle": "-",
            "label": line_name("sparsity.target", sparsity),
        }
        costs = ordered["train_flops"]
        (line,) = panel.plot(costs, factor * ordered["mean"], marker, **style)
        attach_hover_texts(line, _hover_texts(ordered, factor))
        _draw_means(panel, costs, ordered, factor, palette[sparsity], marker)


@draws(ParetoFront)
def draw_front(found: ParetoFront) -> Figure:
    """Draw ``y`` against training FLOPs: filled on the front, hollow off it, faint if not sure.

    Raises:
        SparsetuneError: if there is nothing to draw.
    """
    frame = _require_rows(found.frame(), found.y)
    factor = found.y.factor
    arms = _arms(frame)
    marker_of = {arm: LINE_MARKERS[rank % len(LINE_MARKERS)] for rank, arm in enumerate(arms)}
    palette = line_colours(frame["sparsity"], "sparsity.target")
    with project_style():
        (panel,) = make_panels(1, size=(6.0, 4.4))
        for sparsity, part in frame.groupby("sparsity"):
            on_front = part[part["front"]].sort_values("train_flops")
            name = line_name("sparsity.target", sparsity)
            (line,) = panel.plot(
                on_front["train_flops"],
                factor * on_front["mean"],
                color=palette[sparsity],
                linewidth=1.2,
                label=name,
            )
            attach_hover_texts(line, _hover_texts(on_front, factor))
            for row in part.to_dict("records"):
                marker = marker_of.get(row["arm"], LINE_MARKERS[0])
                # One by one, since opacity and fill differ between marks of one line.
                _draw_front_mark(panel, row, factor, palette[sparsity], marker)
        if len(arms) > 1:
            for arm, marker in marker_of.items():
                panel.plot([], [], marker, color=ARM_MARK_COLOUR, label=arm)
        _set_cost_axes(panel, frame, found.y)
        panel.set_ylabel(found.y.label)
        return add_legend([panel])


def _draw_front_mark(
    panel: Axes, row: dict[Any, Any], factor: float, colour: Any, marker: str
) -> None:
    """Draw the mark of one cell, by its side of the front."""
    part = pd.DataFrame([row])
    alpha = 1.0 if row["sure"] else UNSURE_ALPHA
    _draw_means(
        panel, part["train_flops"], part, factor, colour, marker, alpha=alpha, fill=row["front"]
    )


def _arms(frame: pd.DataFrame) -> list[str]:
    """Arms with sparse networks, or the dense ones if there are no others."""
    sparse = list(dict.fromkeys(frame.loc[frame["sparsity"] > 0, "arm"]))
    return sparse or list(dict.fromkeys(frame["arm"]))


def _draw_means(
    panel: Axes,
    x: Any,
    part: pd.DataFrame,
    factor: float,
    colour: Any,
    marker: str,
    alpha: float = 1,
    fill: bool = True,
) -> None:
    """Draw means with their intervals.

    Args:
        panel: Where to draw.
        x: Positions, shape [n].
        part: One row per mark: ``mean low high``, and the columns of `_hover_texts`.
        factor: Factor of the values.
        colour: Colour of marks and bars.
        marker: Matplotlib's marker.
        alpha: Opacity, in [0, 1].
        fill: False for hollow marks.
    """
    means = factor * part["mean"].to_numpy(dtype=np.float64)
    low = factor * part["low"].to_numpy(dtype=np.float64)
    high = factor * part["high"].to_numpy(dtype=np.float64)
    panel.vlines(x, low, high, color=colour, linewidth=1.0, alpha=alpha)
    inside = colour if fill else "white"
    (marks,) = panel.plot(
        x, means, marker, color=colour, markerfacecolor=inside, markersize=5.5, alpha=alpha
    )
    attach_hover_texts(marks, _hover_texts(part, factor))


def _require_rows(frame: pd.DataFrame, y: Measure) -> pd.DataFrame:
    """The frame, if there is anything to draw.

    Raises:
        SparsetuneError: if there is not.
    """
    return require_rows(frame, f"no cell has both {y} and its cost over finished report trials")


def _hover_texts(part: pd.DataFrame, factor: float) -> list[str]:
    """Text of each mark when pointed at.

    Args:
        part: One row per mark: ``arm sparsity epochs train_flops mean low high n``, and ``verdict``
            if there is one.
        factor: Factor of the values.
    """
    texts = []
    for row in part.to_dict("records"):
        where = ", ".join(_cell_words(row))
        found = wording.format_interval(row["mean"], row["low"], row["high"], factor)
        texts.append(wording.hover_text(where, found, row["n"], row.get("verdict", "")))
    return texts


def _cell_words(row: Mapping[Any, Any]) -> Sequence[str]:
    """Arm, sparsity, length and, if it is known, cost of a cell in words."""
    is_sparse = bool(row["sparsity"])
    words = [row["arm"] if is_sparse else "dense"]
    if is_sparse:
        words.append(f"{100 * row['sparsity']:.10g} % sparsity")
    words.append(f"{row['epochs']:g} epochs")
    if not pd.isna(row["train_flops"]):
        words.append(f"{row['train_flops']:.3g} dense epochs of FLOPs")
    return words


def _set_cost_axes(panel: Axes, frame: pd.DataFrame, y: Measure) -> None:
    """Set a logarithmic axis of training FLOPs with plain numbers.

    The axis of a loss is logarithmic too if its values are far apart.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    axes: list[Any] = [panel.xaxis]
    panel.set_xscale("log")
    means = frame["mean"].to_numpy(dtype=np.float64)
    is_loss = y.column.endswith("loss")
    if is_loss and means.min() > 0 and means.max() > LOG_LOSS_RATIO * means.min():
        panel.set_yscale("log")
        axes.append(panel.yaxis)
    # Plain numbers, since the style draws no mathematics.
    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("Training FLOPs (dense epochs, log scale)")
