"""Figure of importance: a panel per band of sparsity, a dot per search axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from sparsetune.errors import SparsetuneError
from sparsetune.study.questions.words import arm_words

from ... import wording
from ...drawers import draws
from ...drawing.axes import make_panels
from ...drawing.line_styles import row_colours
from ...drawing.marks import attach_hover_texts
from ...drawing.style import project_style
from ..axis_text import short_axis_name
from ..responses import MIN_CONFIGURATIONS
from .importance import MATTERS, Importance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_COLUMNS = 4


@draws(Importance)
def draw_importance(found: Importance) -> Figure:
    """Draw the share of every axis: filled if it matters, hollow otherwise.

    Raises:
        SparsetuneError: if no band has enough configurations.
    """
    frame = found.frame().dropna(subset="share")
    if frame.empty:
        raise SparsetuneError(
            f"importance needs {MIN_CONFIGURATIONS} configurations in a band of sparsity:"
            " no band has them"
        )
    axes = list(dict.fromkeys(frame["axis"]))
    names = [short_axis_name(path) for path in axes]
    has_several_arms = frame["arm"].nunique() > 1
    frame = frame.assign(colour=row_colours(frame))
    bands = list(frame.groupby(["arm", "band"], sort=False))
    with project_style():
        height = 0.55 + 0.42 * len(axes)
        panels = make_panels(len(bands), columns=PANEL_COLUMNS, size=(2.3, height))
        for number, (panel, (key, part)) in enumerate(zip(panels, bands, strict=True)):
            arm, band = map(str, key)
            _draw_shares(panel, part, axes, part["colour"].iloc[0])
            is_ambiguous = has_several_arms and band != arm
            style = {"color": part["colour"].iloc[0]} if has_several_arms else {}
            panel.set_title(f"{arm_words(arm)}, {band}" if is_ambiguous else band, **style)
            is_in_last_row = number >= len(bands) - PANEL_COLUMNS
            _format_axis(panel, names, is_in_last_row)
        return cast("Figure", panels[0].get_figure(root=True))


def _draw_shares(panel: Axes, part: pd.DataFrame, axes: Sequence[str], colour: str) -> None:
    """Draw the shares of one band, one below the other, in the colour of its arm."""
    heights = part["axis"].map(axes.index).to_numpy()
    shares = 100 * part["share"].to_numpy(dtype=np.float64)
    texts: Any = np.array([_hover_text(row) for row in part.to_dict("records")], dtype=object)
    matters = part["verdict"].eq(MATTERS).to_numpy()
    # A line has one fill for all its marks: filled and hollow ones are two lines.
    for is_shown, fill in ((matters, colour), (~matters, "white")):
        style: dict[str, Any] = {
            "color": colour,
            "markerfacecolor": fill,
            "markersize": 6,
        }
        (marks,) = panel.plot(shares[is_shown], heights[is_shown], "o", **style)
        attach_hover_texts(marks, texts[is_shown])


def _hover_text(row: Mapping[Any, Any]) -> str:
    """Text of a share when pointed at."""
    name = short_axis_name(row["axis"])
    share = f"importance {100 * row['share']:.3g} %"
    return wording.hover_text(name, share, row["n"], row["verdict"])


def _format_axis(panel: Axes, names: Sequence[str], is_last: bool) -> None:
    """Set ticks and limits of a panel; the last ones have labels below."""
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_xlim(-3, 103)
    panel.grid(visible=False, axis="y")
    panel.tick_params(labelbottom=is_last)
    if is_last:
        panel.set_xlabel("Importance (%)")
