"""What a contrast is computed from: paired differences by report seed, without collapsed runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sparsetune.answers import Sample
from sparsetune.study.questions.contrasts import PlannedContrast, Term
from sparsetune.study.questions.kinds import BestValueMoves, Question, Remaining
from sparsetune.study.space import LogUniform

from ..estimates.means import cell_values, control_values, is_measured
from ..load import StudyResults
from ..measure import NATS, Measure
from ..recipes.responses import MIN_CONFIGURATIONS, is_lower_better
from ..tables.results import Results

COLLAPSE_DISTANCE = 0.05
"""A run has collapsed if its final training loss is above 1 minus this times that of guessing, the
logarithm of the number of classes."""
SCORE_COLUMNS = (
    "test_accuracy",
    "test_score",
    "test_error",
    "test_loss",
    "val_accuracy",
    "val_score",
    "val_error",
    "val_loss",
)
"""Columns that may hold the score of a table; the first that was measured does."""


def score_measure(results: Results) -> Measure:
    """Measure of the scores that answers are about: a study's score on its test set.

    Of a table it is the first column of `SCORE_COLUMNS` that was measured.
    """
    if isinstance(results, StudyResults):
        score = results.study.base.task.measured().metrics[0].column
        return results.measure("test_accuracy" if score == "accuracy" else "test_score")
    found = [column for column in SCORE_COLUMNS if is_measured(results, column)]
    return results.measure(found[0] if found else SCORE_COLUMNS[0])


@dataclass(frozen=True)
class ReportRuns:
    """Scores of report runs by cell and seed, and which of them collapsed.

    Args:
        results: The study or table.
        measure: Measure of the scores.
    """

    results: Results
    measure: Measure

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row per cell, by its name: ``arm sparsity epochs diverged`` and its fields."""
        return cell_values(self.results, self.measure.column)[0]

    @cached_property
    def scores(self) -> dict[str, pd.DataFrame]:
        """Scores by the kind of run; each shape [n_cells, n_seeds], NaN without a value."""
        return self._by_runs(self.measure.column)

    @cached_property
    def collapsed(self) -> dict[str, pd.DataFrame]:
        """True for collapsed runs, in the shapes of `scores`."""
        highest = self._highest_loss()
        losses = self._by_runs("train_loss")
        return {name: frame > highest for name, frame in losses.items()}

    def _by_runs(self, column: str) -> dict[str, pd.DataFrame]:
        _, winners, twins = cell_values(self.results, column)
        return {"winner": winners, "twin": twins, "control": control_values(self.results, column)}

    def _highest_loss(self) -> float:
        """Training loss from which on a run has collapsed; infinite where that is not defined."""
        if not isinstance(self.results, StudyResults):
            return math.inf
        classes = self.results.study.base.task.class_count()
        if not classes or self.results.measure("train_loss").unit != NATS:
            return math.inf
        return (1 - COLLAPSE_DISTANCE) * math.log(classes)

    def row(self, term: Term) -> pd.Series[Any]:
        """Scores of a term's runs by seed; NaN where there are none."""
        return self._row(self.scores[term.runs], term.cell).astype("float64")

    def collapsed_row(self, term: Term) -> pd.Series[Any]:
        """True by seed for a term's runs that collapsed."""
        return self._row(self.collapsed[term.runs], term.cell).fillna(False).astype(bool)

    def _row(self, frame: pd.DataFrame, cell: str) -> pd.Series[Any]:
        if cell in frame.index:
            return frame.T[cell]
        return pd.Series(np.nan, index=frame.columns, dtype="float64")


@dataclass(frozen=True)
class MeasuredContrast:
    """A contrast with its numbers.

    Args:
        planned: What it compares.
        sample: Its paired differences.
        parts: Mean of each term over the pairs, in the order of the terms.
    """

    planned: PlannedContrast
    sample: Sample
    parts: tuple[float, ...]


