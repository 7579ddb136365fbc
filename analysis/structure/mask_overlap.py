"""Overlap of final masks between seeds and between recipes at one sparsity, and that of chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..drawers import draw
from ..estimates.intervals import t_interval
from ..notebook import Shown
from ..tables.results import Results
from .final_masks import FinalMask, final_masks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHOLE_NETWORK = "all"
"""Name in place of a layer's for the row that counts all layers together."""
MIN_UNION = 1e-12
"""Smallest union that an intersection is divided by, so that two empty masks overlap by 0."""
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
    "chance",
    "verdict",
]
MaskPair = tuple[FinalMask, FinalMask]


@dataclass(frozen=True)
class MaskOverlap(Shown):
    """Intersection over union of final masks: numbers (`frame`), figures, caption (`note`).

    Args:
        points: Rows that `frame` returns.
        missing: Number of report trials of sparse winners that left no final mask.
        level: Coverage of the intervals, in (0, 1).
    """

    points: pd.DataFrame
    missing: int = 0
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per sparsity, pair of recipes (arm and length), kind of pair and layer.

        Columns: `OVERLAP_COLUMNS`. ``same_seed``: True if the pairs are of equal seeds;
        ``same_start``: True if they trained from the same initial weights (equal seeds do, as do
        all that start pre-trained). ``layer`` is "all" for all layers together. ``n`` seeds stand
        behind ``pairs`` pairs; ``low high`` is a t interval from the jackknife over seeds, since
        pairs that share a seed are not independent, NaN with fewer than two seeds. ``chance``: the
        overlap of random masks with these densities *in every layer*, d / (2 - d) if both keep the
        same share. ``verdict``: above, below or "not settled against" chance, by the interval.
        """
        return self.points.copy()

    def whole(self) -> pd.DataFrame:
        """The rows over all layers, with ``pair`` in words."""
        rows = self.points[self.points["layer"] == WHOLE_NETWORK]
        pairs = []
        for row in rows.to_dict("records"):
            seeds = "one seed" if row["same_seed"] else "two seeds"
            starts = "one start" if row["same_start"] else "two starts"
            pairs.append(f"{seeds}, {starts}")
        return rows.assign(pair=pairs).reset_index(drop=True)

    def by_layer(self) -> pd.DataFrame:
        """The rows by layer of two seeds of one recipe."""
        is_one_recipe = self.points["recipe"] == self.points["other"]
        is_layer = self.points["layer"] != WHOLE_NETWORK
        rows = self.points[is_one_recipe & is_layer]
        return rows[~rows["same_seed"].astype(bool)].reset_index(drop=True)

    def plot(self) -> Figure:
        """Draw a matrix of recipes for each sparsity: two seeds up to the diagonal, one above it.

        Raises:
            SparsetuneError: if there is nothing to draw.
        """
        return draw(self)

    def plot_layers(self) -> Figure:
        """Draw the overlap of two seeds of a recipe layer by layer, with that of chance.

        Raises:
            SparsetuneError: if there is nothing to draw.
        """
        return draw(self, "plot_layers")

    def note(self) -> str:
        """Meaning of the matrix's fields, for a caption."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        yield write("overlap")
        yield write("overlap_halves")
        is_of_two_seeds = ~self.points["same_seed"].astype(bool)
        if self.points.loc[is_of_two_seeds, "same_start"].any():
            yield write("overlap_same_start")
        yield write("overlap_chance")
        yield write("overlap_table", level=f"{100 * self.level:g}")
        if self.missing:
            runs = "1 run" if self.missing == 1 else f"{self.missing} runs"
            yield write("overlap_missing", runs=runs)


def mask_overlap(
    results: Results, where: Mapping[str, Any] | None = None, level: float = 0.95
) -> MaskOverlap:
    """Overlaps between the final masks of the winners' report trials, all pairs at one sparsity.

    Recipes whose layers differ cannot be compared and have no row; nor has a study whose trials
    left no final mask.

    Args:
        results: The study.
        where: Dotted fields and their values.
        level: Coverage of the intervals, in (0, 1).

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
        StorageError: if the folders cannot be read.
    """
    rows: list[dict[str, Any]] = []
    missing = 0
    for masks, without_mask in final_masks(results, where):
        rows += _overlaps(masks, level)
        missing += without_mask
    return MaskOverlap(pd.DataFrame(rows, columns=OVERLAP_COLUMNS), missing, level)


