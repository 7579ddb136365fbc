"""Exact selection of the lowest scores at nearly the speed of reading them once.

A sample of the scores gives two numbers, the bracket, between which the threshold lies almost
certainly. One pass over all scores prunes what is below the bracket, keeps what is above it, and
gathers the few scores inside, of which a partition finds exactly those to prune.

The result is exact whatever the sample says. The pass counts the scores below the bracket and
inside it, so it knows whether the threshold lies there; if not, the bracket widens, up to all
numbers, and the pass is made again. Ties of the threshold are pruned in order of index: any other
rule would depend on how the partition, or the hardware, arranges equal scores.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]

CHUNK_SCORES = 1 << 17
"""Scores compared at a time: with their results, they stay in a processor's own cache."""
BRACKET_STANDARD_ERRORS = 3.0
"""Half the bracket's width in standard errors: one threshold in 370 falls outside."""


class ScoredLayer(NamedTuple):
    """One layer of a selection; every array is (n,).

    Weights are pruned in three classes: first those outside ``within``, then by score, and never
    those that are not ``candidates``, whichever other class they belong to.
    """

    scores: Numbers
    kept: Flags
    """Memory that the result is written to."""
    within: Flags | None = None
    """False at weights that go first, whatever their score. None: True everywhere."""
    candidates: Flags | None = None
    """True at weights that may be pruned. None: everywhere."""
    absolute: bool = False
    """True if the absolute values of the scores count."""

    def values(self) -> Numbers:
        """Scores that count; NaN stands for infinite."""
        return np.absolute(self.scores) if self.absolute else self.scores

    def view(self, entries: slice) -> ScoredLayer:
        """Some entries of the layer, sharing its memory."""
        return ScoredLayer(
            self.scores[entries],
            self.kept[entries],
            None if self.within is None else self.within[entries],
            None if self.candidates is None else self.candidates[entries],
            self.absolute,
        )

    def ranked_entries(self) -> Flags | None:
        """True where the score decides. None: everywhere."""
        if self.within is None:
            return self.candidates
        if self.candidates is None:
            return self.within
        return self.within & self.candidates

    def count_candidates(self) -> int:
        """Number of entries that may be pruned."""
        return _count_flagged(self, self.candidates)

    def count_ranked(self) -> int:
        """Number of entries whose score decides."""
        return _count_flagged(self, self.ranked_entries())

    def mark_lower(self, lower_by_score: Flags) -> Flags:
        """Turn "lower by its score" into "pruned earlier", in place, and return it."""
        if self.within is not None:
            # False <= anything: an entry outside the mask is always marked.
            np.less_equal(self.within, lower_by_score, out=lower_by_score)
        if self.candidates is not None:
            np.logical_and(self.candidates, lower_by_score, out=lower_by_score)
        return lower_by_score

    def excluded_entries(self) -> Flags:
        """True at candidates outside the mask, which go first whatever their score."""
        return self.mark_lower(np.zeros_like(self.kept))

    def equal_entries(self, values: Numbers, threshold: Any) -> Flags:
        """True where the score decides and equals the threshold; NaN equals infinity."""
        equal: Flags
        equal = ~(values < threshold) if threshold == math.inf else values == threshold
        ranked = self.ranked_entries()
        return equal if ranked is None else equal & ranked


def prune_lowest(layers: Sequence[ScoredLayer], pruned: int) -> None:
    """Write ``kept``: False at the ``pruned`` lowest of all layers together, True elsewhere.

    Args:
        layers: Layers with at least ``pruned`` candidates in all.
        pruned: Number of weights to prune, at least 0.
    """
    n_candidates = sum(layer.count_candidates() for layer in layers)
    n_ranked = sum(layer.count_ranked() for layer in layers)
    pruned_by_score = pruned - (n_candidates - n_ranked)
    if pruned_by_score <= 0:
        _prune_excluded(layers, pruned)
    else:
        _prune_by_score(layers, pruned, pruned_by_score / n_ranked)


def _count_flagged(layer: ScoredLayer, flags: Flags | None) -> int:
    return layer.kept.size if flags is None else int(np.count_nonzero(flags))


def _prune_excluded(layers: Sequence[ScoredLayer], pruned: int) -> None:
    """Prune the first ``pruned`` candidates outside the mask, of which there are enough."""
    for layer in layers:
        layer.kept.fill(True)
    _prune_first(((chunk, chunk.excluded_entries()) for chunk in _split_chunks(layers)), pruned)


def _prune_by_score(layers: Sequence[ScoredLayer], pruned: int, fraction: float) -> None:
    """Prune ``pruned`` weights, those outside the mask and this fraction of the ranked ones."""
    sample = _sample_scores(layers)
    margin = BRACKET_STANDARD_ERRORS
    while True:
        low, high = _bracket_threshold(sample, fraction, margin)
        if low < high and _prune_between(layers, low, high, pruned):
            return
        # The threshold may be an end of the bracket, or both ends where many scores are equal.
        for threshold in dict.fromkeys((low, high)):
            if _prune_at(layers, threshold, pruned):
                return
        margin *= 8


