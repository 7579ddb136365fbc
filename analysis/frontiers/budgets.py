"""The best cell of each sparsity that a budget of epochs, training FLOPs or GPU-hours allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.estimates.intervals import estimate_means, seeds_needed, unseparated_text
from analysis.estimates.means import (
    POOLING_COLUMNS,
    cell_means,
    cell_values,
    interval_note,
    replicates_name,
    require_measured,
)
from analysis.recipes.responses import is_lower_better
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BUDGET_UNITS = {
    "epochs": "epochs",
    "train_flops": "dense epochs of training FLOPs",
    "gpu_hours": "device-hours",
}
"""What may be limited, with its unit."""
SELECTION_MEASURES = ("val_error", "val_score", "val_accuracy", "val_loss")
"""What cells are chosen by where no objective was declared: the first that was measured."""
LIMIT_TOLERANCE = 1e-6
"""A cost above its limit by this part of it is rounding."""
_SHARED_COLUMNS = ("sparsity", "epochs")
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
]
BEST_COLUMNS += [
    "low",
    "high",
    "df",
    "diverged",
    "interval",
    "cells",
    "rivals",
    "more_seeds",
    "verdict",
]


@dataclass(frozen=True)
class BestAt:
    """The best cell of each sparsity within each limit of a budget.

    Args:
        y: The measured column that is reported.
        by: The validation column that chose.
        budget: ``epochs``, ``train_flops`` or ``gpu_hours``.
        rows: What `frame` returns.
        level: Coverage of the intervals.
        runs: What the means are over.
    """

    y: str
    by: str
    budget: str
    rows: pd.DataFrame
    level: float = 0.95
    runs: str = "report seeds"

    def frame(self) -> pd.DataFrame:
        """One row per limit and sparsity that it allows.

        Columns: ``budget limit sparsity``; ``arm cell epochs train_flops gpu_hours`` of the best; ``chosen``, its mean
        of the column that chose; ``n mean low high df diverged interval`` of ``y`` over its report seeds; ``cells``
        that the limit allows; ``rivals``, those of them that the choice does not separate from the best, paired by
        seed; ``more_seeds`` until all would be; ``verdict`` in words.
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw ``y`` of the best against sparsity, a line per limit."""
        from analysis.frontiers import figures

        return figures.draw_best(self)

    def note(self) -> str:
        """What the marks and bars mean, for a caption."""
        unsure = int(self.rows["rivals"].gt(0).sum())
        return (
            f"For each limit in {BUDGET_UNITS[self.budget]}, the best cell of each sparsity that costs no more, by {self.by}"
            f" over its {self.runs}; shown is {self.y} of the same trials."
            f" {interval_note(self.rows, self.level, runs=self.runs)}"
            f" In {unsure} of {len(self.rows)} the best is not separated from other cells that the limit allows."
        )


def best_at(
    results: Results,
    budget: Mapping[str, float | Sequence[float] | None],
    y: str = "test_accuracy",
    *,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> BestAt:
    """The best cell of each sparsity at or below each limit: chosen on validation, reported on ``y``.

    Args:
        results: The study.
        budget: ``{"epochs": 8}``, ``{"train_flops": [4, 8]}``, ``{"gpu_hours": None}``: one limit or several, None for
            those that divide the cells. A cell's cost is the mean of one training over its report trials: FLOPs of all
            passes in dense epochs; hours of its device, comparable where all trials had the same.
        y: A measured column.
        where: Dotted fields and their values, as in `analysis.sparsity_curve`.
        level: Coverage of the intervals.

    Raises:
        SparsetuneError: if a name is unknown, a limit is no positive number, or costs or validation were not measured.
    """
    if not isinstance(budget, Mapping):
        raise SparsetuneError(
            f'`budget` must name one of {", ".join(BUDGET_UNITS)} with its limit, {{"epochs": 10}} say, got {budget!r}'
        )
    (name, limits), *more = list(budget.items()) or [("", None)]
    if more or name not in BUDGET_UNITS:
        raise SparsetuneError(
            f"`budget` must name one of {', '.join(BUDGET_UNITS)}, got {', '.join(budget) or 'none'}"
        )
    return candidates(results, y, where, level).best(name, limits)


@dataclass(frozen=True)
class Candidates:
    """The cells that may be chosen: what they cost, what chooses, and what is reported.

    Args:
        y: The measured column that is reported.
        by: The validation column that chooses.
        means: One row per cell: its costs, and its mean of ``y`` with its interval.
        values: What chooses by report seed, lower is better, shape [n_cells, n_seeds].
        level: Coverage of the intervals.
        runs: What the means are over.
    """

    y: str
    by: str
    means: pd.DataFrame
    values: pd.DataFrame
    level: float = 0.95
    runs: str = "report seeds"

    def best(self, budget: str, given: float | Sequence[float] | None = None) -> BestAt:
        """The best of each sparsity within each limit; see `best_at`."""
        means = self.means.dropna(subset=budget)
        if means.empty:
            raise SparsetuneError(
                f"the best at a budget needs {budget} of finished report trials: there are none"
            )
        rows = [
            {"budget": budget, "limit": limit}
            | _best_row(part, self.values.loc[part.index], self.level)
            for limit in _limits(budget, given, means)
            for _, part in means[means[budget] <= limit * (1 + LIMIT_TOLERANCE)].groupby("sparsity")
        ]
        return BestAt(
            self.y, self.by, budget, pd.DataFrame(rows, columns=BEST_COLUMNS), self.level, self.runs
        )


def candidates(
    results: Results,
    y: str = "test_accuracy",
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> Candidates:
    """Every cell with a finished report trial and validation to choose by; arguments and errors as in `best_at`."""
    by = _selection_measure(results, where)
    values = cell_values(results, by, where)[1]
    means = cell_spending(results, where).join(
        cell_means(results, y, where, level=level).drop(columns=["arm", *_SHARED_COLUMNS])
    )
    means = means.assign(chosen=values.mean(axis=1)).dropna(subset="chosen")
    values = values if is_lower_better(results, by) else -values
    return Candidates(y, by, means, values, level, replicates_name(results))


def cell_spending(results: Results, where: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """One row per cell, by its name: ``arm sparsity epochs train_flops gpu_hours``, means over its report trials.

    ``train_flops`` are those of all passes, the ones that only choose a mask or teach among them, in dense epochs;
    ``gpu_hours`` are hours of the trial's device, its evaluations with them. NaN where they were not measured.
    """
    cells, flops, _ = cell_values(results, "train_flops", where)
    extra, seconds = (
        cell_values(results, column, where)[1].mean(axis=1) for column in ("extra_flops", "seconds")
    )
    costs = {"train_flops": flops.mean(axis=1) + extra.fillna(0.0), "gpu_hours": seconds / 3600}
    kept = cells[["arm", "sparsity", "epochs"]].astype({"sparsity": "float64", "epochs": "float64"})
    return kept.assign(**costs)


def priced_cells(
    results: Results, y: str, where: Mapping[str, Any] | None, level: float
) -> pd.DataFrame:
    """One row per cell, by its name, that has ``y`` and training FLOPs: `cell_spending`, and the columns of `estimate_means`.

    Raises:
        SparsetuneError: if there is no such cell; it says which of the two is missing.
    """
    costs = cell_spending(results, where)
    values = cell_values(results, y, where)[1]
    require_measured(results, y)
    means = estimate_means(
        values, [tuple(key) for key in costs[["arm", "sparsity"]].itertuples(index=False)], level
    )
    frame = costs.join(means.set_index(costs.index))
    frame = frame[frame["n"] > 0].dropna(subset="train_flops")
    if frame.empty:
        raise SparsetuneError(
            f"a comparison by cost needs `{y}` and `train_flops` of finished report trials: no cell has both"
        )
    return frame


def _selection_measure(results: Results, where: Mapping[str, Any] | None) -> str:
    """The validation column that chooses: the objective, else the first that was measured."""
    names = (results.design.objective, *SELECTION_MEASURES)
    for name in (name for name in names if name is not None):
        if cell_values(results, name, where)[1].notna().any(axis=None):
            return name
    raise SparsetuneError(
        f"the best at a budget is chosen on validation: no report trial has any of {', '.join(SELECTION_MEASURES)}"
    )


def _limits(name: str, given: float | Sequence[float] | None, means: pd.DataFrame) -> list[float]:
    """What was given; else every length, or what dense networks of every length cost, or quartiles of all costs."""
    if given is not None:
        limits = sorted(
            {float(limit) for limit in ([given] if isinstance(given, int | float) else given)}
        )
        if not all(limit > 0 for limit in limits):
            raise SparsetuneError(f"a limit of {name} must be a positive number, got {given}")
        return limits
    dense = means[means["sparsity"] == 0].groupby("epochs")[name].max()
    if name == "epochs":
        return sorted(set(means[name]))
    return (
        sorted(set(dense))
        if len(dense)
        else sorted(set(means[name].quantile([0.25, 0.5, 0.75, 1.0])))
    )


def _best_row(part: pd.DataFrame, values: pd.DataFrame, level: float) -> dict[str, Any]:
    """The best of some cells of one sparsity, by ``values`` of which lower is better, and what may be as good."""
    name = str(values.mean(axis=1).idxmin())
    best = part.loc[name].to_dict()
    row = {column: best[column] for column in BEST_COLUMNS if column in best} | {
        "cell": name,
        "cells": len(part),
    }
    others = values.drop(index=name)
    if others.empty:
        return row | {"rivals": 0, "more_seeds": np.nan, "verdict": "the only one"}
    groups = [
        tuple(key) for key in part.loc[others.index, list(POOLING_COLUMNS)].itertuples(index=False)
    ]
    apart = estimate_means(others - values.loc[name], groups, level)
    apart = apart[~(apart["low"] > 0)]
    if apart.empty:
        return row | {"rivals": 0, "more_seeds": np.nan, "verdict": f"best of {len(part)}"}
    more = np.maximum(
        seeds_needed(apart["mean"], apart["pooled_sd"], apart["n"], level, apart["df"]), 1
    )
    most = np.nan if np.isnan(more).all() else float(np.nanmax(more))
    said = unseparated_text(
        float(apart["n"].min()), most, f"{len(apart)} other{'s' * (len(apart) > 1)}"
    )
    return row | {"rivals": len(apart), "more_seeds": most, "verdict": said}
