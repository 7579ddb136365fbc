"""Exhibits of the training length: verdicts, epochs needed, and the gain of longer training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ..catalogue import paragraph, write
from ..estimates.captions import count_words
from ..estimates.means import cell_values
from ..exhibit import SPARSITY_COLUMN, Exhibit, NotShownError, TableColumn
from ..measure import MarginError
from ..tables.results import Results
from .extension import extension_gain_if_judged, tolerance_text
from .figures import draw_gains
from .needed import epochs_needed
from .steps import find_validation_measure, length_lines
from .verdicts import undertraining

VERDICT_COLUMNS = (
    TableColumn("Arm", "arm"),
    SPARSITY_COLUMN,
    TableColumn("Epochs", "epochs"),
    TableColumn("Verdict", "verdict"),
    TableColumn("Why", "reason"),
)
NEEDED_TABLE_COLUMNS = (
    TableColumn("Arm", "arm"),
    SPARSITY_COLUMN,
    TableColumn("Epochs needed", "needed"),
    TableColumn("Best at (epochs)", "best_epochs"),
    TableColumn("n", "n"),
)


def verdict_exhibits(results: Results, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """The map of verdicts; none if no cell can be judged. Validation decides.

    Raises:
        NotShownError: if cells could be judged, had a gain that counts been given.
    """
    y = find_validation_measure(results, where, None)
    if y is None:
        return
    try:
        found = undertraining(results, where=where)
    except MarginError as error:
        if not _has_lengths(results, y, where):
            return
        why = write("verdicts_no_margin", measure=results.measure(y).phrase)
        raise NotShownError(paragraph([why, write("verdicts_give_margin")])) from error
    if found.frame()["gain_low"].notna().any():
        title = "Which networks are under-trained"
        yield Exhibit("verdicts", title, found.frame(), found.note(), found.plot, VERDICT_COLUMNS)


def needed_exhibits(results: Results, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """The curve of epochs needed; none if no line has two lengths. Validation decides."""
    if find_validation_measure(results, where, None) is None:
        return
    try:
        found = epochs_needed(results, where=where)
    except MarginError:
        return  # as the verdicts above say
    if len(found.frame()):
        yield Exhibit(
            "epochs-needed",
            "How many epochs each sparsity needs",
            found.frame(),
            found.note(),
            found.plot,
            NEEDED_TABLE_COLUMNS,
        )


def extension_exhibits(
    results: Results, y: str, where: Mapping[str, Any] | None = None
) -> Iterator[Exhibit]:
    """Gain of longer training beyond dense; none if no gain may be claimed."""
    gains = extension_gain_if_judged(results, y, where=where)
    claimed = gains[gains["claimed"].eq(True) & gains["n"].gt(0)]
    if claimed.empty:
        return
    measure = results.measure(y)
    too_large = "gain_selected" if measure.is_fraction else "gain_selected_spread"
    caption = [
        write(
            "gain_marks",
            measure=measure.phrase,
            epochs=f"{claimed['from_epochs'].iloc[0]:g}",
            n=count_words(claimed["n"], "seeds"),
        ),
        write("gain_start", tolerance=tolerance_text(results, y, where)),
        write("gain_bars"),
        write(too_large),
    ]
    title = "What longer training gains beyond dense"
    yield Exhibit(
        "extension-gain", title, gains, paragraph(caption), partial(draw_gains, gains, measure)
    )


def _has_lengths(results: Results, y: str, where: Mapping[str, Any] | None) -> bool:
    """True if cells with ``y`` differ in nothing but their length."""
    cells, values, _ = cell_values(results, y, where)
    others = [path for path in results.design.other_axes() if path in cells]
    return any(len(line) > 1 for line in length_lines(cells, values, others))
