"""What results are asked: questions before and after the data, and the looks at the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sparsetune.spec.columns import FINISHED_STATUSES
from sparsetune.study.questions.contrasts import PlannedContrast, plan_contrasts
from sparsetune.study.questions.defaults import (
    DEFAULT_KINDS,
    asked_questions,
    resolve_questions,
)
from sparsetune.study.questions.kinds import Question
from sparsetune.study.questions.points import (
    LENGTH_FIELDS,
    TARGET_FIELD,
    CellPoint,
    base_epochs,
    study_points,
)

from ..estimates.means import control_uses
from ..load import StudyResults
from ..measure import Measure
from ..tables.results import Results
from ..tables.selection import report_rows


@dataclass(frozen=True)
class Asking:
    """Questions to results, and what is known of their data.

    Args:
        before: Questions that were asked before the first trial, in full.
        after: Questions that were asked later, in full.
        declared: Cells that the study began with: those of questions asked before.
        points: All cells, with those of values that were added to sweep axes.
        base: Length of the study's base in epochs; None for a table.
        looks: Numbers of the looks at the data, from 1, in order; see `StudyResults.looks`.
        declared_looks: Report seeds of a cell at each look that the study declares.
        is_complete: Whether all runs of the last look have ended.
    """

    before: tuple[Question, ...]
    after: tuple[Question, ...]
    declared: tuple[CellPoint, ...]
    points: tuple[CellPoint, ...]
    base: float | None
    looks: tuple[int, ...] = (1,)
    declared_looks: tuple[int, ...] = (1,)
    is_complete: bool = True

    @property
    def look(self) -> int:
        """Number of the last look."""
        return self.looks[-1]

    def contrasts(self, question: Question, *, is_before: bool) -> list[PlannedContrast]:
        """Contrasts of a question: over the first cells if it was asked before the data."""
        points = self.declared if is_before else self.points
        return plan_contrasts(question, points, self.base)


def asking_of(results: Results, measure: Measure) -> Asking:
    """Questions of a study, or those that follow from the axes of a table.

    Args:
        results: The study or table.
        measure: Measure of its scores.
    """
    if isinstance(results, StudyResults):
        return _study_asking(results)
    points = tuple(table_points(results))
    after = resolve_questions(DEFAULT_KINDS, points, None, is_fraction=measure.is_fraction)
    return Asking((), after, points, points, None)


def _study_asking(results: StudyResults) -> Asking:
    declared = results.declared
    points = tuple(study_points(declared))
    before = results.questions
    # An older version kept no list: what follows from the axes now is a question of today.
    later = asked_questions(declared) if before is None else ()
    return Asking(
        before=before or (),
        after=(*later, *results.asked_later),
        declared=points,
        points=tuple(study_points(results.study)),
        base=base_epochs(declared),
        looks=results.looks,
        declared_looks=declared.looks(),
        is_complete=_is_complete(results, points),
    )


def _is_complete(results: StudyResults, points: Sequence[CellPoint]) -> bool:
    """True if all report runs of the cells, their twins and controls have ended."""
    cells = [point.cell for point in points]
    table = results.cells()
    table = table[table["cell"].isin(cells)]
    if not table["finished"].astype(bool).all():
        return False
    uses = results.uses()
    uses = uses[uses["role"].isin(["report", "control", "twin"]) & uses["cell"].isin(cells)]
    status = results.trials().set_index("trial_id")["status"]
    if not uses["trial_id"].map(status).isin(FINISHED_STATUSES).all():
        return False
    # The dense recipe has as many runs as the winner, in sparse cells that did not choose it.
    controls = control_uses(results).groupby("cell")["seed"].nunique()
    with_control = [point.cell for point in points if point.has_control]
    is_compared = table["cell"].isin(with_control) & table["winner_id"].notna()
    is_compared &= table["control_id"].ne(table["winner_id"]).fillna(False)
    asked = table[is_compared].set_index("cell")["report_trials_asked"]
    return bool((controls.reindex(asked.index).fillna(0) >= asked).all())


def table_points(results: Results) -> list[CellPoint]:
    """Cells of any results, from their report runs alone."""
    rows = report_rows(results)
    if rows.empty:
        return []
    shown = (TARGET_FIELD, *LENGTH_FIELDS)
    others = [path for path in results.design.sweep if path not in shown and path in rows]
    controls = set(control_uses(results)["cell"])
    points = []
    for row in rows.drop_duplicates("cell").to_dict("records"):
        cell = str(row["cell"])
        swept = [(path, row[path]) for path in others if not pd.isna(row[path])]
        searched = [path for name, path in results.design.ranges if name == cell]
        points.append(
            CellPoint(
                cell=cell,
                arm=str(row["arm"]),
                sparsity=float(row[TARGET_FIELD]),
                epochs=0.0 if pd.isna(row["epochs"]) else float(row["epochs"]),
                others=tuple(swept),
                searched=tuple(searched),
                has_control=cell in controls,
            )
        )
    return points
