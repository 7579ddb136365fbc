"""Exhibits of the sparsity ramp: the atlas, and a table of the best regions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..catalogue import paragraph, write
from ..exhibit import CellFormat, Exhibit, NotShownError, TableColumn, measure_format
from ..recipes import responses
from ..recipes.responses import MIN_CONFIGURATIONS
from ..tables.results import Results
from .atlas import RAMP_FIELDS, Atlas, ramp_atlas


def ramp_exhibits(results: Results, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """The atlas of the validation loss, or of the objective without one.

    There is none if no cell searches its ramp. Search trials never read the test set.

    Raises:
        NotShownError: if no cell has enough configurations.
    """
    cells = responses.finished_searches(results, where)
    ranges = responses.searched_ranges(results, cells.index)
    if not any(path in RAMP_FIELDS for _, path in ranges):
        return
    found = _first_measured_atlas(results, where)
    if found is None:
        return
    most = int(found.rows["n"].max())
    if most < MIN_CONFIGURATIONS:
        raise NotShownError(str(write("atlas_too_few", least=MIN_CONFIGURATIONS, most=most)))
    title = f"Ramp atlas: final {found.y.phrase} by start and end of the ramp"
    yield Exhibit(f"ramp-atlas-{found.y}", title, found.frame(), found.note(), found.plot)
    caption = paragraph([write("regions"), write("regions_intervals")])
    yield Exhibit(
        f"ramp-regions-{found.y}",
        f"Where ramps are best for {found.y.phrase}",
        found.regions(),
        caption,
        None,
        _region_columns(found),
    )


def _first_measured_atlas(results: Results, where: Mapping[str, Any] | None) -> Atlas | None:
    """The atlas of the validation loss, else of the objective; None if neither was measured."""
    # A loss still separates ramps that leave the same few examples wrong.
    for column in ("val_loss", results.design.objective):
        if column:
            found = ramp_atlas(results, column, where=where)
            if found.points["value"].notna().any():
                return found
    return None


def _region_columns(found: Atlas) -> tuple[TableColumn, ...]:
    """Columns of the table of regions."""
    percent = CellFormat.PERCENT
    contrast_heading = found.y.difference_heading("Worst - best", "\n")
    return (
        TableColumn("Network", "cell"),
        TableColumn("n", "n"),
        TableColumn("Best start (%)", "best_start", format=percent),
        TableColumn("Best end (%)", "best_end", format=percent),
        TableColumn("Start by the\nsurface (%)", "start", "start_low", "start_high", percent),
        TableColumn("End by the\nsurface (%)", "end", "end_low", "end_high", percent),
        TableColumn(contrast_heading, "contrast", format=measure_format(found.y)),
        TableColumn("Verdict", "verdict"),
    )
