"""Figure of training histories: a thin line per trial, darker for a higher sparsity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsetune.study.questions.words import arm_words

from ..drawing.axes import log_density, make_panels, set_sparsity_axis
from ..drawing.line_styles import LineStyles
from ..drawing.marks import add_line_legend
from ..drawing.style import project_style
from ..measure import Measure
from ..quantities import column_label, line_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_FIGURE_POINTS = 12_000
"""Points of a figure. Evaluations of longer histories are left out, but never the last one."""


LINE_STYLE: dict[str, Any] = {"marker": "", "linewidth": 1.1, "alpha": 0.85}
SPARSITY_COLUMN = "sparsity_now"
"""Sparsity of the mask, which is drawn on the axis of log density."""


def draw_histories(frame: pd.DataFrame, y: Measure) -> Figure:
    """Draw ``y`` over training, a line per trial; rows of panels are arms, columns are lengths.

    If every arm has one length, the arms follow each other in three columns.

    Args:
        frame: One row per trial and evaluation: ``arm sparsity epochs seed trial_id progress`` and
            ``y``.
        y: The measure; sparsity itself is drawn on the log-density axis.
    """
    lengths = sorted(set(frame["epochs"]))
    panels = _panels(frame)
    arms = list(dict.fromkeys(frame["arm"]))
    columns = min(3, len(arms) if len(panels) == len(arms) else len(lengths))
    with project_style():
        axes = make_panels(len(panels), columns=columns, size=(3.3, 2.3))
        styles = LineStyles(frame, frame["sparsity"], "sparsity.target")
        stride = _evaluation_stride(frame)
        for (arm, length), axis in zip(panels, axes, strict=False):
            part = frame[(frame["arm"] == arm) & (frame["epochs"] == length)]
            _draw_lines(axis, part, y, styles, stride)
            name = arm_words(arm)
            title = f"{name}, {length:g} epochs" if len(lengths) > 1 else name
            axis.set_title(title, **styles.title(arm))
            axis.set_xlim(0, 100)
            if y.column == SPARSITY_COLUMN:
                set_sparsity_axis(axis.yaxis, [0, *frame["sparsity"]], column=SPARSITY_COLUMN)
            else:
                axis.set_ylabel(y.label)
        for number, axis in enumerate(axes):
            if number % columns:
                axis.set_ylabel("")
        for axis in axes[-columns:]:
            axis.set_xlabel(column_label("progress"))
            axis.tick_params(labelbottom=True)
        styles.draw_keys(axes[-1], **LINE_STYLE)
        return add_line_legend(axes, "sparsity.target", styles.values)


def _panels(frame: pd.DataFrame) -> list[tuple[str, float]]:
    """Arm and length of each panel: all pairs, or the measured ones if every arm has one length."""
    arms = list(dict.fromkeys(frame["arm"]))
    lengths = sorted(set(frame["epochs"]))
    trained = set(zip(frame["arm"], frame["epochs"], strict=True))
    every = [(arm, length) for arm in arms for length in lengths]
    # Arms without a length keep an empty panel, so that columns of panels are lengths.
    if len(trained) != len(arms):
        return every
    return [panel for panel in every if panel in trained]


def _draw_lines(
    axis: Axes, panel: pd.DataFrame, y: Measure, styles: LineStyles, stride: int
) -> None:
    """Draw the lines of one panel, those of one sparsity as one artist with gaps between trials."""
    # One artist per sparsity: a line for each of hundreds of trials makes large files.
    gap = pd.DataFrame([[np.nan, np.nan]], columns=["progress", y.column])
    for (arm, sparsity), rows in panel.groupby(["arm", "sparsity"]):
        parts = []
        ordered = rows.sort_values(["seed", "trial_id", "progress"])
        for _, trial in ordered.groupby("trial_id", sort=False):
            kept = trial.iloc[::-stride].iloc[::-1]  # counted from the end: the last one stays
            parts.append(kept[["progress", y.column]].astype("float64"))
            parts.append(gap.astype("float64"))
        line = pd.concat(parts, ignore_index=True)
        values = y.factor * line[y.column]
        if y.column == SPARSITY_COLUMN:
            values = log_density(values)
        style = {**styles.line(str(arm), sparsity), **LINE_STYLE}
        name = line_name("sparsity.target", sparsity)
        axis.plot(100 * line["progress"], values, label=name, **style)


def _evaluation_stride(frame: pd.DataFrame) -> int:
    """Number k such that drawing every k-th evaluation keeps a figure below its limit of points."""
    return -(-len(frame) // MAX_FIGURE_POINTS)
