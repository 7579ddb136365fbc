"""The Pareto front of loss, sparsity and training cost over the cells, and what a report shows of all frontiers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.curves.curve import displayed_costs
from analysis.estimates.means import cell_values, interval_note, replicates_name
from analysis.estimates.surface import Floats
from analysis.exhibit import Exhibit
from analysis.frontiers.budgets import BUDGET_UNITS, candidates, cell_spending, priced_cells
from analysis.frontiers.iso_flops import iso_flops
from analysis.quantities import column_label
from analysis.recipes.responses import is_lower_better
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COST_HEADING = "Training FLOPs\n(dense epochs)"
"""Heading of what a training costs."""
COST_TOLERANCE = 0.01
"""Costs within this part of each other are equal: a mask's FLOPs differ a little between seeds."""
FRONT_COLUMNS = [
    "cell",
    "arm",
    "sparsity",
    "epochs",
    "train_flops",
    "n",
    "mean",
    "low",
    "high",
    "df",
    "diverged",
    "interval",
]
FRONT_COLUMNS += ["front", "sure", "dominated_by", "verdict"]


@dataclass(frozen=True)
class ParetoFront:
    """Cells that no other cell beats in all of a loss, sparsity and training FLOPs.

    Args:
        y: The loss, or another measured column.
        rows: What `frame` returns.
        level: Coverage of the intervals.
        runs: What the means are over.
    """

    y: str
    rows: pd.DataFrame
    level: float = 0.95
    runs: str = "report seeds"

    def frame(self) -> pd.DataFrame:
        """One row per cell, the cheapest first.

        Columns: ``cell arm sparsity epochs train_flops``; ``n mean low high df diverged interval`` of ``y`` over report
        seeds; ``front``, whether no cell that is as sparse and as cheap has as good a mean; ``sure``: of a cell off the
        front, that such a cell's interval lies wholly on the better side of its own, of one on the front, that all such
        cells' lie on the worse; ``dominated_by``, the cell that beats it by most, empty on the front; ``verdict``.
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw ``y`` against training FLOPs, filled on the front and hollow off it, coloured by sparsity."""
        from analysis.frontiers import figures

        return figures.draw_front(self)

    def note(self) -> str:
        """What the marks and bars mean, for a caption."""
        on = int(self.rows["front"].sum())
        unsure = int((~self.rows["sure"]).sum())
        return (
            f"Filled: the Pareto front, {on} of {len(self.rows)} cells that no cell at least as sparse and, to"
            f" {100 * COST_TOLERANCE:g} %, as cheap beats in the mean of {self.y}. Hollow: beaten by one."
            f" {interval_note(self.rows, self.level, runs=self.runs)} Of {unsure} cells, overlapping intervals leave"
            " open on which side they are; they are drawn faint."
        )


