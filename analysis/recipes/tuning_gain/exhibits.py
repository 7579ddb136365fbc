"""Exhibits of the gain of tuning: over the dense recipe, and the luck in a search's best value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sparsetune.errors import SparsetuneError

from ...estimates.means import cell_values
from ...exhibit import CellFormat, Exhibit, TableColumn, measure_format
from ...quantities import column_label, measure_name
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
    columns = [
        TableColumn("Cell", "cell"),
        TableColumn(f"{measure_name(y)} of\nthe control (%)", "control", format=CellFormat.PERCENT),
        TableColumn("of the winner (%)", "winner", format=CellFormat.PERCENT),
        TableColumn("Gain (points)\n[95 % interval]", "gain", "low", "high", CellFormat.PERCENT),
        TableColumn("n", "n"),
    ]
    if gains["control_diverged"].any():
        columns.append(TableColumn("Diverged\ncontrols", "control_diverged"))
    note = (
        "The control is the dense winner at the shortest length, run unchanged; differences are"
        " paired by report seed, t intervals with the standard deviation pooled over an arm's cells"
        " of one sparsity, not corrected for their number. A control that diverged on some seeds"
        " has no value: those that are left would flatter it."
    )
    title = "What tuning in the cell gained over the dense recipe"
    yield Exhibit("retuning", title, gains, note, None, tuple(columns))


def optimism_exhibits(
    results: Results, where: Mapping[str, Any] | None = None
) -> Iterator[Exhibit]:
    """The winners in the search and on fresh seeds; none if nothing was searched.

    Raises:
        SparsetuneError: if the winners were searched but never run on fresh seeds.
    """
    if results.design.objective and results.design.search and not results.fresh_seeds:
        raise SparsetuneError(
            "how much of the best is luck takes winners that ran again, on seeds that did not"
            " choose"
        )
    found = optimism(results, where=where)
    if found.frame().empty:
        return
    unit = column_label(found.y).rpartition("(")[2].rstrip(")")
    luck_unit = "points" if unit == "%" else unit
    form = measure_format(found.y)
    luck_heading = f"Luck ({luck_unit})\n[95 % interval]"
    columns = (
        TableColumn("Cell", "cell"),
        TableColumn("Best of", "configurations"),
        TableColumn(f"In the\nsearch ({unit})", "search", format=form),
        TableColumn(f"On fresh seeds ({unit})\n[95 % interval]", "report", "low", "high", form),
        TableColumn("n", "n"),
        TableColumn(luck_heading, "luck", "luck_low", "luck_high", form),
        TableColumn(f"Luck\nalone ({luck_unit})", "expected", format=form),
    )
    title = "How much of the best is luck"
    yield Exhibit("optimism", title, found.frame(), found.note(), found.plot, columns)
