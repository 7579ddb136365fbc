"""Sections of a report: which exhibits stand under which heading, for which combination of axes.

A new analysis is a line in `SECTIONS`.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from sparsetune.errors import SparsetuneError

from ..catalogue import write
from ..catalogue.template import Sentence
from ..curves.exhibits import curve_exhibits, history_exhibits
from ..estimates.means import cell_values
from ..exhibit import Exhibit, NotShownError
from ..frontiers.exhibits import frontier_exhibits
from ..frontiers.search_exhibits import search_exhibits
from ..lengths.exhibits import (
    extension_exhibits,
    needed_exhibits,
    verdict_exhibits,
)
from ..ramps.exhibits import ramp_exhibits
from ..recipes.importance.exhibits import importance_exhibits
from ..recipes.optima.exhibits import edge_exhibits, optimum_exhibits
from ..recipes.tuning_gain.exhibits import optimism_exhibits, retuning_exhibits
from ..structure.exhibits import structure_exhibits
from ..tables.results import Results
from ..tables.selection import report_rows
from ..wording import format_value

HEADLINE_MEASURES = ("test_accuracy", "test_score", "val_accuracy", "val_score")
"""Measures that cells are judged by, the preferred one first."""
Where = Mapping[str, Any]
"""Dotted fields that have one value each."""
MeasureExhibits = Callable[[Results, str, Where], Iterator[Exhibit]]
"""Function that makes the exhibits of an analysis, for a headline measure."""
StudyExhibits = Callable[[Results, Where], Iterator[Exhibit]]
"""Function that makes the exhibits of an analysis that does not show the headline measure.

A search, for instance, is shown by its objective, since search trials never read the test set.
"""


def without_measure(exhibits: StudyExhibits) -> MeasureExhibits:
    """Adapt an analysis that takes no headline measure to the arguments that `SECTIONS` gives."""

    @wraps(exhibits)
    def adapted(results: Results, _: str, where: Where) -> Iterator[Exhibit]:
        return exhibits(results, where)

    return adapted


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


SECTIONS: Mapping[str, tuple[MeasureExhibits, ...]] = {
    "Is the sparse network under-trained?": (
        without_measure(verdict_exhibits),
        without_measure(needed_exhibits),
        extension_exhibits,
    ),
    "Curves": (curve_exhibits,),
    "Best hyperparameters": (
        without_measure(optimum_exhibits),
        without_measure(edge_exhibits),
        without_measure(ramp_exhibits),
        without_measure(importance_exhibits),
    ),
    "What re-tuning gained": (retuning_exhibits, without_measure(optimism_exhibits)),
    "Accuracy for a budget": (frontier_exhibits, without_measure(search_exhibits)),
    "Structure of the sparse networks": (without_measure(structure_exhibits),),
    "During training": (without_measure(history_exhibits),),
}
"""Analyses by the heading that their exhibits stand under, in the order of the page."""


def combination_exhibits(
    results: Results, at: Combination, analyses: tuple[MeasureExhibits, ...]
) -> Iterator[Exhibit | NotShownError]:
    """The exhibits of several analyses, in order; an error for an analysis that has none to show.

    The error says what the analysis lacks, or that it failed. The other analyses are not affected.
    """
    for analysis in analyses:
        try:
            yield from analysis(results, at.y, at.where)
        except NotShownError as error:
            yield error
        except SparsetuneError as error:
            yield NotShownError(str(not_shown(error)))
        except Exception as error:
            # A defect of one analysis must not keep the others from the page.
            yield NotShownError(str(fault_sentence(analysis.__module__, error)))


def not_shown(error: SparsetuneError) -> Sentence:
    """Sentence in place of something that lacks what it needs."""
    return write("not_shown", reason=str(error).removesuffix("."))


def fault_sentence(subject: str, error: Exception) -> Sentence:
    """Sentence in place of something that a defect of ours keeps from the page.

    Warns:
        RuntimeWarning: always, with the same text.
    """
    found = f"{type(error).__name__}: {error}"
    sentence = write("not_shown_fault", subject=subject, error=found)
    warnings.warn(str(sentence), RuntimeWarning, stacklevel=2)
    return sentence
