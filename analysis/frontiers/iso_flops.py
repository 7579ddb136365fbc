"""Comparison at equal training FLOPs: of two cells that cost the same, which sparsity or arm has the lower loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.estimates.intervals import estimate_means, seeds_needed, unseparated_text
from analysis.estimates.means import cell_values
from analysis.frontiers.budgets import priced_cells
from analysis.recipes.responses import is_lower_better
from analysis.recipes.shifts import holm_adjusted
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOPS_TOLERANCE = 0.05
"""Training costs within this part of each other are equal."""
SIDE_COLUMNS = ["cell", "arm", "sparsity", "epochs", "train_flops"]
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
]
PAIR_COLUMNS += ["more_seeds", "better", "verdict"]


@dataclass(frozen=True)
class IsoFlops:
    """Cells compared with those of equal training cost.

    Args:
        y: The measured column.
        points: One row per cell: ``arm sparsity epochs train_flops``, ``n mean low high`` of ``y``.
        pairs: What `frame` returns.
        tolerance: How far costs may be apart, as a part of the lower one.
        level: Coverage of the intervals, and of the correction for many pairs.
    """

    y: str
    points: pd.DataFrame
    pairs: pd.DataFrame
    tolerance: float = FLOPS_TOLERANCE
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per pair of cells of another sparsity or arm whose training FLOPs are equal within the tolerance.

        Columns: ``cell arm sparsity epochs train_flops`` of one, those with ``other_`` of the other, denser one;
        ``difference`` of ``y`` (the first minus the other) over ``n`` seeds that both have, with ``low high`` of a t
        interval of ``df``, and ``p``, all NaN where seeds are too few or no spread was seen; ``p_holm`` corrected for
        all pairs; ``more_seeds`` until the interval would exclude 0; ``better``, the cell that is,
        empty where the pair is not separated; ``verdict`` in words.
        """
        return self.pairs.copy()

    def plot(self) -> Figure:
        """Draw ``y`` against training FLOPs: a line per sparsity, a panel per arm."""
        from analysis.frontiers import figures

        return figures.draw_iso_flops(self)

    def note(self) -> str:
        """What was compared, and what was found, for a caption."""
        if self.pairs.empty:
            return f"No two cells of another sparsity or arm are within {100 * self.tolerance:g} % in training FLOPs."
        apart = self.pairs[self.pairs["better"] != ""]
        most = self.pairs["n"].max()
        denser = int((apart["better"] == apart["other_cell"]).sum())
        sparsities = apart["sparsity"] != apart["other_sparsity"]
        found = f"{len(apart)} of {len(self.pairs)} pairs are separated"
        if sparsities.any():
            denser = int((apart["better"] == apart["other_cell"])[sparsities].sum())
            found += f"; of {int(sparsities.sum())} that differ in sparsity the denser one is better in {denser}"
        return (
            f"Cells of another sparsity or arm within {100 * self.tolerance:g} % of each other's training FLOPs (all"
            f" passes), paired by seed, n = {most} at most: {found}, after Holm's correction for all pairs at"
            f" {100 * self.level:g} %. Read vertically: marks above one another cost the same. Bars are intervals of"
            " each mean, wider than those of paired differences may be."
        )