def _split_chunks(layers: Iterable[ScoredLayer]) -> Iterator[ScoredLayer]:
    for layer in layers:
        for start in range(0, layer.kept.size, CHUNK_SCORES):
            yield layer.view(slice(start, start + CHUNK_SCORES))


def _sample_scores(layers: Sequence[ScoredLayer]) -> Numbers:
    """About 2 n^(2/3) of the n scores, evenly spaced, without those that do not decide.

    NaN comes out as infinite. With so many, the time to partition the sample and that to partition
    what lies in its bracket grow alike.
    """
    n_scores = sum(layer.kept.size for layer in layers)
    # Odd: the rows of a weight are often a power of two long, and a sample of one column misleads.
    stride = round(n_scores ** (1 / 3) / 2) | 1
    taken = []
    offset = 0
    for layer in layers:
        chosen = layer.view(slice(-offset % stride, None, stride))
        ranked = chosen.ranked_entries()
        taken.append(chosen.values() if ranked is None else chosen.values()[ranked])
        offset += layer.kept.size
    sample = np.concatenate(taken)
    sample[np.isnan(sample)] = np.inf
    return sample


def _bracket_threshold(sample: Numbers, fraction: float, margin: float) -> tuple[Any, Any]:
    """Two values of the sample, or infinities, between which the threshold probably lies.

    Args:
        sample: Sampled scores (n,), without NaN.
        fraction: Fraction of all scores below the threshold, in (0, 1].
        margin: Half the bracket's width in standard errors.
    """
    # The number of sampled scores below the threshold is binomial.
    spread = margin * math.sqrt(sample.size * fraction * (1 - fraction)) + 1
    first = math.floor(sample.size * fraction - spread)
    last = math.ceil(sample.size * fraction + spread)
    inner = [index for index in (first, last) if 0 <= index < sample.size]
    if inner:
        sample = np.partition(sample, inner)
    low = sample[first] if first >= 0 else -np.inf
    high = sample[last] if last < sample.size else np.inf
    return low, high


def _prune_between(layers: Sequence[ScoredLayer], low: Any, high: Any, pruned: int) -> bool:
    """Prune in one pass if the threshold lies in (low, high).

    Returns:
        True if it does. Otherwise False, and ``kept`` is undefined.
    """
    n_lower = 0
    found = []
    for chunk in _split_chunks(layers):
        values = chunk.values()
        below_high = chunk.mark_lower(np.less(values, high, out=chunk.kept))
        up_to_low = chunk.mark_lower(values <= low)
        n_lower += int(np.count_nonzero(up_to_low))
        between = np.flatnonzero(up_to_low != below_high)
        found.append((chunk.kept, between, values[between]))
        np.logical_not(below_high, out=chunk.kept)
    gathered = np.concatenate([values for _, _, values in found])
    if not n_lower < pruned <= n_lower + gathered.size:
        return False
    kept = _keep_highest(gathered, pruned - n_lower)
    start = 0
    for target, between, _ in found:
        end = start + between.size
        target[between] = kept[start:end]
        start = end
    return True


def _keep_highest(values: Numbers, pruned: int) -> Flags:
    """True at all but the ``pruned`` lowest of values (n,), at least one."""
    threshold = np.partition(values, pruned - 1)[pruned - 1]
    kept: Flags = values > threshold
    ties = np.flatnonzero(values == threshold)
    pruned_ties = pruned - np.count_nonzero(values < threshold)
    kept[ties[pruned_ties:]] = True
    return kept


def _prune_at(layers: Sequence[ScoredLayer], threshold: Any, pruned: int) -> bool:
    """Prune if this number is the threshold, however many scores equal it.

    Returns:
        True if it is. Otherwise False, and ``kept`` is undefined.
    """
    n_lower = 0
    n_equal = 0
    for chunk in _split_chunks(layers):
        values = chunk.values()
        below = chunk.mark_lower(np.less(values, threshold, out=chunk.kept))
        n_lower += int(np.count_nonzero(below))
        n_equal += int(np.count_nonzero(chunk.equal_entries(values, threshold)))
        np.logical_not(below, out=chunk.kept)
    if not n_lower < pruned <= n_lower + n_equal:
        return False
    ties = (
        (chunk, chunk.equal_entries(chunk.values(), threshold)) for chunk in _split_chunks(layers)
    )
    _prune_first(ties, pruned - n_lower)
    return True


def _prune_first(flagged: Iterable[tuple[ScoredLayer, Flags]], pruned: int) -> None:
    """Prune the first ``pruned`` of the flagged entries, in order of index."""
    for chunk, flags in flagged:
        count = int(np.count_nonzero(flags))
        if count > pruned:
            chunk.kept[np.flatnonzero(flags)[:pruned]] = False
            return
        # True > True is False: kept, and not flagged.
        np.greater(chunk.kept, flags, out=chunk.kept)
        pruned -= count
