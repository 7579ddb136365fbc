"""Pareto front of loss, sparsity and training cost over the cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..drawers import draw
from ..estimates.captions import interval_sentences, replicates_name
from ..estimates.means import cell_values
from ..estimates.surface import Floats
from ..measure import Measure
from ..notebook import Shown
from ..recipes.responses import is_lower_better
from ..tables.results import Results
from .budgets import frontier_measure, priced_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    "learned_nothing",
    "interval",
    "front",
    "sure",
    "dominated_by",
    "verdict",
]


@dataclass(frozen=True)
class ParetoFront(Shown):
    """Cells that no other cell beats in all of a loss, sparsity and training FLOPs.

    Args:
        y: The loss, or another measure.
        rows: Rows that `frame` returns.
        level: Coverage of the intervals, in (0, 1).
        runs: Name of the runs that the means are over.
    """

    y: Measure
    rows: pd.DataFrame
    level: float = 0.95
    runs: str = "report seeds"

    def frame(self) -> pd.DataFrame:
        """One row per cell, the cheapest first.

        Columns: ``cell arm sparsity epochs train_flops``; ``n mean low high df diverged
        learned_nothing interval`` of ``y`` over report seeds; ``front``, True if no cell that is as
        sparse and as cheap has as good a mean; ``sure``, True for a cell off the front if such a
        cell's interval lies wholly on the better side of its own, and for one on the front if all
        such cells' lie on the worse side; ``dominated_by``, the cell that beats it by most, empty
        on the front; ``verdict``.
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw ``y`` against training FLOPs: filled on the front and hollow off it.

        Raises:
            SparsetuneError: if there is nothing to draw.
        """
        return draw(self)

    def note(self) -> str:
        """Meaning of the marks and bars, for a caption."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        on_front = int(self.rows["front"].sum())
        networks = len(self.rows)
        measure = self.y.phrase
        yield write("pareto_filled", count=on_front, networks=networks, measure=measure)
        yield write("pareto_rivals", tolerance=f"{100 * COST_TOLERANCE:g}")
        yield write("pareto_hollow")
        if self.y.column.startswith("test_"):
            yield write("frontier_on_test")
        yield from interval_sentences(self.rows, self.level, runs=self.runs)
        unsure = int((~self.rows["sure"]).sum())
        if unsure:
            yield write("pareto_unsure", count=unsure)


def pareto_front(
    results: Results,
    y: str | None = None,
    *,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> ParetoFront:
    """Pareto front of ``y``, sparsity (high) and training FLOPs (low) over the cells.

    Args:
        results: The study.
        y: A measured column, over report trials; by default the validation loss, or what
            `frontier_measure` takes of a table that has none.
        where: Dotted fields and their values, as in `analysis.sparsity_curve`.
        level: Coverage of the intervals, in (0, 1).

    Raises:
        SparsetuneError: if a name is unknown, or no cell has ``y`` and training FLOPs.
    """
    y = frontier_measure(results, y)
    frame = priced_cells(results, y, where, level)
    frame = frame.assign(diverged=cell_values(results, y, where)[0]["diverged"], cell=frame.index)
    frame = frame.sort_values(["train_flops", "sparsity"], kind="stable", ignore_index=True)
    # With a sign, lower is better for every measure.
    sign = 1.0 if is_lower_better(results, y) else -1.0
    loss = sign * frame["mean"].to_numpy(dtype=np.float64)
    low = sign * frame["low"].to_numpy(dtype=np.float64)
    high = sign * frame["high"].to_numpy(dtype=np.float64)
    # A negative sign swaps the ends.
    lower_bounds = np.minimum(low, high)
    upper_bounds = np.maximum(low, high)
    sparsity = frame["sparsity"].to_numpy(dtype=np.float64)
    cost = frame["train_flops"].to_numpy(dtype=np.float64)
    rivals = _rivals(sparsity, cost)
    beaten = domination_matrix(loss, sparsity, cost)
    is_on_front = np.asarray(~beaten.any(axis=0))
    below = upper_bounds[:, None] < lower_bounds[None]
    is_surely_on = (~rivals | below.T).all(axis=0)
    is_surely_off = (rivals & below).any(axis=0)
    names = frame["cell"].to_numpy(dtype=object)
    # Of the cells that beat it, the one with the best mean is named.
    strongest = np.where(beaten, loss[:, None], np.inf).argmin(axis=0)
    frame = frame.assign(
        front=is_on_front,
        sure=np.where(is_on_front, is_surely_on, is_surely_off),
        dominated_by=np.where(is_on_front, "", names[strongest]),
    )
    frame = frame.assign(verdict=[_verdict(row) for row in frame.to_dict("records")])
    rows = frame[FRONT_COLUMNS]
    return ParetoFront(results.measure(y), rows, level, replicates_name(results))


def _rivals(sparsity: Floats, cost: Floats) -> NDArray[np.bool_]:
    """True if row i is at least as sparse and as cheap as column k, shape [n_cells, n_cells].

    No cell is its own rival.
    """
    is_as_sparse = sparsity[:, None] >= sparsity
    is_as_cheap = cost[:, None] <= (1 + COST_TOLERANCE) * cost
    return is_as_sparse & is_as_cheap & ~np.eye(len(cost), dtype=bool)


def domination_matrix(loss: Floats, sparsity: Floats, cost: Floats) -> NDArray[np.bool_]:
    """True if cell i is as good as cell k in all three and better in one, shape [n_cells, n_cells].

    Args:
        loss: Loss of each cell, lower is better, shape [n_cells].
        sparsity: Sparsity of each cell, higher is better, shape [n_cells].
        cost: Cost of each cell, lower is better, equal within `COST_TOLERANCE`, shape [n_cells].
    """
    is_sparser = sparsity[:, None] > sparsity
    is_cheaper = (1 + COST_TOLERANCE) * cost[:, None] < cost
    has_equal_loss = loss[:, None] == loss
    is_better = (loss[:, None] < loss) | (has_equal_loss & (is_sparser | is_cheaper))
    return np.asarray(_rivals(sparsity, cost) & is_better)


def _verdict(row: Mapping[Any, Any]) -> str:
    """Verdict on one cell in words."""
    if row["front"]:
        return "on the front" if row["sure"] else "on the front, but another may be as good"
    return f"{'beaten' if row['sure'] else 'not surely beaten'} by {row['dominated_by']}"
