"""Exhibit of replayed searches: what other searches and stopping rules would have found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..catalogue import write
from ..exhibit import CellFormat, Exhibit, NotShownError, TableColumn, measure_format
from ..load import StudyResults
from ..tables.results import Results
from .searches import read_searches


def search_exhibits(results: Results, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """The front of the searches that `sparsetune replay` compared over the study, if it has.

    A replay is over all cells: there is none for a single value of a further axis.

    Raises:
        NotShownError: if trials have ended since.
    """
    if where or not isinstance(results, StudyResults):
        return
    kept = read_searches(results)
    if kept is None:
        return
    found, is_outdated = kept
    if is_outdated:
        raise NotShownError(str(write("searches_outdated")))
    heading = f"{found.y.difference_heading('Regret')}\n[95 % interval]"
    columns = (
        TableColumn("Search", "words"),
        TableColumn("Epochs (%)", "epochs_fraction", format=CellFormat.PERCENT),
        TableColumn(heading, "regret", "low", "high", measure_format(found.y)),
        TableColumn("Failed (%)", "failed", format=CellFormat.PERCENT),
        TableColumn("On the front", "verdict"),
    )
    rows = found.over_cells()
    rows = rows.assign(verdict=rows["front"].map({True: "yes", False: ""}))
    title = "What other searches would have found"
    yield Exhibit("searches", title, rows, found.note(), found.plot, columns)