def iso_flops(
    results: Results,
    y: str = "val_loss",
    *,
    tolerance: float = FLOPS_TOLERANCE,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> IsoFlops:
    """Which sparsity or arm has the better ``y`` at equal training FLOPs, paired by report seed.

    Args:
        results: The study.
        y: A measured column.
        tolerance: How far costs may be apart, as a part of the lower one.
        where: Dotted fields and their values, as in `analysis.sparsity_curve`.
        level: Coverage of the intervals, and of the correction for many pairs.

    Raises:
        SparsetuneError: if a name is unknown, the tolerance is not in [0, 1), or no cell has ``y`` and training FLOPs.
    """
    if not 0 <= tolerance < 1:
        raise SparsetuneError(f"`tolerance` must be a part of the cost, in [0, 1), got {tolerance}")
    points = priced_cells(results, y, where, level)
    values = cell_values(results, y, where)[1]
    points = points.assign(cell=points.index)
    points = points.sort_values(["sparsity", "train_flops"], ascending=[False, True], kind="stable")
    found = list(_equal_cost_pairs(points.reset_index(drop=True), tolerance))
    sides = [
        points[SIDE_COLUMNS].iloc[[pair[side] for pair in found]].reset_index(drop=True)
        for side in (0, 1)
    ]
    pairs = sides[0].join(sides[1].add_prefix("other_"))
    return IsoFlops(
        y,
        points[[*SIDE_COLUMNS, "n", "mean", "low", "high"]].reset_index(drop=True),
        _compare_pairs(pairs, values, level, is_lower_better(results, y)),
        tolerance,
        level,
    )


def _equal_cost_pairs(points: pd.DataFrame, tolerance: float) -> list[tuple[int, int]]:
    """Places of the pairs, the sparser first, that cost the same and differ in sparsity or arm."""
    costs = points["train_flops"].to_numpy(dtype=np.float64)
    kinds = list(zip(points["arm"], points["sparsity"], strict=True))
    return [
        (i, k)
        for i, k in combinations(range(len(points)), 2)
        if kinds[i] != kinds[k]
        and max(costs[i], costs[k]) <= (1 + tolerance) * min(costs[i], costs[k])
    ]


def _compare_pairs(
    pairs: pd.DataFrame, values: pd.DataFrame, level: float, lower: bool
) -> pd.DataFrame:
    """The pairs with their differences, corrected together; spreads are pooled over pairs of the same two kinds."""
    from scipy.special import stdtr

    if pairs.empty:
        return pd.DataFrame(columns=PAIR_COLUMNS)
    apart = values.loc[pairs["cell"]].to_numpy(np.float64) - values.loc[
        pairs["other_cell"]
    ].to_numpy(np.float64)
    kinds = [
        tuple(key)
        for key in pairs[["arm", "sparsity", "other_arm", "other_sparsity"]].itertuples(index=False)
    ]
    found = estimate_means(apart, kinds, level)
    n, df, mean, sd = (
        found[name].to_numpy(dtype=np.float64) for name in ("n", "df", "mean", "pooled_sd")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(np.where((df > 0) & (sd > 0), df, np.nan), -np.abs(mean) / (sd / np.sqrt(n)))
    corrected = np.where(np.isnan(p), np.nan, holm_adjusted(np.where(np.isnan(p), 1.0, p)))
    sure = corrected < 1 - level
    first = (mean < 0) == lower
    better = np.where(sure, np.where(first, pairs["cell"], pairs["other_cell"]), "")
    more = np.where(p < 1 - level, np.nan, np.maximum(seeds_needed(mean, sd, n, level, df), 1))
    frame = pairs.assign(
        n=found["n"], difference=mean, low=found["low"], high=found["high"], df=found["df"], p=p
    )
    frame = frame.assign(p_holm=corrected, more_seeds=more, better=better)
    return frame.assign(
        verdict=[_verdict(row, lower, level, len(frame)) for row in frame.to_dict("records")]
    )[PAIR_COLUMNS]


def _verdict(row: Mapping[Any, Any], lower: bool, level: float, count: int) -> str:
    if not row["better"] and row["p"] < 1 - level:
        return f"not separated after correction for {count} pairs, n = {row['n']}"
    if row["n"] and row["df"] > 0 and pd.isna(row["p"]):
        return f"not separated at n = {row['n']}: no spread was seen"
    if not row["better"]:
        return unseparated_text(row["n"], row["more_seeds"]) if row["n"] else "no seed in common"
    low, high = sorted(abs(row[name]) for name in ("low", "high"))
    return f"{row['better']} {'lower' if lower else 'higher'} by {abs(row['difference']):.3g} [{low:.3g}, {high:.3g}]"
