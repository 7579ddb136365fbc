"""Exhibits of the training length: verdicts, epochs needed, and the gain of longer training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ..exhibit import SPARSITY_COLUMN, Exhibit, TableColumn
from ..quantities import measure_name
from ..tables.results import Results
from .extension import extension_gain
from .figures import draw_gains
from .saturation import epochs_needed
from .steps import find_validation_measure
from .verdicts import undertraining

VERDICT_COLUMNS = (
    TableColumn("Arm", "arm"),
    SPARSITY_COLUMN,
    TableColumn("Epochs", "epochs"),
    TableColumn("Verdict", "verdict"),
    TableColumn("Why", "reason"),
)
SATURATION_TABLE_COLUMNS = (
    TableColumn("Arm", "arm"),
    SPARSITY_COLUMN,
    TableColumn("Epochs needed", "needed"),
    TableColumn("Best at (epochs)", "best_epochs"),
    TableColumn("n", "n"),
)


def verdict_exhibits(results: Results, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """The map of verdicts; none if no cell can be judged. Validation decides."""
    if find_validation_measure(results, where, None) is None:
        return
    found = undertraining(results, where=where)
    if found.frame()["gain_low"].notna().any():
        title = "Which cells are under-trained"
        yield Exhibit("verdicts", title, found.frame(), found.note(), found.plot, VERDICT_COLUMNS)


def saturation_exhibits(
    results: Results, where: Mapping[str, Any] | None = None
) -> Iterator[Exhibit]:
    """The curve of epochs needed; none if no line has two lengths. Validation decides."""
    if find_validation_measure(results, where, None) is None:
        return
    found = epochs_needed(results, where=where)
    if len(found.frame()):
        yield Exhibit(
            "epochs-needed",
            "How many epochs each sparsity needs",
            found.frame(),
            found.note(),
            found.plot,
            SATURATION_TABLE_COLUMNS,
        )


def extension_exhibits(
    results: Results, y: str, where: Mapping[str, Any] | None = None
) -> Iterator[Exhibit]:
    """Gain of longer training beyond dense; none if no gain may be claimed."""
    gains = extension_gain(results, y, where=where)
    claimed = gains[gains["claimed"].eq(True) & gains["n"].gt(0)]
    if claimed.empty:
        return
    note = (
        f"{measure_name(y)} gained from {claimed['from_epochs'].iloc[0]:g} epochs on (the shortest"
        " length at which dense is within 0.2 points of its best) minus what dense gained, paired"
        f" by seed, n = {claimed['n'].max()}; bars: 95 % t intervals, not corrected for the number"
        " of comparisons. The same dense runs choose the start, which makes gains too large where"
        " dense lengths are nearly as good: by 0.1 to 0.3 points at n = 3 in a simulation whose"
        " seeds vary by 0.3."
    )
    title = "What longer training gains beyond dense"
    yield Exhibit("extension-gain", title, gains, note, partial(draw_gains, gains, y))
