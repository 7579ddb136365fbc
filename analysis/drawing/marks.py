"""Marks with their intervals, what they say when pointed at, and the legend that names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from analysis.quantities import line_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_means(
    axis: Axes, x: Any, part: pd.DataFrame, factor: float, style: Mapping[str, Any], name: str
) -> None:
    """Means with their intervals, at ``x``, as one line of the legend.

    Args:
        axis: Where to draw.
        x: Positions, one per row.
        part: ``mean low high``, and what `attach_hover_texts` is to say: ``sparsity``, a length, ``n``.
        factor: What the three are multiplied with.
        style: Colour, marker and line style.
        name: In the legend.
    """
    ends = factor * np.stack([part["mean"] - part["low"], part["high"] - part["mean"]])
    drawn = axis.errorbar(
        x,
        factor * part["mean"],
        yerr=np.nan_to_num(ends),
        label=name,
        markersize=4.5,
        linewidth=1.5,
        elinewidth=1,
        capsize=2,
        **style,
    )
    attach_hover_texts(drawn, [_mean_hover_text(row, factor) for row in part.to_dict("records")])


def attach_hover_texts(artist: Any, told: Sequence[str]) -> None:
    """Say what a reader who points at each of an artist's marks is told in the interactive figure, a line break apart.

    Without it that is where the mark lies.
    """
    artist.told = list(told)


def _mean_hover_text(row: Mapping[Any, Any], factor: float) -> str:
    """Where a mark stands, its mean with the interval, and n."""
    where = [f"{100 * row['sparsity']:.10g} % sparsity"] if "sparsity" in row else []
    where += [f"{row[length]:g} epochs" for length in ("epochs", "to_epochs") if length in row]
    mean, low, high = (factor * row[end] for end in ("mean", "low", "high"))
    said = f"{mean:.4g}" + (f" [{low:.4g}, {high:.4g}]" if low < high else "")
    return "\n".join([", ".join(where), said + (f", n = {row['n']}" if "n" in row else "")]).strip()


def add_line_legend(axes: Sequence[Axes], by: str | None, order: Iterable[Any]) -> Figure:
    """One legend for all panels, beside them; the names in ``order``."""
    found = _legend_handles(axes)
    figure = cast("Figure", axes[0].get_figure(root=True))
    if by and found:
        titles = {
            "arm": None,
            "sparsity.target": "Sparsity",
            "schedule.epoch_multiplier": "Epochs",
            "schedule.epochs": "Trained for",
        }
        ordered = [line_name(None if by == "arm" else by, value) or str(value) for value in order]
        names = sorted(found, key=lambda name: ordered.index(name) if name in ordered else -1)
        return add_legend(axes, titles.get(by, by), names)
    return figure


def add_legend(axes: Sequence[Axes], title: str | None = None, names: Sequence[str] = ()) -> Figure:
    """One legend for all panels, beside them: every name once, in the order of ``names`` where that is given."""
    found = _legend_handles(axes)
    figure = cast("Figure", axes[0].get_figure(root=True))
    names = [*(names or found)]
    handles = [found[name] for name in names]
    figure.legend(handles, names, title=title, loc="outside right upper", alignment="left")
    return figure


def _legend_handles(axes: Sequence[Axes]) -> dict[str, Any]:
    """The handle of each name; of names in several panels the last one's."""
    return {
        name: handle
        for axis in axes
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)
    }
