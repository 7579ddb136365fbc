"""Methods side by side: what each keeps of the dense network against sparsity, and what its training costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.estimates.means import (
    MEAN_STATISTICS,
    cell_means,
    cell_values,
    interval_note,
    replicates_name,
    require_one_cell_each,
    sort_points,
)
from analysis.tables.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COST_COLUMNS = ("training_flops", "extra_flops", "inference_flops", "ever_active")
"""Of a cell's winner, means over report seeds: the optimizer's steps, and passes that only choose a mask, both in dense
trainings of the same length; the masked network over the dense one; the share of weights that ever were in a mask."""


@dataclass(frozen=True)
class Comparison:
    """Arms at equal training length: numbers first (`frame`), then the picture (`plot`).

    Args:
        y: The measured column.
        epochs: The length of training.
        points: What `frame` returns.
        level: Coverage of the intervals.
        runs: What the means are over.
    """

    y: str
    epochs: float
    points: pd.DataFrame
    level: float = 0.95
    runs: str = "report seeds"

    def frame(self) -> pd.DataFrame:
        """One row per arm and sparsity, in the order of the study: dense arms first.

        Columns: ``arm sparsity epochs``; those of `Curve.frame` from ``n`` on; `COST_COLUMNS`, and ``total_flops``, the sum of
        ``training_flops`` and ``extra_flops``.
        """
        return self.points.copy()

    def plot(self) -> Figure:
        """Draw two panels: ``y`` with intervals, and the cost of training, both against sparsity, a line per arm."""
        from analysis.curves.figures import draw_comparison

        return draw_comparison(self)

    def note(self) -> str:
        """What the marks and bars mean, for a caption."""
        return (
            f"{interval_note(self.points, self.level, runs=self.runs)} Arms are listed as their lines end on the right;"
            " marks of one sparsity stand a little apart. Training FLOPs are those of all passes, with those that only"
            f" choose a mask, over those of one dense training of the same {self.epochs:g} epochs."
        )

    def shared(self) -> list[float]:
        """The sparsities, above 0, at which several arms have a mean."""
        measured = self.points[(self.points["sparsity"] > 0) & (self.points["n"] > 0)]
        counts = measured.groupby("sparsity")["arm"].nunique()
        return [float(sparsity) for sparsity in counts.index[counts > 1]]


def compare_arms(
    results: Results,
    y: str = "test_accuracy",
    *,
    where: Mapping[str, Any] | None = None,
    epochs: float | None = None,
    level: float = 0.95,
) -> Comparison:
    """``y`` of every cell's winner and its costs, over fresh report seeds, where training had one length.

    Args:
        results: The study.
        y: A measured column.
        where: Dotted fields and their values, as in `analysis.sparsity_curve`.
        epochs: Length of training, multiplier included; by default the longest of those that most arms have.
        level: Coverage of the intervals.

    Raises:
        SparsetuneError: if a name is unknown, or a point would mix several cells.
    """
    points = cell_means(results, y, where, level=level)
    points = points.join(cell_costs(results, where)[list(COST_COLUMNS)])
    length = _common_length(points) if epochs is None else epochs
    points = points.loc[
        points["epochs"] == length, ["arm", "sparsity", "epochs", *MEAN_STATISTICS, *COST_COLUMNS]
    ]
    require_one_cell_each(points, ["arm", "sparsity"], "give `where`")
    points = points.assign(total_flops=points["training_flops"] + points["extra_flops"])
    return Comparison(
        y, float(length), sort_points(points, ["arm", "sparsity"]), level, replicates_name(results)
    )


def _common_length(points: pd.DataFrame) -> float:
    """The longest of the lengths that most arms were trained for; NaN where nothing was."""
    arms = points[points["n"] > 0].groupby("epochs")["arm"].nunique()
    return (
        float(arms.index[arms == arms.max()].max()) if len(arms) else float(points["epochs"].max())
    )


def cell_costs(results: Results, where: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """One row per cell, by its name: ``arm sparsity epochs`` and `COST_COLUMNS`; NaN where nothing has been measured."""
    cells = cell_values(results, "train_flops", where)[0]
    length = cells["epochs"].astype("float64")
    columns = {"training_flops": "train_flops"} | {name: name for name in COST_COLUMNS[1:]}
    measured = {
        name: cell_values(results, column, where)[1].mean(axis=1)
        for name, column in columns.items()
    }
    measured |= {name: measured[name] / length for name in ("training_flops", "extra_flops")}
    return cells[["arm", "sparsity", "epochs"]].assign(**measured)
