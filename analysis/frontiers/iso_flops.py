"""Comparison at equal training FLOPs: the better sparsity or arm of two cells of one cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsetune.errors import SparsetuneError

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..drawers import draw
from ..estimates.intervals import Floats, estimate_means, seeds_needed, unsettled_text
from ..estimates.means import cell_values
from ..measure import Measure
from ..notebook import Shown
from ..recipes.optima.shifts import holm_adjusted
from ..recipes.responses import is_lower_better
from ..tables.results import Results
from ..wording import format_seeds
from .budgets import frontier_measure, priced_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOPS_TOLERANCE = 0.05
"""Training costs within this part of each other are equal."""
SIDE_COLUMNS = ["cell", "arm", "sparsity", "epochs", "train_flops"]
"""Columns of one cell of a pair; the other one's begin with ``other_``."""
PAIR_COLUMNS = [
    *SIDE_COLUMNS,
    *(f"other_{name}" for name in SIDE_COLUMNS),
    "n",
    "difference",
    "low",
    "high",
    "df",
    "p",
    "p_holm",
    "more_seeds",
    "better",
    "verdict",
]


@dataclass(frozen=True)
class IsoFlops(Shown):
    """Cells compared with those of equal training cost.

    Args:
        y: The measure.
        points: One row per cell: ``arm sparsity epochs train_flops``, ``n mean low high`` of ``y``,
            and ``learned_nothing``, the number of report trials that did.
        pairs: Rows that `frame` returns.
        tolerance: Largest difference of equal costs, as a part of the lower one.
        level: Coverage of the intervals, and level of the correction for many pairs, in (0, 1).
    """

    y: Measure
    points: pd.DataFrame
    pairs: pd.DataFrame
    tolerance: float = FLOPS_TOLERANCE
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per pair of cells of equal training FLOPs that differ in sparsity or arm.

        Columns: ``cell arm sparsity epochs train_flops`` of one, those with ``other_`` of the
        other, denser one; ``difference`` of ``y`` (the first minus the other) over ``n`` seeds that
        both have, with ``low high`` of a t interval of ``df``, and ``p``, all NaN if seeds are too
        few or no spread was seen; ``p_holm`` corrected for all pairs; ``more_seeds`` until the
        interval would exclude 0; ``better``, the cell that is, empty if that is not settled;
        ``verdict`` in words.
        """
        return self.pairs.copy()

    def plot(self) -> Figure:
        """Draw ``y`` against training FLOPs: a line per sparsity, a panel per arm.

        Raises:
            SparsetuneError: if there is nothing to draw.
        """
        return draw(self)

    def note(self) -> str:
        """Caption: the compared cells and the finding."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        tolerance = f"{100 * self.tolerance:g} %"
        if self.pairs.empty:
            yield write("iso_flops_none", tolerance=tolerance)
            return
        settled = self.pairs[self.pairs["better"] != ""]
        n = format_seeds(self.pairs["n"].max())
        yield write("iso_flops", tolerance=tolerance, n=n)
        level = f"{100 * self.level:g}"
        yield write("iso_flops_found", settled=len(settled), pairs=len(self.pairs), level=level)
        differ = settled[settled["sparsity"] != settled["other_sparsity"]]
        if len(differ):
            denser = int((differ["better"] == differ["other_cell"]).sum())
            yield write("iso_flops_denser", pairs=len(differ), denser=denser)
        if self.y.column.startswith("test_"):
            yield write("frontier_on_test")
        yield write("iso_flops_marks")
        yield write("iso_flops_bars")