def _overlaps(masks: list[FinalMask], level: float) -> Iterator[dict[str, Any]]:
    """The rows of one sparsity."""
    # Counted once per mask: each is in many pairs.
    kept = {id(mask): mask.kept for mask in masks}
    for (recipe, other, same_seed), pairs in _pairs_by_recipes(masks).items():
        parts = [_counts(one, two, kept[id(one)], kept[id(two)]) for one, two in pairs]
        counts = np.stack(parts)
        with_total = np.concatenate([counts, counts.sum(axis=2, keepdims=True)], axis=2)
        iou = with_total[:, 0] / np.maximum(with_total[:, 1], MIN_UNION)
        chance = with_total[:, 2] / np.maximum(with_total[:, 3], MIN_UNION)
        seeds = [(one.seed, two.seed) for one, two in pairs]
        same_start = all(one.start == two.start for one, two in pairs)
        first = pairs[0][0]
        for position, layer in enumerate([*first.sizes, WHOLE_NETWORK]):
            mean, low, high, n = jackknife_interval(iou[:, position], seeds, level)
            expected = float(chance[:, position].mean())
            yield {
                "sparsity": first.sparsity,
                "recipe": recipe,
                "other": other,
                "same_seed": same_seed,
                "same_start": same_start,
                "layer": layer,
                "n": n,
                "pairs": len(pairs),
                "iou": mean,
                "low": low,
                "high": high,
                "chance": expected,
                "verdict": _verdict(expected, low, high),
            }


def _pairs_by_recipes(masks: list[FinalMask]) -> dict[tuple[str, str, bool], list[MaskPair]]:
    """Pairs of masks with equal layers, by their recipes and True if they have one seed."""
    pairs: dict[tuple[str, str, bool], list[MaskPair]] = {}
    for one, two in combinations(masks, 2):
        if one.sizes == two.sizes:
            key = (one.recipe, two.recipe, one.seed == two.seed)
            pairs.setdefault(key, []).append((one, two))
    return pairs


def _counts(
    one: FinalMask, two: FinalMask, kept_one: NDArray[np.float64], kept_two: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Intersection and union of two masks by layer, then those of random masks on average.

    Args:
        one: A mask.
        two: A mask with the same layers.
        kept_one: Weights inside the first mask, shape [n_layers].
        kept_two: Weights inside the second mask, shape [n_layers].

    Returns:
        Numbers of weights, shape [4, n_layers].
    """
    shared = [np.bitwise_count(one.bits[name] & two.bits[name]).sum() for name in one.sizes]
    both = np.array(shared, np.float64)
    sizes = np.array(list(one.sizes.values()), np.float64)
    expected = kept_one * kept_two / sizes
    total = kept_one + kept_two
    return np.stack([both, total - both, expected, total - expected])


def jackknife_interval(
    values: NDArray[np.float64], seeds: Sequence[tuple[int, int]], level: float
) -> tuple[float, float, float, int]:
    """Mean of values that belong to pairs of seeds, its t interval, and the number of seeds.

    Leaving out one seed leaves out every pair that it is in (Efron & Stein 1981); if one seed's
    absence leaves no pair, the ends are NaN. For pairs of one seed each this is the usual t
    interval.

    Args:
        values: One value per pair, shape [n_pairs].
        seeds: Seeds of each pair.
        level: Coverage of the interval, in (0, 1).
    """
    mean = float(values.mean())
    every_seed = sorted({seed for pair in seeds for seed in pair})
    n = len(every_seed)
    means = []
    for seed in every_seed:
        rest = [value for value, pair in zip(values, seeds, strict=True) if seed not in pair]
        if n < 2 or not rest:
            return mean, float("nan"), float("nan"), n
        means.append(np.mean(rest))
    # The spread of the pseudo-values, n - 1 times that of the means without a seed.
    deviations = np.array(means) - np.array(means).mean()
    spread = (n - 1) * float(np.sqrt((deviations**2).sum() / (n - 1)))
    low, high = t_interval(values.mean(), spread, n, n - 1, level)
    return mean, float(low), float(high), n


def _verdict(chance: float, low: float, high: float) -> str:
    """Verdict of an interval against chance, in words."""
    if np.isnan(low):
        return "no interval"
    if low > chance:
        return "above chance"
    return "below chance" if high < chance else "not settled against chance"
