"""Sections of a report: which exhibits stand under which heading, for which combination of axes.

A new analysis is a line in `SECTIONS`.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sparsetune.errors import SparsetuneError

from .. import structure
from ..curves import curve, histories
from ..curves.comparison import compare_arms
from ..curves.figures import draw_gains
from ..estimates.means import cell_values
from ..exhibit import Exhibit
from ..frontiers import pareto
from ..lengths import saturation, verdicts
from ..lengths.extension import extension_gain
from ..quantities import measure_name
from ..ramps import atlas
from ..recipes import edges, importance, optima, optimism
from ..recipes.retuning import retuning_gain
from ..tables.results import Results
from ..tables.selection import report_rows
from ..wording import format_value

HEADLINE_MEASURES = ("test_accuracy", "test_score", "val_accuracy", "val_score")
"""Measures that cells are judged by, the preferred one first."""
Exhibits = Callable[[Results, str, Mapping[str, Any]], Iterator[Exhibit]]
"""Function that makes the exhibits of an analysis.

It takes the results, the headline measure, and dotted fields that have one value each.
"""


@dataclass(frozen=True)
class Combination:
    """One value of each sweep axis besides sparsity and training length.

    A figure can only show one value of such an axis.

    Args:
        where: The axes and the value of each.
        y: The headline measure.
        suffix: End of its file names; empty if it is the only combination.
    """

    where: Mapping[str, Any]
    y: str
    suffix: str = ""

    @property
    def title(self) -> str:
        """The axes and their values, for a heading; empty if it is the only combination."""
        return ", ".join(f"{path} {format_value(value)}" for path, value in self.where.items())


def combinations(results: Results) -> Iterator[Combination]:
    """Every combination of the study; usually a single one, which fixes nothing."""
    rows = report_rows(results)
    axes = [path for path in results.design.other_axes() if path in rows]
    values_by_axis = [rows[path].dropna().unique().tolist() for path in axes]
    for number, values in enumerate(itertools.product(*values_by_axis)):
        where = dict(zip(axes, values, strict=True))
        suffix = f"-{number}" if axes else ""
        yield Combination(where, headline_measure(results, where), suffix)


def headline_measure(results: Results, where: Mapping[str, Any] | None = None) -> str:
    """The measure that cells are judged by.

    Accuracy if it was measured, else the task's score; on validation data if there is no test set.
    """
    for measure in HEADLINE_MEASURES:
        _, values, _ = cell_values(results, measure, where)
        if values.notna().any(axis=None):
            return measure
    return HEADLINE_MEASURES[0]


def comparison_exhibits(results: Results, y: str, where: Mapping[str, Any]) -> Iterator[Exhibit]:
    """Arms side by side, where several share a sparsity."""
    compared = compare_arms(results, y, where=where)
    if compared.shared():
        length = f", after {compared.epochs:g} epochs" if results.design.lengths() else ""
        title = f"{measure_name(y)} and cost of training against sparsity{length}"
        yield Exhibit("comparison", title, compared.frame(), compared.note(), compared.plot)


def extension_exhibits(results: Results, y: str, where: Mapping[str, Any]) -> Iterator[Exhibit]:
    """What longer training gains beyond dense, where that may be claimed."""
    gains = extension_gain(results, y, where=where)
    claimed = gains[gains["claimed"].eq(True) & gains["n"].gt(0)]
    if claimed.empty:
        return
    note = (
        f"{measure_name(y)} gained from {claimed['from_epochs'].iloc[0]:g} epochs on (the shortest length at which dense is"
        f" within 0.2 points of its best) minus what dense gained, paired by seed, n = {claimed['n'].max()};"
        " bars: 95 % t intervals, not corrected for the number of comparisons. The same dense runs choose the start,"
        " which makes gains too large where dense lengths are nearly as good: by 0.1 to 0.3 points at n = 3 in a"
        " simulation whose seeds vary by 0.3."
    )
    title = "What longer training gains beyond dense"
    yield Exhibit("extension-gain", title, gains, note, partial(draw_gains, gains, y))


def retuning_exhibits(results: Results, y: str, where: Mapping[str, Any]) -> Iterator[Exhibit]:
    """What tuning in each cell gained over the dense recipe."""
    gains = retuning_gain(results, y)
    cells = cell_values(results, y, where)[0].index
    gains = gains[gains["cell"].isin(cells)]
    columns = {
        "cell": "Cell",
        "control": f"{measure_name(y)} of\nthe control (%)",
        "winner": "of the winner (%)",
    }
    columns |= {"gain low high": "Gain (points)\n[95 % interval]", "n": "n"}
    note = (
        "The control is the dense winner at the shortest length, run unchanged; differences are paired by report seed,"
        " t intervals with the standard deviation pooled over an arm's cells of one sparsity, not corrected for their"
        " number. A control that diverged on some seeds has no value: those that are left would flatter it."
    )
    if len(gains):
        columns |= (
            {"control_diverged": "Diverged\ncontrols"} if gains["control_diverged"].any() else {}
        )
        yield Exhibit(
            "retuning",
            "What tuning in the cell gained over the dense recipe",
            gains,
            note,
            None,
            columns,
        )


SECTIONS: Mapping[str, tuple[Exhibits, ...]] = {
    "Is the sparse network under-trained?": (
        verdicts.exhibits,
        saturation.exhibits,
        extension_exhibits,
    ),
    "Curves": (curve.exhibits,),
    "Best hyperparameters": (optima.exhibits, edges.exhibits, atlas.exhibits, importance.exhibits),
    "What tuning is worth": (retuning_exhibits, optimism.exhibits),
    "What to spend": (pareto.exhibits,),
    "Structure of the sparse networks": (structure.exhibits,),
    "During training": (histories.exhibits,),
}
"""Analyses by the heading that their exhibits stand under, in the order of the page."""


def combination_exhibits(
    results: Results, at: Combination, analyses: tuple[Exhibits, ...]
) -> Iterator[Exhibit | SparsetuneError]:
    """The exhibits of several analyses, in order; an error for an analysis that has none to show.

    The error says what the analysis lacks, or that it failed. The other analyses are not affected.
    """
    for analysis in analyses:
        try:
            yield from analysis(results, at.y, at.where)
        except SparsetuneError as error:
            yield error
        except Exception as error:
            # A defect of one analysis must not keep the others from the page.
            yield fault_message(analysis.__module__, error)


def fault_message(subject: str, error: Exception) -> SparsetuneError:
    """Text for the page in place of something that a defect of ours keeps from it.

    Warns:
        RuntimeWarning: always, with the same text.
    """
    text = (
        f"{subject}: not shown for a fault of sparsetune, please report it"
        f" ({type(error).__name__}: {error})"
    )
    warnings.warn(text, RuntimeWarning, stacklevel=2)
    return SparsetuneError(text)