def pareto_front(
    results: Results,
    y: str = "val_loss",
    *,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> ParetoFront:
    """The Pareto front of ``y``, sparsity (high) and training FLOPs (low) over the cells' report trials.

    Args:
        results: The study.
        y: A measured column.
        where: Dotted fields and their values, as in `analysis.sparsity_curve`.
        level: Coverage of the intervals.

    Raises:
        SparsetuneError: if a name is unknown, or no cell has ``y`` and training FLOPs.
    """
    frame = priced_cells(results, y, where, level)
    frame = frame.assign(diverged=cell_values(results, y, where)[0]["diverged"], cell=frame.index)
    frame = frame.sort_values(["train_flops", "sparsity"], kind="stable", ignore_index=True)
    sign = 1.0 if is_lower_better(results, y) else -1.0
    mean, low, high = (
        sign * frame[name].to_numpy(dtype=np.float64) for name in ("mean", "low", "high")
    )
    bounds = np.minimum(low, high), np.maximum(low, high)
    sparsity, cost = (
        frame[name].to_numpy(dtype=np.float64) for name in ("sparsity", "train_flops")
    )
    rivals = _rivals(sparsity, cost)
    beaten = domination_matrix(mean, sparsity, cost)
    front = ~beaten.any(axis=0)
    below = bounds[1][:, None] < bounds[0][None]
    sure = np.where(front, (~rivals | below.T).all(axis=0), (rivals & below).any(axis=0))
    names = frame["cell"].to_numpy(dtype=object)
    most = np.where(beaten, mean[:, None], np.inf).argmin(axis=0)
    frame = frame.assign(front=front, sure=sure, dominated_by=np.where(front, "", names[most]))
    return ParetoFront(
        y, frame.assign(verdict=_verdicts(frame))[FRONT_COLUMNS], level, replicates_name(results)
    )


def _rivals(sparsity: Floats, cost: Floats) -> Any:
    """Whether row i is at least as sparse and as cheap as column k, shape [n_cells, n_cells]; never of itself."""
    rivals = (sparsity[:, None] >= sparsity) & (cost[:, None] <= (1 + COST_TOLERANCE) * cost)
    return rivals & ~np.eye(len(cost), dtype=bool)


def domination_matrix(loss: Floats, sparsity: Floats, cost: Floats) -> Any:
    """Whether cell i beats cell k: as good in all three and better in one, shape [n_cells, n_cells].

    Args:
        loss: Of each cell, lower is better.
        sparsity: Higher is better.
        cost: Lower is better, equal within `COST_TOLERANCE`.
    """
    more = (sparsity[:, None] > sparsity) | ((1 + COST_TOLERANCE) * cost[:, None] < cost)
    better = (loss[:, None] < loss) | ((loss[:, None] == loss) & more)
    return _rivals(sparsity, cost) & better


def _verdicts(frame: pd.DataFrame) -> list[str]:
    """In words, a sentence's part each."""
    said = {(True, True): "on the front", (True, False): "on the front, but another may be as good"}
    return [
        said.get((row["front"], row["sure"]))
        or f"{'beaten' if row['sure'] else 'not surely beaten'} by {row['dominated_by']}"
        for row in frame.to_dict("records")
    ]


def exhibits(results: Results, y: str, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """The best at each budget, cells at equal FLOPs, and the Pareto front; nothing where all cells cost the same.

    Args:
        results: The study.
        y: The headline measure, of the best at a budget; the others are of the validation loss.
        where: Dotted fields and their values.
    """
    costs = cell_spending(results, where)
    yield from _best_exhibits(results, y, where)
    loss = next((c for c in ("val_loss", "train_loss") if _has_priced_cell(results, c, where)), "")
    if not loss or costs["train_flops"].nunique() < 2:
        return
    found = iso_flops(results, loss, where=where)
    columns = {"cell": "Cell", "other_cell": "With", "train_flops": COST_HEADING, "n": "n"}
    columns |= {
        "difference low high": "Difference (nats)\n[95 % interval]",
        "p_holm": "p (Holm)",
        "verdict": "Verdict",
    }
    yield Exhibit(
        "iso-flops",
        "At equal training FLOPs",
        found.frame(),
        found.note(),
        found.plot,
        columns if len(found.pairs) else None,
    )
    front = pareto_front(results, loss, where=where)
    columns = {
        "arm": "Arm",
        "sparsity": "Sparsity",
        "epochs": "Epochs",
        "train_flops": COST_HEADING,
    }
    columns |= {
        "mean low high": f"{column_label(loss)}\n[95 % interval]",
        "n": "n",
        "verdict": "Verdict",
    }
    title = "Pareto front of loss, sparsity and training FLOPs"
    yield Exhibit("pareto-front", title, front.frame(), front.note(), front.plot, columns)


def _has_priced_cell(results: Results, y: str, where: Mapping[str, Any] | None) -> bool:
    """Whether a cell has ``y`` and training FLOPs."""
    known = cell_spending(results, where)["train_flops"].notna()
    return bool((cell_values(results, y, where)[1].notna().any(axis=1) & known).any())


def _best_exhibits(results: Results, y: str, where: Mapping[str, Any] | None) -> Iterator[Exhibit]:
    """A table per budget that tells lengths apart, drawn for FLOPs, or epochs where those are unknown."""
    try:
        found = candidates(results, y, where)
    except SparsetuneError:  # nothing to choose by
        return
    costs = found.means
    shown = ["epochs", *displayed_costs(results, where)] if costs["epochs"].nunique() > 1 else []
    measured = [name for name in BUDGET_UNITS if name in shown]
    columns = {
        "sparsity": "Sparsity",
        "arm": "Arm",
        "epochs": "Epochs",
        "train_flops": COST_HEADING,
    }
    columns |= {
        "mean low high": f"{column_label(y)}\n[95 % interval]",
        "n": "n",
        "cells": "Best of\n(cells)",
        "verdict": "Verdict",
    }
    for name in measured:
        limit = {
            "limit": f"At most\n({'dense epochs' if name == 'train_flops' else BUDGET_UNITS[name]})"
        }
        best = found.best(name)
        drawn = name == ("train_flops" if "train_flops" in measured else "epochs")
        title = f"The best at a budget of {BUDGET_UNITS[name]}"
        stem = f"best-at-{name.replace('_', '-')}"
        yield Exhibit(
            stem, title, best.frame(), best.note(), best.plot if drawn else None, limit | columns
        )
