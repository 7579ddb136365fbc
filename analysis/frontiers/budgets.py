"""Best cell of each sparsity that a budget of epochs, training FLOPs or GPU-hours allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsetune.errors import SparsetuneError

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..drawers import draw
from ..estimates.captions import interval_sentences, replicates_name
from ..estimates.intervals import estimate_means, seeds_needed, unsettled_text
from ..estimates.means import cell_means, cell_values, is_measured, require_measured
from ..estimates.pooled import POOLING_COLUMNS, estimate_cells
from ..measure import Measure
from ..notebook import Shown
from ..recipes.responses import is_lower_better, ranking_measure
from ..tables.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BUDGET_UNITS = {
    "epochs": "epochs",
    "train_flops": "dense epochs of training FLOPs",
    "gpu_hours": "device-hours",
}
"""Costs that may be limited, with their units."""
DEFAULT_MEASURE = "val_loss"
"""Measure by which networks of one cost are compared."""
SELECTION_MEASURES = ("val_error", "val_score", "val_accuracy", "val_loss")
"""Columns that choose cells without a declared objective; the first that was measured does."""
LIMIT_TOLERANCE = 1e-6
"""A cost above its limit by this part of it is rounding."""
COST_QUANTILES = (0.25, 0.5, 0.75, 1.0)
"""Quantiles of all costs that are the limits if no limit is given and no dense cell was run."""
SECONDS_PER_HOUR = 3600
BEST_COLUMNS = [
    "budget",
    "limit",
    "sparsity",
    "arm",
    "cell",
    "epochs",
    "train_flops",
    "gpu_hours",
    "chosen",
    "n",
    "mean",
    "low",
    "high",
    "df",
    "diverged",
    "learned_nothing",
    "interval",
    "cells",
    "rivals",
    "more_seeds",
    "verdict",
]


@dataclass(frozen=True)
class BestAt(Shown):
    """Best cell of each sparsity within each limit of a budget.

    Args:
        y: The measure that is reported.
        by: The validation measure that chose.
        budget: ``epochs``, ``train_flops`` or ``gpu_hours``.
        rows: Rows that `frame` returns.
        level: Coverage of the intervals, in (0, 1).
        runs: Name of the runs that the means are over.
    """

    y: Measure
    by: Measure
    budget: str
    rows: pd.DataFrame
    level: float = 0.95
    runs: str = "report seeds"

    def frame(self) -> pd.DataFrame:
        """One row per limit and sparsity that it allows.

        Columns: ``budget limit sparsity``; ``arm cell epochs train_flops gpu_hours`` of the best;
        ``chosen``, its mean of the column that chose; ``n mean low high df diverged learned_nothing
        interval`` of ``y`` over its report seeds; ``cells`` that the limit allows; ``rivals``, the
        number of them that the choice does not separate from the best, paired by seed;
        ``more_seeds`` until all would be, NaN without rivals; ``verdict`` in words.
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw ``y`` of the best against sparsity, a line per limit.

        Raises:
            SparsetuneError: if there is nothing to draw.
        """
        return draw(self)

    def note(self) -> str:
        """Meaning of the marks and bars, for a caption."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        unit = BUDGET_UNITS[self.budget]
        yield write("budget_best", unit=unit, by=self.by.phrase)
        yield write("budget_shown", measure=self.y.phrase)
        yield from interval_sentences(self.rows, self.level, runs=self.runs)
        unsure = int(self.rows["rivals"].gt(0).sum())
        if unsure:
            yield write("budget_unsure", count=unsure, limits=len(self.rows))


