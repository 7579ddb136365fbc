"""Figures of budgets, equal costs and the Pareto front: a measure against sparsity or FLOPs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import wording
from ..drawers import draws
from ..drawing.axes import log_density, make_panels, require_rows, set_sparsity_axis
from ..drawing.line_styles import LineStyles, arm_styles, row_colours, shades
from ..drawing.marks import (
    add_legend,
    attach_hover_texts,
    draw_key,
    draw_learned_nothing,
    joined_means,
)
from ..drawing.style import ARM_MARKERS, NEUTRAL_COLOUR, project_style
from ..measure import Measure
from ..quantities import line_name
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
UNSURE_ALPHA = 0.55
"""Opacity of a mark that may be on the other side of the front."""


@draws(BestAt)
def draw_best(found: BestAt) -> Figure:
    """Draw ``y`` of the best cell against sparsity, a line per limit, the higher the darker.

    The marks have the colour of the arm that is best; dense ones are black.

    Raises:
        SparsetuneError: if there is nothing to draw.
    """
    frame = _require_rows(found.frame(), found.y)
    factor = found.y.factor
    limits = sorted(set(frame["limit"]))
    styles = arm_styles(frame[frame["sparsity"] > 0])
    frame = frame.assign(colour=row_colours(frame))
    # A line may lead from one arm to another, so it has none of their hues.
    greys = shades(NEUTRAL_COLOUR, limits, found.budget)
    with project_style():
        (panel,) = make_panels(1, size=(5.2, 4.0))
        for rank, limit in enumerate(limits):
            part = frame[frame["limit"] == limit].sort_values("sparsity")
            offset = LIMIT_OFFSET * (rank - (len(limits) - 1) / 2)
            part = part.assign(x=log_density(part["sparsity"]) + offset)
            name = f"at most {LIMIT_FORMATS[found.budget].format(limit)}"
            (line,) = panel.plot(
                part["x"], joined_means(part, factor), color=greys[limit], linewidth=1.3, label=name
            )
            attach_hover_texts(line, _hover_texts(part, factor))
            for (arm, colour), own in part.groupby(["arm", "colour"], sort=False):
                marker = styles[str(arm)]["marker"] if str(arm) in styles else ARM_MARKERS[0]
                _draw_means(panel, own["x"], own, factor, str(colour), marker)
        if len(styles) > 1:
            for arm, style in styles.items():
                draw_key(panel, f"best: {arm}", **{**style, "linestyle": "none"})
        set_sparsity_axis(panel.xaxis, frame["sparsity"])
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
    styles = LineStyles(points, points["sparsity"], "sparsity.target")
    with project_style():
        axes = make_panels(len(arms), size=(4.4, 3.8))
        for arm, panel in zip(arms, axes, strict=True):
            own = points[(points["arm"] == arm) | (points["sparsity"] == 0)]
            _draw_sparsity_lines(panel, own, arm, styles, found.y.factor)
            panel.set_title(arm if len(arms) > 1 else "", **styles.title(arm))
            _set_cost_axes(panel, points, found.y)
        axes[0].set_ylabel(found.y.label)
        names = styles.draw_keys(axes[-1], linewidth=1.3, markersize=4.5)
        return add_legend(axes, "Sparsity", names)


def _draw_sparsity_lines(
    panel: Axes, points: pd.DataFrame, arm: str, styles: LineStyles, factor: float
) -> None:
    """Draw a line per sparsity against training FLOPs, with the intervals of its means."""
    for sparsity, part in points.groupby("sparsity"):
        ordered = part.sort_values("train_flops")
        own = styles.line(arm, sparsity)
        style: dict[str, Any] = {
            **own,
            "linewidth": 1.3,
            "markersize": 4.5,
            "linestyle": "-",
            "label": line_name("sparsity.target", sparsity),
        }
        costs = ordered["train_flops"]
        (line,) = panel.plot(costs, joined_means(ordered, factor), **style)
        attach_hover_texts(line, _hover_texts(ordered, factor))
        _draw_means(panel, costs, ordered, factor, own["color"], own["marker"])


@draws(ParetoFront)
def draw_front(found: ParetoFront) -> Figure:
    """Draw ``y`` against training FLOPs: filled on the front, hollow off it, faint if not sure.

    The hue tells the arm, shade and marker the sparsity.

    Raises:
        SparsetuneError: if there is nothing to draw.
    """
    frame = _require_rows(found.frame(), found.y)
    factor = found.y.factor
    styles = LineStyles(frame, frame["sparsity"], "sparsity.target")
    with project_style():
        (panel,) = make_panels(1, size=(6.0, 4.4))
        for sparsity, part in frame.groupby("sparsity"):
            on_front = part[part["front"]].sort_values("train_flops")
            (line,) = panel.plot(
                on_front["train_flops"],
                joined_means(on_front, factor),
                # The front of one sparsity may lead from one arm to another.
                color=styles.line(None, sparsity)["color"],
                linewidth=1.2,
                label=line_name("sparsity.target", sparsity),
            )
            attach_hover_texts(line, _hover_texts(on_front, factor))
            for row in part.to_dict("records"):
                # One by one, since opacity and fill differ between marks of one line.
                _draw_front_mark(panel, row, factor, styles.line(row["arm"], sparsity))
        styles.draw_keys(panel, linewidth=1.2, markersize=5.5)
        sparse = {arm: style for arm, style in styles.arms.items() if arm in _arms(frame)}
        if len(sparse) > 1:
            for arm, style in sparse.items():
                draw_key(panel, arm, color=style["color"], linewidth=5)
        _set_cost_axes(panel, frame, found.y)
        panel.set_ylabel(found.y.label)
        return add_legend([panel])


def _draw_front_mark(
    panel: Axes, row: dict[Any, Any], factor: float, style: Mapping[str, Any]
) -> None:
    """Draw the mark of one cell, by its side of the front."""
    part = pd.DataFrame([row])
    alpha = 1.0 if row["sure"] else UNSURE_ALPHA
    look = {"alpha": alpha, "fill": row["front"]}
    _draw_means(panel, part["train_flops"], part, factor, style["color"], style["marker"], **look)


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
        part: One row per mark: ``mean low high``, and the columns of `_hover_texts`; networks that
            have learned nothing have marks of their own.
        factor: Factor of the values.
        colour: Colour of marks and bars.
        marker: Matplotlib's marker.
        alpha: Opacity, in [0, 1].
        fill: False for hollow marks.
    """
    means = joined_means(part, factor)
    low = factor * part["low"].to_numpy(dtype=np.float64)
    high = factor * part["high"].to_numpy(dtype=np.float64)
    panel.vlines(x, low, high, color=colour, linewidth=1.0, alpha=alpha)
    inside = colour if fill else "white"
    texts = _hover_texts(part, factor)
    (marks,) = panel.plot(
        x, means, marker, color=colour, markerfacecolor=inside, markersize=5.5, alpha=alpha
    )
    attach_hover_texts(marks, texts)
    draw_learned_nothing(panel, x, part, factor, colour, texts)


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
