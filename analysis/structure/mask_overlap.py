"""Overlap of final masks between seeds of a recipe, and between recipes at one sparsity, beside what chance gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.estimates.intervals import t_interval
from analysis.structure.final_masks import FinalMask, final_masks
from analysis.tables.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHOLE_NETWORK = "all"
"""The name of the row that counts all layers together."""
OVERLAP_COLUMNS = [
    "sparsity",
    "recipe",
    "other",
    "same_seed",
    "same_start",
    "layer",
    "n",
    "pairs",
    "iou",
    "low",
    "high",
]
OVERLAP_COLUMNS += ["chance", "verdict"]


@dataclass(frozen=True)
class MaskOverlap:
    """Intersection over union of final masks at one sparsity: numbers (`frame`), picture (`plot`), marks (`note`).

    Args:
        points: What `frame` returns.
        missing: Report trials of sparse winners that left no final mask.
        level: Coverage of the intervals.
    """

    points: pd.DataFrame
    missing: int = 0
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per sparsity, pair of recipes (arm and length), kind of pair and layer; ``layer`` "all" for all.

        Columns: `OVERLAP_COLUMNS`. ``same_seed``: whether the pairs are of equal seeds; ``same_start``: whether they trained
        from the same initial weights (equal seeds do, as do all that start pre-trained). ``n`` seeds stand behind
        ``pairs`` pairs; ``low high`` is a t interval from the jackknife over seeds, since pairs that share a seed are
        not independent. ``chance``: what random masks with these densities *in every layer* give, d / (2 - d) where
        both keep the same share. ``verdict``: above, below or "not separated from" chance, by the interval.
        """
        return self.points.copy()

    def whole(self) -> pd.DataFrame:
        """The rows over all layers, with ``pair`` in words."""
        rows = self.points[self.points["layer"] == WHOLE_NETWORK]
        seed = np.where(rows["same_seed"], "one seed", "two seeds")
        start = np.where(rows["same_start"], "one start", "two starts")
        return rows.assign(
            pair=[f"{a}, {b}" for a, b in zip(seed, start, strict=True)]
        ).reset_index(drop=True)

    def by_layer(self) -> pd.DataFrame:
        """The rows by layer of two seeds of one recipe."""
        rows = self.points[
            (self.points["recipe"] == self.points["other"])
            & (self.points["layer"] != WHOLE_NETWORK)
        ]
        return rows[~rows["same_seed"].astype(bool)].reset_index(drop=True)

    def plot(self) -> Figure:
        """Draw a matrix of recipes for each sparsity: two seeds on and below the diagonal, one seed above it."""
        from analysis.structure import figures

        return figures.draw_overlaps(self)

    def plot_layers(self) -> Figure:
        """Draw the overlap of two seeds of a recipe layer by layer, beside what chance gives there."""
        from analysis.structure import figures

        return figures.draw_layer_overlaps(self)

    def note(self) -> str:
        """What the cells mean, for a caption."""
        text = "Intersection over union of final masks, in percent: on and below the diagonal between two seeds, above it"
        text += " between two recipes with one seed, which share their initial weights."
        if self.points.loc[~self.points["same_seed"].astype(bool), "same_start"].any():
            text += " All start from one pre-trained network, two seeds too."
        text += " In brackets: what random masks of the same density in every layer give."
        text += " Intervals stand in the table."
        missing = (
            f" {self.missing} report trials left no final mask and are not in it."
            if self.missing
            else ""
        )
        return text + missing


def mask_overlap(
    results: Results, where: Mapping[str, Any] | None = None, level: float = 0.95
) -> MaskOverlap:
    """Overlaps between the final masks of the winners' report trials, all pairs at one sparsity.

    Recipes whose layers differ cannot be compared and make no row; nor does a study whose trials left no final mask.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
        StorageError: if the folders cannot be read.
    """
    rows: list[dict[str, Any]] = []
    missing = 0
    for masks, without in final_masks(results, where):
        rows += _overlaps(masks, level)
        missing += without
    return MaskOverlap(pd.DataFrame(rows, columns=OVERLAP_COLUMNS), missing, level)


def _overlaps(masks: list[FinalMask], level: float) -> Iterator[dict[str, Any]]:
    """The rows of one sparsity."""
    pairs: dict[tuple[str, str, bool], list[tuple[FinalMask, FinalMask]]] = {}
    for one, other in combinations(masks, 2):
        if one.sizes == other.sizes:
            pairs.setdefault((one.recipe, other.recipe, one.seed == other.seed), []).append(
                (one, other)
            )
    kept = {id(mask): mask.kept for mask in masks}
    for (recipe, recipe_2, same_seed), both in pairs.items():
        counts = np.stack([_counts(one, two, kept[id(one)], kept[id(two)]) for one, two in both])
        whole = np.concatenate([counts, counts.sum(axis=2, keepdims=True)], axis=2)
        iou, chance = (whole[:, k] / np.maximum(whole[:, k + 1], 1e-12) for k in (0, 2))
        seeds = [(one.seed, two.seed) for one, two in both]
        same_start = all(one.start == two.start for one, two in both)
        for place, layer in enumerate([*both[0][0].sizes, WHOLE_NETWORK]):
            mean, low, high, n = jackknife_interval(iou[:, place], seeds, level)
            expected = float(chance[:, place].mean())
            yield {
                **{
                    "sparsity": both[0][0].sparsity,
                    "recipe": recipe,
                    "other": recipe_2,
                    "same_seed": same_seed,
                },
                **{
                    "same_start": same_start,
                    "layer": layer,
                    "n": n,
                    "pairs": len(both),
                    "iou": mean,
                },
                **{
                    "low": low,
                    "high": high,
                    "chance": expected,
                    "verdict": _verdict(expected, low, high),
                },
            }


def _counts(
    one: FinalMask, other: FinalMask, kept: NDArray[np.float64], others: NDArray[np.float64]
) -> NDArray[np.float64]:
    """By layer: weights in both masks, in either; and what random masks have on average: shape [4, n_layers]."""
    both = np.array(
        [np.bitwise_count(one.bits[name] & other.bits[name]).sum() for name in one.sizes],
        np.float64,
    )
    expected = kept * others / np.array(list(one.sizes.values()), np.float64)
    return np.stack([both, kept + others - both, expected, kept + others - expected])


def jackknife_interval(
    values: NDArray[np.float64], seeds: list[tuple[int, int]], level: float
) -> tuple[float, float, float, int]:
    """Mean of values that belong to pairs of seeds, its t interval, and the number of seeds.

    Leaving out one seed leaves out every pair that it is in (Efron & Stein 1981); where one seed's absence leaves no
    pair, there is no interval. For pairs of one seed each this is the usual t interval.
    """
    every = sorted({seed for pair in seeds for seed in pair})
    without = [
        [value for value, pair in zip(values, seeds, strict=True) if seed not in pair]
        for seed in every
    ]
    n = len(every)
    if n < 2 or not all(without):
        return float(values.mean()), float("nan"), float("nan"), n
    means = np.array([np.mean(part) for part in without])
    spread = (n - 1) * float(np.sqrt(((means - means.mean()) ** 2).sum() / (n - 1)))
    low, high = t_interval(values.mean(), spread, n, n - 1, level)
    return float(values.mean()), float(low), float(high), n


def _verdict(chance: float, low: float, high: float) -> str:
    if np.isnan(low):
        return "no interval"
    return (
        "above chance"
        if low > chance
        else "below chance"
        if high < chance
        else "not separated from chance"
    )