def measure_contrast(
    runs: ReportRuns, question: Question, planned: PlannedContrast
) -> MeasuredContrast:
    """Paired differences of a contrast, positive where they speak for the question."""
    if isinstance(question, BestValueMoves):
        return _measure_values(runs.results, question, planned)
    scores = pd.DataFrame([runs.row(term) for term in planned.terms]).reset_index(drop=True)
    collapsed = pd.DataFrame([runs.collapsed_row(term) for term in planned.terms])
    collapsed = collapsed.reset_index(drop=True).reindex(columns=scores.columns)
    is_collapsed = collapsed.fillna(False).astype(bool) & scores.notna()
    counted = scores.mask(is_collapsed)
    pairs = counted.loc[:, counted.notna().all(axis=0)]
    signs = np.array([float(term.sign) for term in planned.terms])
    # A score itself has no direction: only a difference speaks for something.
    direction = 1 if isinstance(question, Remaining) else runs.measure.direction
    differences = direction * signs @ pairs.to_numpy()
    is_added = signs > 0
    sample = Sample(
        differences=differences,
        examples=None,
        spread_group=f"{planned.at.arm}/{planned.at.sparsity:.9g}",
        collapsed=_counts(is_collapsed, is_added),
        runs=_counts(scores.notna(), is_added),
    )
    parts = tuple(float(mean) for mean in pairs.mean(axis=1))
    return MeasuredContrast(planned, sample, parts)


def _counts(flags: pd.DataFrame, is_added: np.ndarray) -> tuple[int, int]:
    """Number of true values in the terms that are added, and in those that are subtracted."""
    by_term = flags.to_numpy().sum(axis=1)
    return int(by_term[is_added].sum()), int(by_term[~is_added].sum())


def _measure_values(
    results: Results, question: BestValueMoves, planned: PlannedContrast
) -> MeasuredContrast:
    """Differences of the best value of a field between two cells, by search seed."""
    rows = [_searched(results, term.cell, question.field) for term in planned.terms]
    shared = set(rows[0]["source"].dropna()) & set(rows[1]["source"].dropna())
    best = []
    for frame in rows:
        own = frame[frame["source"].isin(shared)]
        best.append({seed: _best_value(group) for seed, group in own.groupby("seed")})
    values = pd.DataFrame(best).dropna(axis=1) if len(shared) >= MIN_CONFIGURATIONS else None
    differences = np.empty(0)
    parts = (math.nan, math.nan)
    if values is not None and values.size:
        differences = (values.iloc[0] - values.iloc[1]).to_numpy(dtype=np.float64)
        parts = (float(values.iloc[0].mean()), float(values.iloc[1].mean()))
    group = f"{planned.at.arm}/{planned.at.sparsity:.9g}/{question.field}"
    return MeasuredContrast(planned, Sample(differences, None, group), parts)


def _searched(results: Results, cell: str, field: str) -> pd.DataFrame:
    """Search runs of a cell: ``source seed x y``, the field on its axis and the loss to compare.

    The loss is lower where a configuration is better, and infinite where it diverged.
    """
    objective = results.design.objective
    uses = results.uses()
    rows = uses[(uses["cell"] == cell) & (uses["role"] == "search")]
    trials = results.trials().set_index("trial_id")
    axis = results.design.ranges.get((cell, field))
    if objective is None or field not in trials or rows.empty:
        return pd.DataFrame({"source": [], "seed": [], "x": [], "y": []})
    found = rows["trial_id"].map(trials[field]).astype("float64")
    sign = 1 if is_lower_better(results, objective) else -1
    loss = sign * rows["trial_id"].map(trials[objective]).astype("float64")
    is_diverged = rows["trial_id"].map(trials["status"]) == "DIVERGED"
    frame = rows[["source", "seed"]].assign(
        x=np.log10(found) if isinstance(axis, LogUniform) else found,
        y=loss.mask(is_diverged, np.inf),
    )
    return frame.dropna().drop_duplicates(["source", "seed"])


def _best_value(rows: pd.DataFrame) -> float:
    """Mean value of the best quarter of the configurations; NaN if too few were compared."""
    if len(rows) < MIN_CONFIGURATIONS:
        return math.nan
    best = rows.nsmallest(math.ceil(len(rows) / 4), "y")
    return float(best["x"].mean()) if np.isfinite(best["y"]).all() else math.nan