def iso_flops(
    results: Results,
    y: str | None = None,
    *,
    tolerance: float = FLOPS_TOLERANCE,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> IsoFlops:
    """Compare sparsities and arms in ``y`` at equal training FLOPs, paired by report seed.

    Args:
        results: The study.
        y: A measured column; by default the validation loss, or what `frontier_measure` takes of a
            table that has none.
        tolerance: Largest difference of equal costs, as a part of the lower one, in [0, 1).
        where: Dotted fields and their values, as in `analysis.sparsity_curve`.
        level: Coverage of the intervals, and level of the correction for many pairs, in (0, 1).

    Raises:
        SparsetuneError: if a name is unknown, the tolerance is not in [0, 1), or no cell has ``y``
            and training FLOPs.
    """
    if not 0 <= tolerance < 1:
        raise SparsetuneError(f"`tolerance` must be a part of the cost, in [0, 1), got {tolerance}")
    y = frontier_measure(results, y)
    points = priced_cells(results, y, where, level)
    values = cell_values(results, y, where)[1]
    points = points.assign(cell=points.index)
    # The sparsest first, so that the other side of each pair is the denser one.
    points = points.sort_values(["sparsity", "train_flops"], ascending=[False, True], kind="stable")
    points = points.reset_index(drop=True)
    pairs = _equal_cost_pairs(points, tolerance)
    compared = _compare_pairs(pairs, values, level, is_lower_better(results, y))
    shown = points[[*SIDE_COLUMNS, "n", "mean", "low", "high", "learned_nothing"]]
    return IsoFlops(results.measure(y), shown, compared, tolerance, level)


def _equal_cost_pairs(points: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """Pairs of cells, the sparser first, of equal cost that differ in sparsity or arm.

    Args:
        points: One row per cell, the sparsest first: `SIDE_COLUMNS`.
        tolerance: Largest difference of equal costs, as a part of the lower one.
    """
    costs = points["train_flops"].to_numpy(dtype=np.float64)
    kinds = list(zip(points["arm"], points["sparsity"], strict=True))
    firsts = []
    others = []
    for i, k in combinations(range(len(points)), 2):
        dearer = max(costs[i], costs[k])
        cheaper = min(costs[i], costs[k])
        if kinds[i] != kinds[k] and dearer <= (1 + tolerance) * cheaper:
            firsts.append(i)
            others.append(k)
    sides = points[SIDE_COLUMNS]
    first = sides.iloc[firsts].reset_index(drop=True)
    other = sides.iloc[others].reset_index(drop=True)
    return first.join(other.add_prefix("other_"))


def _compare_pairs(
    pairs: pd.DataFrame, values: pd.DataFrame, level: float, lower: bool
) -> pd.DataFrame:
    """The pairs with their differences, corrected together: `PAIR_COLUMNS`.

    Spreads are pooled over pairs of the same two kinds.

    Args:
        pairs: Columns of both sides.
        values: Values by report seed, shape [n_cells, n_seeds].
        level: Coverage of the intervals, in (0, 1).
        lower: True if low values are good.
    """
    if pairs.empty:
        return pd.DataFrame(columns=PAIR_COLUMNS)
    own = values.loc[pairs["cell"]].to_numpy(np.float64)
    other = values.loc[pairs["other_cell"]].to_numpy(np.float64)
    kinds = pairs[["arm", "sparsity", "other_arm", "other_sparsity"]]
    groups = [tuple(key) for key in kinds.itertuples(index=False)]
    found = estimate_means(own - other, groups, level)
    n = found["n"].to_numpy(dtype=np.float64)
    df = found["df"].to_numpy(dtype=np.float64)
    mean = found["mean"].to_numpy(dtype=np.float64)
    sd = found["pooled_sd"].to_numpy(dtype=np.float64)
    p = _t_test(mean, sd, n, df)
    is_unknown = np.isnan(p)
    # Unknown p values count in the number of pairs and stay unknown.
    adjusted = holm_adjusted(np.where(is_unknown, 1.0, p))
    corrected = np.where(is_unknown, np.nan, adjusted)
    is_first_better = (mean < 0) == lower
    better = np.where(is_first_better, pairs["cell"], pairs["other_cell"])
    more = np.maximum(seeds_needed(mean, sd, n, level, df), 1)
    frame = pairs.assign(
        n=found["n"],
        difference=mean,
        low=found["low"],
        high=found["high"],
        df=found["df"],
        p=p,
        p_holm=corrected,
        more_seeds=np.where(p < 1 - level, np.nan, more),
        better=np.where(corrected < 1 - level, better, ""),
    )
    verdicts = [_verdict(row, lower, level, len(frame)) for row in frame.to_dict("records")]
    return frame.assign(verdict=verdicts)[PAIR_COLUMNS]


def _t_test(mean: Floats, sd: Floats, n: Floats, df: Floats) -> Floats:
    """Two-sided p values of no difference, shape [n_pairs]; NaN without degrees or spread."""
    from scipy.special import stdtr

    with np.errstate(divide="ignore", invalid="ignore"):
        is_known = (df > 0) & (sd > 0)
        t = np.abs(mean) / (sd / np.sqrt(n))
        return np.asarray(2 * stdtr(np.where(is_known, df, np.nan), -t))


def _verdict(row: Mapping[Any, Any], lower: bool, level: float, count: int) -> str:
    """Verdict on one pair in words; ``count`` pairs were compared."""
    if not row["better"] and row["p"] < 1 - level:
        return f"not settled after correction for {count} pairs, {format_seeds(row['n'])}"
    # Equal differences on all seeds prove nothing about other seeds.
    if row["n"] and row["df"] > 0 and pd.isna(row["p"]):
        return f"not settled with {format_seeds(row['n'])}: no spread was seen"
    if not row["better"]:
        return unsettled_text(row["n"]) if row["n"] else "no seed in common"
    low, high = sorted([abs(row["low"]), abs(row["high"])])
    direction = "lower" if lower else "higher"
    return f"{row['better']} {direction} by {abs(row['difference']):.3g} [{low:.3g}, {high:.3g}]"