def best_at(
    results: Results,
    budget: Mapping[str, float | Sequence[float] | None],
    y: str = "test_accuracy",
    *,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> BestAt:
    """Best cell of each sparsity at or below each limit: chosen on validation, reported on ``y``.

    Args:
        results: The study.
        budget: ``{"epochs": 8}``, ``{"train_flops": [4, 8]}``, ``{"gpu_hours": None}``: one limit
            or several, None for those that divide the cells. A cell's cost is the mean of one
            training over its report trials: FLOPs of all passes in dense epochs; hours of its
            device, comparable if all trials had the same.
        y: A measured column.
        where: Dotted fields and their values, as in `analysis.sparsity_curve`.
        level: Coverage of the intervals, in (0, 1).

    Raises:
        SparsetuneError: if a name is unknown, a limit is no positive number, or costs or validation
            were not measured.
    """
    names = ", ".join(BUDGET_UNITS)
    if not isinstance(budget, Mapping):
        raise SparsetuneError(
            f'`budget` must name one of {names} with its limit, {{"epochs": 10}} say,'
            f" got {budget!r}"
        )
    if len(budget) != 1 or next(iter(budget)) not in BUDGET_UNITS:
        given = ", ".join(budget) or "none"
        raise SparsetuneError(f"`budget` must name one of {names}, got {given}")
    ((name, limits),) = budget.items()
    return candidates(results, y, where, level).best(name, limits)


@dataclass(frozen=True)
class Candidates:
    """Cells that may be chosen, with their costs and values.

    Args:
        y: The measure that is reported.
        by: The validation measure that chooses.
        means: One row per cell: its costs, and its mean of ``y`` with its interval.
        values: Values that choose, by report seed, lower is better, shape [n_cells, n_seeds].
        level: Coverage of the intervals, in (0, 1).
        runs: Name of the runs that the means are over.
    """

    y: Measure
    by: Measure
    means: pd.DataFrame
    values: pd.DataFrame
    level: float = 0.95
    runs: str = "report seeds"

    def best(self, budget: str, limits: float | Sequence[float] | None = None) -> BestAt:
        """The best cell of each sparsity within each limit; see `best_at`."""
        means = self.means.dropna(subset=budget)
        if means.empty:
            raise SparsetuneError(
                f"the best at a budget needs {budget} of finished report trials: there are none"
            )
        rows = []
        for limit in _limits(budget, limits, means):
            allowed = means[means[budget] <= limit * (1 + LIMIT_TOLERANCE)]
            for _, part in allowed.groupby("sparsity"):
                best = _best_row(part, self.values.loc[part.index], self.level)
                rows.append({"budget": budget, "limit": limit} | best)
        frame = pd.DataFrame(rows, columns=BEST_COLUMNS)
        return BestAt(self.y, self.by, budget, frame, self.level, self.runs)


def candidates(
    results: Results,
    y: str = "test_accuracy",
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> Candidates:
    """Every cell with a finished report trial and validation to choose by.

    Arguments and errors are those of `best_at`.
    """
    by = _selection_measure(results, where)
    values = cell_values(results, by, where)[1]
    measured = cell_means(results, y, where, level=level)
    means = cell_spending(results, where).join(measured.drop(columns=["arm", "sparsity", "epochs"]))
    means = means.assign(chosen=values.mean(axis=1)).dropna(subset="chosen")
    values = values if is_lower_better(results, by) else -values
    measures = (results.measure(y), results.measure(by))
    return Candidates(*measures, means, values, level, replicates_name(results))


def cell_spending(results: Results, where: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """One row per cell, indexed by its name: ``arm sparsity epochs train_flops gpu_hours``.

    Costs are means over the cell's report trials. ``train_flops`` are those of all passes, in dense
    epochs, passes that only choose a mask or teach among them; ``gpu_hours`` are hours of the
    trial's device, its evaluations included. Costs that were not measured are NaN.
    """
    cells, flops, _ = cell_values(results, "train_flops", where)
    extra = cell_values(results, "extra_flops", where)[1].mean(axis=1)
    seconds = cell_values(results, "seconds", where)[1].mean(axis=1)
    kept = cells[["arm", "sparsity", "epochs"]].astype({"sparsity": "float64", "epochs": "float64"})
    # Methods without extra passes report none of their FLOPs.
    return kept.assign(
        train_flops=flops.mean(axis=1) + extra.fillna(0.0), gpu_hours=seconds / SECONDS_PER_HOUR
    )


def frontier_measure(results: Results, y: str | None) -> str:
    """The column ``y``, by default the validation loss.

    Of a table without one it is the measure by which configurations are compared, which is of the
    test set only where no validation was measured; the check SPT014 says so.
    """
    if y is not None:
        return y
    if results.design.measured or is_measured(results, DEFAULT_MEASURE):
        return DEFAULT_MEASURE
    return ranking_measure(results) or DEFAULT_MEASURE


def priced_cells(
    results: Results, y: str, where: Mapping[str, Any] | None, level: float
) -> pd.DataFrame:
    """One row per cell that has ``y`` and training FLOPs, indexed by its name.

    Columns are those of `cell_spending` and of `estimate_means`, and ``learned_nothing``, see
    `cell_values`.

    Raises:
        SparsetuneError: if there is no such cell; it says which of the two is missing.
    """
    costs = cell_spending(results, where)
    cells, values, _ = cell_values(results, y, where)
    require_measured(results, y)
    means = estimate_cells(cells, values, level=level, bounds=results.measure(y).range)
    frame = costs.join(means).join(cells["learned_nothing"])
    frame = frame[frame["n"] > 0].dropna(subset="train_flops")
    if frame.empty:
        raise SparsetuneError(
            f"a comparison by cost needs `{y}` and `train_flops` of finished report trials:"
            " no cell has both"
        )
    return frame


def _selection_measure(results: Results, where: Mapping[str, Any] | None) -> str:
    """The validation column that chooses: the objective, else the first that was measured.

    Raises:
        SparsetuneError: if none was measured.
    """
    for name in (results.design.objective, *SELECTION_MEASURES):
        if name is not None and cell_values(results, name, where)[1].notna().any(axis=None):
            return name
    raise SparsetuneError(
        "the best at a budget is chosen on validation: no report trial has any of"
        f" {', '.join(SELECTION_MEASURES)}"
    )


def _limits(name: str, given: float | Sequence[float] | None, means: pd.DataFrame) -> list[float]:
    """Limits of a budget, in ascending order.

    They are the given ones; else every length, or the costs of dense networks of every length, or
    quartiles of all costs.

    Raises:
        SparsetuneError: if a given limit is not positive.
    """
    if given is not None:
        numbers = [given] if isinstance(given, int | float) else given
        limits = sorted({float(limit) for limit in numbers})
        if not all(limit > 0 for limit in limits):
            raise SparsetuneError(f"a limit of {name} must be a positive number, got {given}")
        return limits
    if name == "epochs":
        return sorted(set(means[name]))
    # The cost of a dense training is the budget that a reader has in mind.
    dense = means[means["sparsity"] == 0].groupby("epochs")[name].max()
    costs = dense if len(dense) else means[name].quantile(list(COST_QUANTILES))
    return sorted(set(costs))


def _best_row(part: pd.DataFrame, values: pd.DataFrame, level: float) -> dict[str, Any]:
    """Columns `BEST_COLUMNS` of the best cell of one sparsity, without budget and limit.

    Args:
        part: The cells: their costs and means.
        values: Values that choose, by report seed, lower is better, shape [n_cells, n_seeds].
        level: Coverage of the intervals, in (0, 1).
    """
    name = str(values.mean(axis=1).idxmin())
    best = part.loc[name].to_dict()
    row = {column: best[column] for column in BEST_COLUMNS if column in best}
    row |= {"cell": name, "cells": len(part)}
    others = values.drop(index=name)
    if others.empty:
        return row | {"rivals": 0, "more_seeds": np.nan, "verdict": "the only one"}
    # Spreads of differences are pooled over rivals of one arm and sparsity.
    alike = part.loc[others.index, list(POOLING_COLUMNS)]
    groups = [tuple(key) for key in alike.itertuples(index=False)]
    rivals = estimate_means(others - values.loc[name], groups, level)
    rivals = rivals[~(rivals["low"] > 0)]  # NaN without an interval: not settled either
    if rivals.empty:
        return row | {"rivals": 0, "more_seeds": np.nan, "verdict": f"best of {len(part)}"}
    more = seeds_needed(rivals["mean"], rivals["pooled_sd"], rivals["n"], level, rivals["df"])
    most = np.nan if np.isnan(more).all() else float(np.nanmax(np.maximum(more, 1)))
    subject = f"{len(rivals)} other" + ("s" if len(rivals) > 1 else "")
    verdict = unsettled_text(float(rivals["n"].min()), other=subject)
    return row | {"rivals": len(rivals), "more_seeds": most, "verdict": verdict}
