"""Arms side by side: the measure that each keeps at a sparsity, and the cost of its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..drawers import draw
from ..estimates.captions import interval_sentences, replicates_name
from ..estimates.means import (
    MEAN_STATISTICS,
    cell_means,
    cell_values,
    require_one_cell_each,
    sort_points,
)
from ..measure import Measure
from ..notebook import Shown
from ..tables.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COST_COLUMNS = ("training_flops", "extra_flops", "inference_flops", "ever_active")
"""Costs of a cell's winner, means over report seeds.

``training_flops`` are those of the optimizer's steps and ``extra_flops`` those of passes that only
choose a mask, both in dense trainings of the same length; ``inference_flops`` is the masked network
over the dense one, ``ever_active`` the share of weights that ever were in a mask.
"""


@dataclass(frozen=True)
class Comparison(Shown):
    """Arms at equal training length: numbers first (`frame`), then the figure (`plot`).

    Args:
        y: The measure.
        epochs: Length of training.
        points: Rows that `frame` returns.
        level: Coverage of the intervals, in (0, 1).
        runs: Name of the runs that the means are over.
    """

    y: Measure
    epochs: float
    points: pd.DataFrame
    level: float = 0.95
    runs: str = "report seeds"

    def frame(self) -> pd.DataFrame:
        """One row per arm and sparsity, in the order of the study: dense arms first.

        Columns: ``arm sparsity epochs``; those of `Curve.frame` from ``n`` on; `COST_COLUMNS`, and
        ``total_flops``, the sum of ``training_flops`` and ``extra_flops``.
        """
        return self.points.copy()

    def plot(self) -> Figure:
        """Draw two panels against sparsity, a line per arm: ``y``, and the cost of training."""
        return draw(self)

    def note(self) -> str:
        """Meaning of the marks and bars, for a caption."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        yield from interval_sentences(self.points, self.level, runs=self.runs)
        yield write("comparison_marks")
        yield write("comparison_flops", epochs=f"{self.epochs:g}")

    def shared(self) -> list[float]:
        """Sparsities above 0 at which several arms have a mean."""
        # Dense networks are one level for all arms, which compares nothing.
        measured = self.points[(self.points["sparsity"] > 0) & (self.points["n"] > 0)]
        arm_counts = measured.groupby("sparsity")["arm"].nunique()
        return [float(sparsity) for sparsity in arm_counts.index[arm_counts > 1]]


def compare_arms(
    results: Results,
    y: str = "test_accuracy",
    *,
    where: Mapping[str, Any] | None = None,
    epochs: float | None = None,
    level: float = 0.95,
) -> Comparison:
    """Compare the winners of all arms over fresh report seeds, at one length of training.

    Args:
        results: The study.
        y: A measured column.
        where: Dotted fields and their values, as in `analysis.sparsity_curve`.
        epochs: Length of training, multiplier included; by default the longest of the lengths that
            most arms have.
        level: Coverage of the intervals, in (0, 1).

    Raises:
        SparsetuneError: if a name is unknown, or a point would mix several cells.
    """
    points = cell_means(results, y, where, level=level)
    points = points.join(cell_costs(results, where)[list(COST_COLUMNS)])
    # Costs are relative to a dense training of the same length, so one figure has one length.
    length = _common_length(points) if epochs is None else epochs
    kept = ["arm", "sparsity", "epochs", *MEAN_STATISTICS, *COST_COLUMNS]
    points = points.loc[points["epochs"] == length, kept]
    # A line through two cells at one sparsity would look like one recipe.
    require_one_cell_each(points, ["arm", "sparsity"], "give `where`")
    points = points.assign(total_flops=points["training_flops"] + points["extra_flops"])
    points = sort_points(points, ["arm", "sparsity"])
    measure = results.measure(y)
    return Comparison(measure, float(length), points, level, replicates_name(results))


def _common_length(points: pd.DataFrame) -> float:
    """The longest of the lengths that most arms have, or of all lengths if nothing is measured."""
    # A length that few arms have would leave the others out of the comparison.
    arm_counts = points[points["n"] > 0].groupby("epochs")["arm"].nunique()
    if arm_counts.empty:
        return float(points["epochs"].max())
    return float(arm_counts.index[arm_counts == arm_counts.max()].max())


def cell_costs(results: Results, where: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """One row per cell, indexed by its name: ``arm sparsity epochs`` and `COST_COLUMNS`.

    Costs that were not measured are NaN.
    """
    cells = cell_values(results, "train_flops", where)[0]
    length = cells["epochs"].astype("float64")
    costs = {}
    for name in COST_COLUMNS:
        column = "train_flops" if name == "training_flops" else name
        mean = cell_values(results, column, where)[1].mean(axis=1)
        # These two are counted in dense epochs; divided by the length they compare across lengths.
        costs[name] = mean / length if name in ("training_flops", "extra_flops") else mean
    return cells[["arm", "sparsity", "epochs"]].assign(**costs)
