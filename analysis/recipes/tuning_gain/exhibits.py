"""Exhibits of the gain of tuning: over the dense recipe, and the luck in a search's best value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...catalogue import paragraph, write
from ...estimates.means import cell_values
from ...exhibit import Exhibit, NotShownError, TableColumn, measure_format
from ...tables.results import Results
from .optimism import optimism
from .retuning import retuning_gain


def retuning_exhibits(
    results: Results, y: str, where: Mapping[str, Any] | None = None
) -> Iterator[Exhibit]:
    """Gain of tuning in each cell over the dense recipe; none if no cell has a control."""
    gains = retuning_gain(results, y)
    cells = cell_values(results, y, where)[0].index
    # `retuning_gain` takes no `where`: cells of other combinations are left out here.
    gains = gains[gains["cell"].isin(cells)]
    if gains.empty:
        return
    measure = results.measure(y)
    form = measure_format(measure)
    control_heading = measure.heading(f"{measure.name} of\nthe control")
    gain_heading = f"{measure.difference_heading('Gain')}\n[95 % interval]"
    columns = [
        TableColumn("Network", "cell"),
        TableColumn(control_heading, "control", format=form),
        TableColumn(measure.heading("of the winner"), "winner", format=form),
        TableColumn(gain_heading, "gain", "low", "high", form),
        TableColumn("n", "n"),
    ]
    if gains["control_diverged"].any():
        columns.append(TableColumn("Diverged\ncontrols", "control_diverged"))
    names = ("control_recipe", "control_intervals", "control_pooled", "control_diverged")
    note = paragraph(write(name) for name in names)
    title = "What re-tuning gained over the dense recipe"
    yield Exhibit("retuning", title, gains, note, None, tuple(columns))


def optimism_exhibits(
    results: Results, where: Mapping[str, Any] | None = None
) -> Iterator[Exhibit]:
    """The winners in the search and on fresh seeds; none if nothing was searched.

    Raises:
        NotShownError: if the winners were searched but never run on fresh seeds.
    """
    if results.design.objective and results.design.search and not results.fresh_seeds:
        raise NotShownError(str(write("optimism_same_seeds")))
    found = optimism(results, where=where)
    if found.frame().empty:
        return
    form = measure_format(found.y)
    report_heading = f"{found.y.heading('On fresh seeds')}\n[95 % interval]"
    luck_heading = f"{found.y.difference_heading('Luck')}\n[95 % interval]"
    columns = (
        TableColumn("Network", "cell"),
        TableColumn("Best of", "configurations"),
        TableColumn(found.y.heading("In the\nsearch"), "search", format=form),
        TableColumn(report_heading, "report", "low", "high", form),
        TableColumn("n", "n"),
        TableColumn(luck_heading, "luck", "luck_low", "luck_high", form),
        TableColumn(found.y.difference_heading("Luck\nalone"), "expected", format=form),
    )
    title = "How much of the best is luck"
    yield Exhibit("optimism", title, found.frame(), found.note(), found.plot, columns)
