"""The figure of `analysis.recipes.importance`: a panel per band of sparsity, a dot per search axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from analysis import wording
from analysis.drawing.axes import make_panels
from analysis.drawing.marks import attach_hover_texts
from analysis.drawing.style import ARM_COLOURS, project_style
from analysis.recipes.optimum_figure import axis_name
from analysis.recipes.responses import MIN_CONFIGURATIONS
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.recipes.importance import Importance


def draw_importance(found: Importance) -> Figure:
    """The share of every axis with its spread: filled where it matters, hollow where chance may explain it.

    Raises:
        SparsetuneError: if no band has enough configurations.
    """
    frame = found.frame().dropna(subset="share")
    if frame.empty:
        raise SparsetuneError(
            f"importance needs {MIN_CONFIGURATIONS} configurations in a band of sparsity: no band has them"
        )
    axes = list(dict.fromkeys(frame["axis"]))
    arms = list(dict.fromkeys(frame["arm"]))
    bands = list(frame.groupby(["arm", "band"], sort=False))
    with project_style():
        grid = make_panels(len(bands), columns=4, size=(2.3, 0.55 + 0.42 * len(axes)))
        for number, (panel, ((arm, band), part)) in enumerate(zip(grid, bands, strict=True)):
            at = part["axis"].map(axes.index).to_numpy()
            share, low, high = (
                100 * part[name].to_numpy(dtype=np.float64) for name in ("share", "low", "high")
            )
            sure = part["verdict"].eq("matters").to_numpy()
            panel.hlines(at, low, high, color=ARM_COLOURS[0], linewidth=1.3, alpha=0.6)
            told: Any = np.array(
                [_hover_text(row) for row in part.to_dict("records")], dtype=object
            )
            for which, fill in ((sure, ARM_COLOURS[0]), (~sure, "white")):
                style: dict[str, Any] = {
                    "color": ARM_COLOURS[0],
                    "markerfacecolor": fill,
                    "markersize": 6,
                }
                (marks,) = panel.plot(share[which], at[which], "o", **style)
                attach_hover_texts(marks, told[which])
            several = len(arms) > 1 and str(band) != str(arm)
            panel.set_title(f"{arm}, {band}" if several else str(band))
            _format_axis(
                panel,
                [axis_name(path).split(" (")[0] for path in axes],
                last=number >= len(bands) - 4,
            )
        return cast("Figure", grid[0].get_figure(root=True))


def _hover_text(row: dict[Any, Any]) -> str:
    found = f"importance {wording.format_interval(row['share'], row['low'], row['high'], 100, '{:.3g}')} %"
    return wording.hover_text(
        axis_name(row["axis"]).split(" (")[0], found, row["n"], row["verdict"]
    )


def _format_axis(panel: Axes, names: list[str], last: bool) -> None:
    panel.set_yticks(range(len(names)), names)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_xlim(-3, 103)
    panel.grid(visible=False, axis="y")
    panel.tick_params(labelbottom=last)
    if last:
        panel.set_xlabel("Importance (%)")
