"""Figures of the training length: verdicts, epochs that each sparsity needs, gain beyond dense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from sparsetune.study.questions.words import arm_words

from .. import wording
from ..drawers import draws
from ..drawing.axes import log_density, make_panels, require_rows, set_sparsity_axis
from ..drawing.line_styles import LineStyles, arm_styles
from ..drawing.marks import add_line_legend, attach_hover_texts, draw_means
from ..drawing.style import project_style
from ..estimates.means import add_dense_points
from ..measure import Measure
from ..quantities import line_name
from .needed import NOT_SETTLED as LENGTH_NOT_SETTLED
from .needed import EpochsNeeded
from .verdicts import ENOUGH, NOT_SETTLED, OVER_TRAINED, UNDER_TRAINED, Undertraining

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VERDICT_LETTERS = {UNDER_TRAINED: "U", ENOUGH: "E", OVER_TRAINED: "O", NOT_SETTLED: "?"}
VERDICT_COLOURS = {
    UNDER_TRAINED: "#ee7733",
    ENOUGH: "#009988",
    OVER_TRAINED: "#332288",
    NOT_SETTLED: "#dddddd",
}
DARK_VERDICTS = (OVER_TRAINED, ENOUGH)
"""Verdicts whose colour needs white letters."""
TILE_WIDTH = 0.92
TILE_HEIGHT = 0.88
ARM_OFFSET = 0.015
"""Distance between the marks of two arms at one sparsity, as a part of the axis."""
GAIN_OFFSET = 0.14
"""Distance between the marks of two sparsities at one length; lengths are 1 apart."""


@draws(Undertraining)
def draw_verdicts(found: Undertraining) -> Figure:
    """Draw sparsity by length, a tile with letter and gain for every cell: a panel per arm.

    Dense networks are in every panel.

    Raises:
        SparsetuneError: if there is no cell.
    """
    lacking = "no cell has a finished report trial with a length"
    frame = add_dense_points(require_rows(found.frame(), lacking))
    arms = list(dict.fromkeys(frame["arm"]))
    lengths = sorted(set(frame["epochs"]))
    sparsities = sorted(set(frame["sparsity"]))
    size = (max(2.4, 0.62 * len(sparsities) + 0.6), max(1.8, 0.52 * len(lengths) + 0.6))
    with project_style():
        axes = make_panels(len(arms), size=size)
        for arm, axis in zip(arms, axes, strict=True):
            part = frame[frame["arm"] == arm]
            for row in part.to_dict("records"):
                column = sparsities.index(row["sparsity"])
                line = lengths.index(row["epochs"])
                _draw_tile(axis, column, line, row, found.y)
            # Tiles are patches, which have no text in the interactive figure; marks have.
            _attach_tile_texts(axis, part, sparsities, lengths)
            axis.grid(visible=False)
            axis.set_title(arm_words(arm))
            names = [f"{100 * sparsity:.10g}" for sparsity in sparsities]
            axis.set_xticks(range(len(sparsities)), names)
            axis.set_yticks(range(len(lengths)), [f"{length:g}" for length in lengths])
            axis.set_xlim(-0.55, len(sparsities) - 0.45)
            axis.set_ylim(-0.55, len(lengths) - 0.45)
            axis.set_xlabel("Sparsity (%)")
        axes[0].set_ylabel("Trained for (epochs)")
        return _add_verdict_legend(cast("Figure", axes[0].get_figure(root=True)))


def _add_verdict_legend(figure: Figure) -> Figure:
    """Add the legend of letters and colours."""
    from matplotlib.patches import Patch

    handles = [
        Patch(color=colour, label=f"{VERDICT_LETTERS[name]}  {name}")
        for name, colour in VERDICT_COLOURS.items()
    ]
    figure.legend(handles=handles, loc="outside right upper", alignment="left")
    return figure


def _attach_tile_texts(
    axis: Axes, part: pd.DataFrame, sparsities: list[float], lengths: list[float]
) -> None:
    """Put an invisible mark on every tile, which shows its verdict when pointed at."""
    x = part["sparsity"].map(sparsities.index)
    y = part["epochs"].map(lengths.index)
    (marks,) = axis.plot(x, y, "s", markersize=14, color="none", markeredgecolor="none", zorder=5)
    texts = []
    for row in part.to_dict("records"):
        where = f"{100 * row['sparsity']:.10g} % sparsity, {row['epochs']:g} epochs"
        texts.append(f"{where}\n{row['verdict']}: {row['reason']}")
    attach_hover_texts(marks, texts)


def _draw_tile(axis: Axes, x: int, y: int, row: Mapping[Any, Any], measure: Measure) -> None:
    """Draw the tile of one cell: its colour, its letter and, if it is known, its gain.

    Args:
        axis: Where to draw.
        x: Column of the tile.
        y: Row of the tile, from below.
        row: ``verdict gain`` of the cell.
        measure: Measure of the gain.
    """
    from matplotlib.patches import Rectangle

    has_gain = not pd.isna(row["gain"])
    corner = (x - TILE_WIDTH / 2, y - TILE_HEIGHT / 2)
    tile = Rectangle(
        corner,
        TILE_WIDTH,
        TILE_HEIGHT,
        facecolor=VERDICT_COLOURS[row["verdict"]],
        edgecolor="none",
    )
    axis.add_patch(tile)
    ink = "white" if row["verdict"] in DARK_VERDICTS else "black"
    centred: dict[str, Any] = {"color": ink, "ha": "center", "va": "center"}
    letter = VERDICT_LETTERS[row["verdict"]]
    # The letter makes room for the gain below it.
    letter_height = y + 0.15 if has_gain else y
    axis.text(x, letter_height, letter, weight="bold", fontsize=10, **centred)
    if has_gain:
        digits = "+.1f" if measure.has_usual_size else "+.2g"
        gain = f"{measure.factor * row['gain']:{digits}}"
        axis.text(x, y - 0.22, gain, fontsize=7, **centred)


@draws(EpochsNeeded)
def draw_epochs_needed(found: EpochsNeeded) -> Figure:
    """Draw epochs needed against sparsity, a line per arm that starts at dense.

    A hollow mark means "not settled", a triangle above that no run length is shown to suffice.

    Raises:
        SparsetuneError: if there is no line of cells.
    """
    lacking = "no cell has finished report trials of two lengths or more"
    frame = add_dense_points(require_rows(found.frame(), lacking))
    styles = arm_styles(frame)
    with project_style():
        axes = make_panels(1, size=(5.2, 3.8))
        axis = axes[0]
        # There is a tick at every length at which a mark or a bar ends.
        lengths = sorted({*frame["epochs"], *frame["longest"], *frame["low"].dropna()})
        step = ARM_OFFSET * float(np.ptp(log_density(frame["sparsity"])))
        for rank, (arm, style) in enumerate(styles.items()):
            part = frame[frame["arm"] == arm].sort_values("sparsity", kind="stable")
            offset = step * (rank - (len(styles) - 1) / 2)
            x = np.asarray(log_density(part["sparsity"])) + offset
            _draw_needed_epochs(axis, x, part, style, arm)
        set_sparsity_axis(axis.xaxis, frame["sparsity"])
        axis.set_yscale("log", base=2)
        axis.set_yticks(lengths, [f"{length:g}" for length in lengths])
        axis.minorticks_off()
        axis.set_ylabel("Epochs needed (log scale)")
        return add_line_legend(axes, "arm", styles)


def _hover_text(row: Mapping[Any, Any]) -> str:
    """Text of a number of epochs when pointed at."""
    return wording.hover_text(f"{100 * row['sparsity']:.10g} % sparsity", row["needed"], row["n"])


def _bar_ends(part: pd.DataFrame) -> Any:
    """Lengths of the bars below and above each mark, shape [2, n]; 0 without an interval."""
    epochs = part["epochs"]
    low = part["low"].fillna(epochs).clip(upper=epochs)
    # A bar without an upper end is drawn to the longest training.
    high = part["high"].replace(np.inf, np.nan).fillna(part["longest"])
    high = high.where(part["high"].notna(), epochs)
    return np.stack([epochs - low, (high - epochs).clip(lower=0)])


def _draw_needed_epochs(
    axis: Axes, x: Any, part: pd.DataFrame, style: Mapping[str, Any], arm: str
) -> None:
    """Draw the line of one arm with its bars, hollow marks and open ends."""
    colour = style["color"]
    epochs = part["epochs"]
    marker_style: dict[str, Any] = {
        "linestyle": "none",
        "color": colour,
        "marker": style["marker"],
        "markersize": 6,
    }
    bar_style: dict[str, Any] = {"ecolor": colour, "elinewidth": 1, "capsize": 3, "fmt": "none"}
    (line,) = axis.plot(x, epochs, color=colour, linewidth=1.3, zorder=2)
    bars = axis.errorbar(x, epochs, yerr=_bar_ends(part), zorder=2, **bar_style)
    (marks,) = axis.plot(x, epochs, label=arm, zorder=3, **marker_style)
    is_open = np.isinf(part["high"].to_numpy(np.float64))
    is_unsettled = part["verdict"].eq(LENGTH_NOT_SETTLED).to_numpy()
    (hollow,) = axis.plot(
        x[is_unsettled], epochs[is_unsettled], markerfacecolor="white", zorder=4, **marker_style
    )
    triangles: dict[str, Any] = {
        "linestyle": "none",
        "marker": "^",
        "color": colour,
        "markersize": 5,
    }
    # A little above the longest training, where a bar without an upper end stops.
    (open_ends,) = axis.plot(x[is_open], part["longest"][is_open] * 1.12, **triangles)
    texts: Any = np.array([_hover_text(row) for row in part.to_dict("records")], dtype=object)
    for artist in (line, marks, *bars.lines[1]):
        attach_hover_texts(artist, texts)
    attach_hover_texts(hollow, texts[is_unsettled])
    attach_hover_texts(open_ends, texts[is_open])


def draw_gains(frame: pd.DataFrame, y: Measure) -> Figure:
    """Draw the extension gain of each sparsity at each longer length: a panel per arm.

    Args:
        frame: Rows of `extension_gain`; only claimed steps are drawn.
        y: The measure.
    """
    frame = frame[frame["claimed"].eq(True) & (frame["n"] > 0)]
    frame = frame.assign(mean=frame["gain"])
    arms = list(dict.fromkeys(frame["arm"]))
    lengths = sorted(set(frame["to_epochs"]))
    with project_style():
        axes = make_panels(len(arms))
        styles = LineStyles(frame, frame["sparsity"], "sparsity.target")
        for arm, axis in zip(arms, axes, strict=False):
            axis.axhline(0, color="#555555", linewidth=1)
            _draw_gain_marks(axis, frame[frame["arm"] == arm], lengths, styles, y.factor)
            axis.set_title(arm, **styles.title(arm))
            axis.set_xticks(range(len(lengths)), [f"{length:g}" for length in lengths])
            axis.set_xlim(-0.6, len(lengths) - 0.4)
            axis.set_xlabel("Trained for (epochs)")
        axes[0].set_ylabel(y.difference_label(": gain beyond dense"))
        styles.draw_keys(axes[-1], linestyle="none", markersize=4.5)
        return add_line_legend(axes, "sparsity.target", styles.values)


def _draw_gain_marks(
    axis: Axes,
    part: pd.DataFrame,
    lengths: Sequence[float],
    styles: LineStyles,
    factor: float,
) -> None:
    """Draw the gains of one arm, those of one length beside each other."""
    for rank, sparsity in enumerate(styles.values):
        own = part[part["sparsity"] == sparsity]
        if own.empty:
            continue
        offset = GAIN_OFFSET * (rank - (len(styles.values) - 1) / 2)
        # Lengths are categories here, so that marks beside each other stay apart.
        x = own["to_epochs"].map(lengths.index) + offset
        style = {**styles.line(str(own["arm"].iloc[0]), sparsity), "linestyle": "none"}
        draw_means(axis, x, own, factor, style, line_name("sparsity.target", sparsity))
