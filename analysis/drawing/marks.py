"""Marks with their intervals and hover texts, and the legend that names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..quantities import line_name
from .style import DENSE_COLOUR, NEUTRAL_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEARNED_NOTHING = "learned nothing"
"""Name in the legend of networks that give every test example one answer."""
MIN_ROOM = 0.05
"""Least distance that is near, as a part of the largest mean."""
LIMIT_MARGIN = 0.1
"""Distance of what has no place on an axis from what has, as a part of the latter's range."""
LEARNED_NOTHING_STYLE: dict[str, Any] = {
    "linestyle": "none",
    "marker": "X",
    "markersize": 9,
    "markerfacecolor": "white",
    "zorder": 4,
}
KEY_MARK = "is_key"
"""Attribute of an artist that `draw_key` has drawn."""
LEGEND_TITLES: dict[str | None, str | None] = {
    "arm": None,
    "sparsity.target": "Sparsity",
    "schedule.epoch_multiplier": "Epochs",
    "schedule.epochs": "Trained for",
}
"""Titles of legends, by the field that tells the lines apart."""


def has_learned_nothing(part: pd.DataFrame) -> NDArray[np.bool_]:
    """True for rows all of whose networks give every test example one answer, shape [rows].

    Args:
        part: ``learned_nothing``, the number of such networks, and ``n``; without the former, none.
    """
    if "learned_nothing" not in part:
        return np.zeros(len(part), dtype=bool)
    counts = part["learned_nothing"].astype("float64").fillna(0).to_numpy()
    n = part["n"].astype("float64").fillna(0).to_numpy()
    return np.asarray((n > 0) & (counts >= n))


def is_near_learned(part: pd.DataFrame) -> pd.Series[bool]:
    """True for rows that an axis has room for: those far from all that learned would press them.

    Rows that have learned something count; of the others those that lie no further from these than
    these from each other.

    Args:
        part: ``mean`` of all rows of a figure, and the columns of `has_learned_nothing`.
    """
    means = part["mean"]
    learned = means[~has_learned_nothing(part)].dropna()
    if learned.empty:
        return means.notna()
    room = max(float(np.ptp(learned)), MIN_ROOM * float(learned.abs().max()))
    return means.between(learned.min() - room, learned.max() + room)


def mean_limits(part: pd.DataFrame, factor: float) -> tuple[float, float]:
    """Lowest and highest mean that has its place on an axis, see `is_near_learned`.

    Args:
        part: Columns of `is_near_learned`.
        factor: Factor of the means.
    """
    means = factor * part.loc[is_near_learned(part), "mean"]
    margin = LIMIT_MARGIN * float(means.max() - means.min())
    return float(means.min()) - margin, float(means.max()) + margin


def joined_means(part: pd.DataFrame, factor: float) -> NDArray[np.float64]:
    """Means that a line joins, shape [rows]: NaN where networks have learned nothing.

    A line through those would look like a curve.

    Args:
        part: ``mean`` and the columns of `has_learned_nothing`.
        factor: Factor of the means.
    """
    means = factor * part["mean"].to_numpy(np.float64)
    return np.where(has_learned_nothing(part), np.nan, means)


