"""Figure of a replay: configurations that each scheduler would have kept, by ramp start and end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from sparsetune.paths import Place
from sparsetune.storage import translating_write_errors, write_durably

from ..drawing.axes import make_panels
from ..drawing.files import save_figure
from ..drawing.style import project_style
from ..measure import Measure
from ..tables.csv import csv_text
from .figures import draw_ramp_best, draw_ramp_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEPT_COLOUR = "#d62728"


def draw_replay(
    table: Sequence[Mapping[str, Any]],
    configurations: Sequence[Mapping[str, Any]],
    objective: Measure,
    stem: Place,
) -> Place | None:
    """Write ``stem`` as .csv (the table), .png and .svg.

    Args:
        table: A row per cell and scheduler.
        configurations: A row per cell, scheduler and configuration: ``cell scheduler ramp_start
            ramp_end objective survived top_half winner``; ramps in fractions of training.
        objective: The measure that was optimised.
        stem: Path without its suffix.

    Returns:
        Path of the PNG, or None if no cell searches its ramp: then there is no figure.
    """
    points = pd.DataFrame(configurations).dropna(subset=["ramp_start", "ramp_end"])
    rows = pd.DataFrame(table)
    if points.empty:
        # The table is written even if there is nothing to draw.
        with translating_write_errors(stem.parent):
            write_durably(stem.with_suffix(".csv"), csv_text(rows))
        return None
    save_figure(_figure(points, objective), rows, stem)
    return stem.with_suffix(".png")


def _figure(points: pd.DataFrame, objective: Measure) -> Figure:
    """Draw a row of panels per cell.

    The first column rings the better half, the others what a scheduler kept.
    """
    cells = list(dict.fromkeys(points["cell"]))
    schedulers = list(dict.fromkeys(points["scheduler"]))
    columns = len(schedulers)
    with project_style():
        axes = make_panels(len(cells) * columns, columns=columns, size=(3.0, 2.7))
        for number, cell in enumerate(cells):
            row = axes[number * columns : (number + 1) * columns]
            _draw_cell(row, points[points["cell"] == cell], schedulers, objective)
            row[0].set_ylabel(f"{cell}\nRamp ends at (% of training)")
        for axis in axes[-columns:]:
            axis.set_xlabel("Ramp starts at (% of training)")
        return _add_legend(cast("Figure", axes[0].get_figure(root=True)))


def _draw_cell(
    row: Sequence[Axes], points: pd.DataFrame, schedulers: Sequence[str], objective: Measure
) -> None:
    """Draw the panels of one cell, a panel per scheduler, with a colour bar."""
    # A winner has the best objective: if that is the highest one, high is good.
    best_of_winners = points.loc[points["winner"], "objective"].max()
    high = bool(best_of_winners == points["objective"].max())
    drawn: Any = None
    for scheduler, axis in zip(schedulers, row, strict=True):
        part = points[points["scheduler"] == scheduler]
        is_first = scheduler == schedulers[0]
        ringed = "top_half" if is_first else "survived"
        drawn = _draw_panel(axis, part, ringed, objective.factor, high)
        own_title = scheduler[:1].upper() + scheduler[1:]
        axis.set_title("Better half in the end" if is_first else own_title)
    figure = cast("Figure", row[0].get_figure(root=True))
    end = "min" if high else "max"  # the worst tenth has one colour
    figure.colorbar(drawn, ax=list(row), label=objective.label, extend=end, aspect=25)


def _draw_panel(axis: Axes, part: pd.DataFrame, ringed: str, factor: float, high: bool) -> Any:
    """Draw configurations coloured by their final objective; returns the collection.

    Args:
        axis: Where to draw.
        part: One row per configuration.
        ringed: Name of the column that is True for configurations with a ring.
        factor: Factor of the objective.
        high: True if a high objective is good.
    """
    renamed = part.rename(columns={"objective": "value", "winner": "best"})
    known, drawn = draw_ramp_points(axis, renamed, factor, high)
    rings = known[known[ringed]]
    style: dict[str, Any] = {"facecolors": "none", "edgecolors": KEPT_COLOUR, "linewidths": 1.1}
    label = "kept (left: better half)"
    axis.scatter(100 * rings["ramp_start"], 100 * rings["ramp_end"], s=48, label=label, **style)
    draw_ramp_best(axis, known, "winner")
    return drawn


def _add_legend(figure: Figure) -> Figure:
    """Add a legend of all panels below them."""
    handles: dict[str, Any] = {}
    for axis in figure.axes:
        drawn, names = axis.get_legend_handles_labels()
        handles |= dict(zip(names, drawn, strict=True))
    placed: dict[str, Any] = {"loc": "outside lower center", "ncols": len(handles)}
    figure.legend(list(handles.values()), list(handles), **placed)
    return figure
