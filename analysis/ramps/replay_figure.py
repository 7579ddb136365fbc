"""The figure of a replay: which configurations each scheduler would have kept, in the plane of ramp start and end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from analysis.drawing.axes import make_panels
from analysis.drawing.files import save_figure
from analysis.drawing.style import project_style
from analysis.quantities import column_label, display_factor
from analysis.ramps.figures import draw_ramp_best, draw_ramp_points
from sparsetune.paths import Place
from sparsetune.storage import translating_write_errors, write_durably

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEPT_COLOUR = "#d62728"


def draw_replay(
    table: Sequence[Mapping[str, Any]],
    configurations: Sequence[Mapping[str, Any]],
    objective: str,
    stem: Place,
) -> Place | None:
    """Write ``stem`` as .csv (the table), .png and .svg; returns the PNG, or None where no cell searches its ramp.

    Args:
        table: A row per cell and scheduler.
        configurations: A row per cell, scheduler and configuration: ``cell scheduler ramp_start ramp_end objective
            survived top_half winner``; ramps in fractions of training.
        objective: The column that was optimised.
        stem: Path without its suffix.
    """
    points = pd.DataFrame(configurations).dropna(subset=["ramp_start", "ramp_end"])
    rows = pd.DataFrame(table)
    if points.empty:
        with translating_write_errors(stem.parent):
            write_durably(stem.with_suffix(".csv"), rows.to_csv(index=False))
        return None
    save_figure(_figure(points, objective), rows, stem)
    return stem.with_suffix(".png")


def _figure(points: pd.DataFrame, objective: str) -> Figure:
    """Rows of panels are cells; the first column rings the better half, the others what a scheduler kept."""
    cells = list(dict.fromkeys(points["cell"]))
    schedulers = list(dict.fromkeys(points["scheduler"]))
    with project_style():
        columns = len(schedulers)
        axes = make_panels(len(cells) * columns, columns=columns, size=(3.0, 2.7))
        for number, cell in enumerate(cells):
            line = axes[number * columns : (number + 1) * columns]
            of_cell = points[points["cell"] == cell]
            high = bool(
                of_cell.loc[of_cell["winner"], "objective"].max() == of_cell["objective"].max()
            )
            for scheduler, axis in zip(schedulers, line, strict=True):
                part = of_cell[of_cell["scheduler"] == scheduler]
                first = scheduler == schedulers[0]
                drawn = _panel(
                    axis, part, "top_half" if first else "survived", display_factor(objective), high
                )
                axis.set_title(
                    "Better half in the end" if first else scheduler[:1].upper() + scheduler[1:]
                )
            line[0].set_ylabel(f"{cell}\nRamp ends at (% of training)")
            end = "min" if high else "max"  # the worst tenth has one colour
            figure = cast("Figure", line[0].get_figure(root=True))
            figure.colorbar(
                drawn, ax=list(line), label=column_label(objective), extend=end, aspect=25
            )
        for axis in axes[-columns:]:
            axis.set_xlabel("Ramp starts at (% of training)")
        return _add_legend(figure)


def _panel(axis: Axes, part: pd.DataFrame, ringed: str, factor: float, high: bool) -> Any:
    """Configurations coloured by their final objective, where ``high`` may be good; those ``ringed`` have a ring."""
    known, drawn = draw_ramp_points(
        axis, part.rename(columns={"objective": "value", "winner": "best"}), factor, high
    )
    rings = known[known[ringed]]
    ring: dict[str, Any] = {"facecolors": "none", "edgecolors": KEPT_COLOUR, "linewidths": 1.1}
    axis.scatter(
        100 * rings["ramp_start"],
        100 * rings["ramp_end"],
        s=48,
        label="kept (left: better half)",
        **ring,
    )
    draw_ramp_best(axis, known, "winner")
    return drawn


def _add_legend(figure: Figure) -> Figure:
    found: dict[str, Any] = {}
    for axis in figure.axes:
        handles, names = axis.get_legend_handles_labels()
        found |= dict(zip(names, handles, strict=True))
    figure.legend(list(found.values()), list(found), loc="outside lower center", ncols=len(found))
    return figure
