"""What a contrast is computed from: paired differences by report seed, without collapsed runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sparsetune.answers import Sample
from sparsetune.answers.sample import SeedRuns, pair_runs
from sparsetune.errors import SparsetuneError
from sparsetune.study.questions.contrasts import PlannedContrast, Runs, Term, spread_group
from sparsetune.study.questions.kinds import BestValueMoves, Question, Remaining
from sparsetune.study.space import LogUniform

from ..estimates.learning import (
    ComparedRole,
    collapsed_trials,
    compared_trials,
    learned_nothing,
)
from ..estimates.means import cell_values, control_values, diverged_controls, is_measured
from ..estimates.pooled import estimate_cells
from ..load import StudyResults
from ..measure import Measure
from ..recipes.responses import MIN_CONFIGURATIONS, is_lower_better
from ..tables.results import Results

Floats = NDArray[np.float64]
T = TypeVar("T")
ROLE_OF_RUNS: dict[Runs, ComparedRole] = {
    "winner": "report",
    "twin": "twin",
    "control": "control",
}
"""Role of trials by their name in a contrast."""
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
    """Report runs by cell and seed: their scores, which collapsed, and outcomes on test examples.

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
    def means(self) -> pd.DataFrame:
        """One row per cell, by its name: its mean with its interval, and what it is a mean over."""
        cells, values, _ = cell_values(self.results, self.measure.column)
        points = estimate_cells(cells, values, bounds=self.measure.range)
        return points.join(cells[["configurations", "given_runs", "spread_low", "spread_high"]])

    @cached_property
    def scores(self) -> dict[Runs, pd.DataFrame]:
        """Scores by kind of run; each shape [n_cells, n_seeds], NaN without a value."""
        _, winners, twins = cell_values(self.results, self.measure.column)
        controls = control_values(self.results, self.measure.column)
        return {"winner": winners, "twin": twins, "control": controls}

    @cached_property
    def trials(self) -> dict[Runs, pd.DataFrame]:
        """Ids of COMPLETE trials by kind of run; each shape [n_cells, n_seeds]."""
        found: dict[Runs, pd.DataFrame] = {}
        for runs, role in ROLE_OF_RUNS.items():
            rows = compared_trials(self.results, role).drop_duplicates(["cell", "seed"])
            found[runs] = rows.pivot(index="cell", columns="seed", values="trial_id")
        return found

    @cached_property
    def nothing_learned(self) -> dict[Runs, set[str]]:
        """Cells whose networks give every test example one answer, by kind of run."""
        return {runs: learned_nothing(self.results, role) for runs, role in ROLE_OF_RUNS.items()}

    @cached_property
    def _collapsed(self) -> set[str]:
        """Trials whose training collapsed."""
        if not {"train_loss", "chance_loss"} <= set(self.results.trials()):
            return set()
        flags = collapsed_trials(self.results).fillna(False).astype(bool)
        return set(map(str, flags.index[flags]))

    def row(self, term: Term) -> pd.Series[Any]:
        """Scores of a term's runs by seed; NaN where there are none."""
        return _row(self.scores[term.runs], term.cell).astype("float64")

    def collapsed_row(self, term: Term) -> pd.Series[Any]:
        """True by seed for a term's runs that collapsed."""
        return _row(self.trials[term.runs], term.cell).isin(self._collapsed)

    def chose_dense_recipe(self, planned: PlannedContrast) -> bool:
        """True if the contrast is of re-tuning, and the cell's search chose its control."""
        if not any(term.runs == "control" for term in planned.terms):
            return False
        cells = self.results.cells().set_index("cell")
        if planned.at.cell not in cells.index or "control_id" not in cells:
            return False
        row = cells.loc[planned.at.cell]
        is_known = pd.notna(row["winner_id"]) and pd.notna(row["control_id"])
        return bool(is_known and row["winner_id"] == row["control_id"])

    def diverged_control(self, planned: PlannedContrast) -> int:
        """Seeds on which the dense recipe diverged; 0 where the contrast is not of re-tuning."""
        if not any(term.runs == "control" for term in planned.terms):
            return 0
        return int(diverged_controls(self.results).get(planned.at.cell, 0))

    def by_seed(self, term: Term) -> SeedRuns:
        """A term's runs by seed."""
        collapsed = self.collapsed_row(term)
        scores = _known(self.row(term), float)
        trials = _known(_row(self.trials[term.runs], term.cell), str)
        return SeedRuns(
            sign=term.sign,
            scores=scores,
            # A mean over configurations has no trial of its own.
            trials={seed: trials.get(seed, "") for seed in scores} | trials,
            collapsed=[int(seed) for seed in collapsed.index[collapsed]],
            has_learned=term.cell not in self.nothing_learned[term.runs],
        )

    def outcomes(self, trial_ids: Sequence[str]) -> Floats | None:
        """Outcomes of trials on test examples, shape [n_trials, n_examples]; None without them."""
        try:
            return self.results.outcomes(trial_ids, self.measure.column)
        except SparsetuneError:
            return None  # an older version kept none, or a file is damaged, which a check says


def _row(frame: pd.DataFrame, cell: str) -> pd.Series[Any]:
    """The row of a cell; missing values where it has none."""
    if cell in frame.index:
        return cast("pd.Series[Any]", frame.loc[cell])
    return pd.Series(np.nan, index=frame.columns, dtype="float64")


def _known(row: pd.Series[Any], kind: Callable[[Any], T]) -> dict[int, T]:
    """Values of a row by seed, without missing ones."""
    return {int(seed): kind(value) for seed, value in row.dropna().items()}  # type: ignore[call-overload]


@dataclass(frozen=True)
class MeasuredContrast:
    """A contrast with its numbers.

    Args:
        planned: What it compares.
        sample: Its paired differences.
        parts: Mean of each term over the pairs, in the order of the terms.
        has_learned: False if the networks of a term give every test example one answer.
    """

    planned: PlannedContrast
    sample: Sample
    parts: tuple[float, ...]
    has_learned: bool = True


def measure_contrast(
    runs: ReportRuns, question: Question, planned: PlannedContrast
) -> MeasuredContrast:
    """Paired differences of a contrast, positive where they speak for the question."""
    if isinstance(question, BestValueMoves):
        return _measure_values(runs.results, question, planned)
    by_seed = [runs.by_seed(term) for term in planned.terms]
    is_estimate = isinstance(question, Remaining)
    sample, parts = pair_runs(
        by_seed,
        spread_group(planned),
        runs.outcomes,
        # A score itself has no direction: only a difference speaks for something.
        direction=1 if is_estimate else runs.measure.direction,
        is_estimate=is_estimate,
    )
    return MeasuredContrast(planned, sample, parts, all(one.has_learned for one in by_seed))


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
    group = f"{spread_group(planned)}/{question.field}"
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
