"""Exhibit of importance: which hyperparameters matter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...exhibit import CellFormat, Exhibit, TableColumn
from ...tables.results import Results
from ..responses import ranking_measure
from .importance import importance

IMPORTANCE_TABLE_COLUMNS = (
    TableColumn("Arm", "arm"),
    TableColumn("Sparsity", "band"),
    TableColumn("Axis", "axis", format=CellFormat.AXIS_NAME),
    TableColumn("n", "n"),
    TableColumn("Share of\nimportance (%)", "share", format=CellFormat.PERCENT),
    TableColumn("p", "p"),
    TableColumn("Verdict", "verdict"),
)


def importance_exhibits(
    results: Results, where: Mapping[str, Any] | None = None
) -> Iterator[Exhibit]:
    """Importance for the objective, since search trials never read the test set.

    There is none if nothing was measured, or if no band has enough configurations.
    """
    if ranking_measure(results) is None or not results.design.ranges:
        return
    found = importance(results, where=where)
    # A page of "too few configurations" would say no more than its absence.
    if found.rows["share"].isna().all():
        return
    yield Exhibit(
        "importance",
        "Which hyperparameters matter",
        found.frame(),
        found.note(),
        found.plot,
        IMPORTANCE_TABLE_COLUMNS,
    )