def draw_learned_nothing(
    axis: Axes,
    x: Any,
    part: pd.DataFrame,
    factor: float,
    colour: Any,
    texts: Sequence[str],
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> None:
    """Draw a hollow cross for every row whose networks have learned nothing, and its legend entry.

    Args:
        axis: The panel.
        x: Positions, shape [rows].
        part: ``mean low high`` and the columns of `has_learned_nothing`.
        factor: Factor of means and intervals.
        colour: Colour of the row's arm.
        texts: Hover text of each row.
        limits: Lowest and highest mean that has its place on the axis; what lies beyond is drawn
            there with its value beside it.
    """
    is_lost = has_learned_nothing(part)
    if not is_lost.any():
        return
    x_of_all = np.asarray(x, dtype=np.float64)
    x = x_of_all[is_lost]
    mean, low, high = (factor * part.loc[is_lost, end] for end in ("mean", "low", "high"))
    shown = mean.clip(*limits)
    first = x_of_all.min()
    bar_ends = np.nan_to_num(np.stack([mean - low, high - mean]).astype(np.float64))
    bar_ends = np.where(shown == mean, bar_ends, 0)
    for place, height, value in zip(x, shown, mean, strict=True):
        if height != value:
            text = f"{'↑' if value > height else '↓'} {value:.3g}"
            _write_beside(axis, (place, height), text, colour, is_right=place == first)
    style = {**LEARNED_NOTHING_STYLE, "elinewidth": 1, "capsize": 2}
    drawn = axis.errorbar(x, shown, yerr=bar_ends, color=colour, **style)
    lost_texts = [text for text, is_own in zip(texts, is_lost, strict=True) if is_own]
    attach_hover_texts(drawn, [f"{text}, {LEARNED_NOTHING}" for text in lost_texts])
    draw_key(axis, LEARNED_NOTHING, color=NEUTRAL_COLOUR, **LEARNED_NOTHING_STYLE)


def _write_beside(
    axis: Axes, place: tuple[float, float], text: str, colour: Any, is_right: bool
) -> None:
    """Write a value to the right or to the left of its mark."""
    side = "left" if is_right else "right"
    style: dict[str, Any] = {"fontsize": 8.5, "va": "center", "ha": side, "color": colour}
    offset = (8 if is_right else -8, 0)
    axis.annotate(text, place, offset, textcoords="offset points", **style)


def draw_dense_marks(
    axis: Axes, x: Any, part: pd.DataFrame, factor: float, colour: Any, texts: Sequence[str]
) -> None:
    """Draw the marks of dense networks in black over those of a line that leads to them.

    Args:
        axis: The panel.
        x: Positions, shape [rows].
        part: ``mean``, and ``sparsity`` if it differs between rows.
        factor: Factor of the means.
        colour: Colour of the line; one that is black has no such marks.
        texts: Hover text of each row.
    """
    if "sparsity" not in part or colour == DENSE_COLOUR:
        return
    is_dense = (part["sparsity"] == 0).to_numpy() & ~has_learned_nothing(part)
    if not is_dense.any():
        return
    # Large enough to cover the mark of any line.
    style: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 6.5, "zorder": 3}
    (marks,) = axis.plot(
        np.asarray(x, dtype=np.float64)[is_dense],
        factor * part.loc[is_dense, "mean"],
        color=DENSE_COLOUR,
        **style,
    )
    dense_texts = [text for text, is_own in zip(texts, is_dense, strict=True) if is_own]
    attach_hover_texts(marks, dense_texts)


