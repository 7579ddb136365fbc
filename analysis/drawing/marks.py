"""Marks with their intervals and hover texts, and the legend that names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from ..quantities import line_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEY_MARK = "is_key"
"""Attribute of an artist that `draw_key` has drawn."""
LEGEND_TITLES = {
    "arm": None,
    "sparsity.target": "Sparsity",
    "schedule.epoch_multiplier": "Epochs",
    "schedule.epochs": "Trained for",
}
"""Titles of legends, by the field that tells the lines apart."""


def draw_means(
    axis: Axes, x: Any, part: pd.DataFrame, factor: float, style: Mapping[str, Any], name: str
) -> None:
    """Draw means with their intervals, as one line of the legend.

    Args:
        axis: The panel.
        x: Positions, shape [rows].
        part: ``mean low high``, and for the hover texts ``sparsity``, a length and ``n`` if known.
        factor: Factor that means and intervals are multiplied with.
        style: Colour, marker and line style.
        name: Name in the legend.
    """
    below = factor * (part["mean"] - part["low"])
    above = factor * (part["high"] - part["mean"])
    drawn = axis.errorbar(
        x,
        factor * part["mean"],
        yerr=np.nan_to_num(np.stack([below, above])),
        label=name,
        markersize=4.5,
        linewidth=1.5,
        elinewidth=1,
        capsize=2,
        **style,
    )
    attach_hover_texts(drawn, [_mean_hover_text(row, factor) for row in part.to_dict("records")])


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
    if "n" in row:
        found += f", n = {row['n']}"
    return f"{', '.join(where)}\n{found}".strip()


def add_line_legend(axes: Sequence[Axes], by: str | None, order: Iterable[Any]) -> Figure:
    """Add one legend for all panels, to their right, and return the figure.

    Args:
        axes: The panels.
        by: Field that tells the lines apart; None for a figure without a legend.
        order: Values of the field, in the order of the legend. Names of other lines come first.
    """
    names = list(_legend_handles(axes))
    if not by or not names:
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
        names: Names in the legend's order; by default every name once, as drawn.
    """
    handles = _legend_handles(axes)
    names = list(names or handles)
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
