"""Drawing verdicts on the length of training, and how many epochs each sparsity needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis import wording
from analysis.drawing.axes import log_density, make_panels, require_rows, set_sparsity_ticks
from analysis.drawing.marks import add_line_legend, attach_hover_texts
from analysis.drawing.style import arm_styles, project_style
from analysis.estimates.means import add_dense_points
from analysis.quantities import display_factor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.lengths.saturation import Saturation
    from analysis.lengths.verdicts import Undertraining

VERDICT_LETTERS = {"under-trained": "U", "saturated": "S", "over-trained": "O", "cannot tell": "?"}
VERDICT_COLOURS = {
    "under-trained": "#ee7733",
    "saturated": "#009988",
    "over-trained": "#332288",
    "cannot tell": "#dddddd",
}
UNSURE_ALPHA = 0.3
"""How opaque a tile is whose verdict is not sure."""


def draw_verdicts(found: Undertraining) -> Figure:
    """A panel per arm, dense networks in each: sparsity by length, a tile with letter and gain for every cell.

    Raises:
        SparsetuneError: if there is no cell.
    """
    from matplotlib.patches import Patch

    frame = add_dense_points(
        require_rows(found.frame(), "no cell has a finished report trial with a length")
    )
    arms = list(dict.fromkeys(frame["arm"]))
    lengths = sorted(set(frame["epochs"]))
    sparsities = sorted(set(frame["sparsity"]))
    size = (max(2.4, 0.62 * len(sparsities) + 0.6), max(1.8, 0.52 * len(lengths) + 0.6))
    with project_style():
        axes = make_panels(len(arms), size=size)
        for arm, axis in zip(arms, axes, strict=True):
            for row in frame[frame["arm"] == arm].to_dict("records"):
                _draw_tile(
                    axis,
                    sparsities.index(row["sparsity"]),
                    lengths.index(row["epochs"]),
                    row,
                    display_factor(found.y),
                )
            _attach_tile_texts(axis, frame[frame["arm"] == arm], sparsities, lengths)
            axis.grid(visible=False)
            axis.set_title(arm)
            axis.set_xticks(
                range(len(sparsities)), [f"{100 * sparsity:.10g}" for sparsity in sparsities]
            )
            axis.set_yticks(range(len(lengths)), [f"{length:g}" for length in lengths])
            axis.set_xlim(-0.55, len(sparsities) - 0.45)
            axis.set_ylim(-0.55, len(lengths) - 0.45)
            axis.set_xlabel("Sparsity (%)")
        axes[0].set_ylabel("Trained for (epochs)")
        handles = [
            Patch(color=colour, label=f"{VERDICT_LETTERS[name]}  {name}")
            for name, colour in VERDICT_COLOURS.items()
        ]
        handles.insert(
            2,
            Patch(
                color=VERDICT_COLOURS["saturated"],
                alpha=UNSURE_ALPHA,
                label="S  saturated or too few seeds",
            ),
        )
        figure: Any = axes[0].get_figure(root=True)
        figure.legend(handles=handles, loc="outside right upper", alignment="left")
        return figure  # type: ignore[no-any-return]


def _attach_tile_texts(
    axis: Axes, part: pd.DataFrame, sparsities: list[float], lengths: list[float]
) -> None:
    """An unseen mark on every tile, which tells its verdict when pointed at."""
    x, y = (
        part[column].map(known.index)
        for column, known in (("sparsity", sparsities), ("epochs", lengths))
    )
    (marks,) = axis.plot(x, y, "s", markersize=14, color="none", markeredgecolor="none", zorder=5)
    rows = part.to_dict("records")
    where = [f"{100 * row['sparsity']:.10g} % sparsity, {row['epochs']:g} epochs" for row in rows]
    attach_hover_texts(
        marks,
        [f"{at}\n{row['verdict']}: {row['reason']}" for at, row in zip(where, rows, strict=True)],
    )


def _draw_tile(axis: Axes, x: int, y: int, row: dict[Any, Any], scale: float) -> None:
    from matplotlib.patches import Rectangle

    sure = row["verdict"] != "saturated" or bool(row["sure"])
    colour = VERDICT_COLOURS[row["verdict"]]
    dark = sure and row["verdict"] in ("over-trained", "saturated")
    tile = Rectangle(
        (x - 0.46, y - 0.44),
        0.92,
        0.88,
        facecolor=colour,
        alpha=1 if sure else UNSURE_ALPHA,
        edgecolor="none",
    )
    axis.add_patch(tile)
    ink = "white" if dark else "black"
    known = not pd.isna(row["gain"])
    letter = axis.text(
        x,
        y + 0.15 * known,
        VERDICT_LETTERS[row["verdict"]],
        color=ink,
        ha="center",
        va="center",
        weight="bold",
    )
    letter.set_fontsize(10)
    if known:
        axis.text(
            x,
            y - 0.22,
            f"{scale * row['gain']:+.1f}",
            color=ink,
            ha="center",
            va="center",
            fontsize=7,
        )


def draw_saturation(found: Saturation) -> Figure:
    """Epochs needed against sparsity, a line per arm that starts at dense; hollow with an arrow for "at least".

    Raises:
        SparsetuneError: if there is no line of cells.
    """
    frame = add_dense_points(
        require_rows(found.frame(), "no cell has finished report trials of two lengths or more")
    )
    styles = arm_styles(frame["arm"])
    with project_style():
        axes = make_panels(1, size=(5.2, 3.8))
        axis = axes[0]
        lengths = sorted({*frame["epochs"], *frame["longest"], *frame["low"].dropna()})
        step = 0.015 * float(np.ptp(log_density(frame["sparsity"])))
        for rank, (arm, style) in enumerate(styles.items()):
            part = frame[frame["arm"] == arm].sort_values("sparsity", kind="stable")
            moved = step * (rank - (len(styles) - 1) / 2)
            x = np.asarray(log_density(part["sparsity"])) + moved
            _draw_needed_epochs(axis, x, part, style, arm)
        axis.set_xlabel("Sparsity (%)")
        set_sparsity_ticks(axis.xaxis, frame["sparsity"])
        axis.set_yscale("log", base=2)
        axis.set_yticks(lengths, [f"{length:g}" for length in lengths])
        axis.minorticks_off()
        axis.set_ylabel("Epochs needed (log scale)")
        return add_line_legend(axes, "arm", styles)


def _hover_text(row: dict[Any, Any]) -> str:
    """What a number of epochs says when pointed at."""
    return wording.hover_text(f"{100 * row['sparsity']:.10g} % sparsity", row["needed"], row["n"])


def _draw_needed_epochs(
    axis: Axes, x: Any, part: pd.DataFrame, style: dict[str, Any], arm: str
) -> None:
    low = part["low"].fillna(part["epochs"]).clip(upper=part["epochs"])
    high = (
        part["high"]
        .replace(np.inf, np.nan)
        .fillna(part["longest"])
        .where(part["high"].notna(), part["epochs"])
    )
    ends = np.stack([part["epochs"] - low, (high - part["epochs"]).clip(lower=0)])
    quiet = {
        "linestyle": "none",
        "color": style["color"],
        "marker": style["marker"],
        "markersize": 6,
    }
    (line,) = axis.plot(x, part["epochs"], color=style["color"], linewidth=1.3, zorder=2)
    bars = axis.errorbar(
        x,
        part["epochs"],
        yerr=ends,
        ecolor=style["color"],
        elinewidth=1,
        capsize=3,
        fmt="none",
        zorder=2,
    )
    (marks,) = axis.plot(x, part["epochs"], label=arm, zorder=3, **quiet)
    open_ = part["at_least"].astype(bool).to_numpy()
    (hollow,) = axis.plot(
        x[open_], part["epochs"][open_], markerfacecolor="white", zorder=4, **quiet
    )
    beyond = open_ | np.isinf(part["high"]).to_numpy()
    above = {"linestyle": "none", "marker": "^", "color": style["color"], "markersize": 5}
    (open_end,) = axis.plot(x[beyond], part["longest"][beyond] * 1.12, **above)
    told: Any = np.array([_hover_text(row) for row in part.to_dict("records")], dtype=object)
    for drawn in (line, marks, *bars.lines[1]):
        attach_hover_texts(drawn, told)
    attach_hover_texts(hollow, told[open_])
    attach_hover_texts(open_end, told[beyond])