def draw_means(
    axis: Axes,
    x: Any,
    part: pd.DataFrame,
    factor: float,
    style: Mapping[str, Any],
    name: str,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> None:
    """Draw means with their intervals, as one line of the legend.

    Args:
        axis: The panel.
        x: Positions, shape [rows].
        part: ``mean low high``, and for the hover texts ``sparsity``, a length and ``n`` if known;
            rows that have learned nothing are no part of the line, see `draw_learned_nothing`.
            ``spread_low spread_high``, if known, are drawn where a mean is over configurations.
        factor: Factor that means and intervals are multiplied with.
        style: Colour, marker and line style.
        name: Name in the legend.
        limits: Those of `draw_learned_nothing`.
    """
    below = factor * (part["mean"] - part["low"])
    above = factor * (part["high"] - part["mean"])
    texts = [_mean_hover_text(row, factor) for row in part.to_dict("records")]
    drawn = axis.errorbar(
        x,
        joined_means(part, factor),
        yerr=np.nan_to_num(np.stack([below, above])),
        label=name,
        markersize=4.5,
        linewidth=1.5,
        elinewidth=1,
        capsize=2,
        **style,
    )
    attach_hover_texts(drawn, texts)
    draw_spreads(axis, x, part, factor, style["color"])
    draw_dense_marks(axis, x, part, factor, style["color"], texts)
    draw_learned_nothing(axis, x, part, factor, style["color"], texts, limits)


def draw_spreads(axis: Axes, x: Any, part: pd.DataFrame, factor: float, colour: str) -> None:
    """Draw the spread of each mean over configurations as a dotted bar, which is no interval.

    Args:
        axis: The panel.
        x: Positions, shape [rows].
        part: ``spread_low spread_high``, NaN where a mean is over seeds; without them, none.
        factor: Factor that they are multiplied with.
        colour: Colour of the bars.
    """
    if "spread_low" not in part or part["spread_low"].isna().all():
        return
    for place, low, high in zip(x, part["spread_low"], part["spread_high"], strict=True):
        if not np.isnan(low):
            ends = [factor * low, factor * high]
            axis.plot([place, place], ends, color=colour, linestyle=":", linewidth=1.2)


def attach_hover_texts(artist: Any, texts: Sequence[str]) -> None:
    """Set what an artist's marks show when pointed at in the interactive figure.

    Without such texts, a mark shows its position.

    Args:
        artist: The artist, or a container of error bars.
        texts: One text per mark, of one or several lines.
    """
    artist.hover_texts = list(texts)


def attached_hover_texts(artist: Any) -> list[str] | None:
    """The texts that `attach_hover_texts` has set; None if it has not."""
    texts: list[str] | None = getattr(artist, "hover_texts", None)
    return texts


def draw_key(axis: Axes, name: str, **style: Any) -> None:
    """Draw a line without points, which stands for a name in the legend.

    It stands there instead of what is drawn under the same name.

    Args:
        axis: A panel.
        name: The name.
        style: Matplotlib's style of the line.
    """
    (line,) = axis.plot([], [], label=name, **style)
    setattr(line, KEY_MARK, True)


def is_key(artist: Any) -> bool:
    """True for what `draw_key` has drawn."""
    return bool(getattr(artist, KEY_MARK, False))


def _mean_hover_text(row: Mapping[Any, Any], factor: float) -> str:
    """A mark's sparsity and length, and on a second line its mean with the interval, and n."""
    where = []
    if "sparsity" in row:
        where.append(f"{100 * row['sparsity']:.10g} % sparsity")
    where += [f"{row[length]:g} epochs" for length in ("epochs", "to_epochs") if length in row]
    found = f"{factor * row['mean']:.4g}"
    low = factor * row["low"]
    high = factor * row["high"]
    if low < high:
        found += f" [{low:.4g}, {high:.4g}]"
    if row.get("configurations", 1) > 1:
        found = pooled_text(row, factor)
    elif "n" in row:
        found += f", n = {row['n']}"
    return f"{', '.join(where)}\n{found}".strip()


def pooled_text(row: Mapping[Any, Any], factor: float) -> str:
    """A mean over configurations with their spread: ``81.7, 3 configurations from 81.2 to 82.2``.

    Args:
        row: ``mean configurations spread_low spread_high``.
        factor: Factor that they are multiplied with.
    """
    spread = f"{factor * row['spread_low']:.4g} to {factor * row['spread_high']:.4g}"
    return f"{factor * row['mean']:.4g}, {row['configurations']} configurations from {spread}"


def add_line_legend(axes: Sequence[Axes], by: str | None, order: Iterable[Any]) -> Figure:
    """Add one legend for all panels, to their right, and return the figure.

    Args:
        axes: The panels.
        by: Field that tells the lines apart; None for a figure without a legend.
        order: Values of the field, in the order of the legend. Names of other lines come first.
    """
    names = list(_legend_handles(axes))
    if not names or not (by or LEARNED_NOTHING in names):
        return _figure_of(axes)
    field = None if by == "arm" else by
    positions: dict[str, int] = {}
    for value in order:
        name = line_name(field, value) or str(value)
        positions.setdefault(name, len(positions))
    names.sort(key=lambda name: positions.get(name, -1))
    return add_legend(axes, LEGEND_TITLES.get(by, by), names)


def add_legend(axes: Sequence[Axes], title: str | None = None, names: Sequence[str] = ()) -> Figure:
    """Add one legend for all panels, to their right, and return the figure.

    Args:
        axes: The panels.
        title: Title of the legend.
        names: Names in the legend's order; by default every name once, as drawn. What stands for
            networks that have learned nothing comes last.
    """
    handles = _legend_handles(axes)
    last = [LEARNED_NOTHING] * (LEARNED_NOTHING in handles)
    names = [name for name in names or handles if name != LEARNED_NOTHING] + last
    figure = _figure_of(axes)
    figure.legend(
        [handles[name] for name in names],
        names,
        title=title,
        loc="outside right upper",
        alignment="left",
    )
    return figure


def _figure_of(axes: Sequence[Axes]) -> Figure:
    return cast("Figure", axes[0].get_figure(root=True))


def _legend_handles(axes: Sequence[Axes]) -> dict[str, Any]:
    """Handle of each name, in the order of drawing; of a name in several panels the last.

    A key goes before what is drawn.
    """
    handles_by_name: dict[str, Any] = {}
    for axis in axes:
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
            if is_key(handle) or not is_key(handles_by_name.get(name)):
                handles_by_name[name] = handle
    return handles_by_name
