"""Exact selection of the lowest scores at nearly the speed of reading them once: a sample brackets the threshold.

Only the few scores between the brackets are gathered and partitioned; the others are compared, a chunk at a time. Where
the sample misleads, the brackets widen until they hold everything, so that the result is exact whatever the scores are.
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
"""Scores at a time: with what is compared to them, they stay in a processor's own cache."""
BRACKET_STANDARD_ERRORS = 3.0
"""Standard errors of the sampled threshold on either side of it: one time in 370 it lies outside."""


class ScoredLayer(NamedTuple):
    """One layer of a selection; every array is (n,)."""

    scores: Numbers
    kept: Flags
    """Where the result is written."""
    within: Flags | None = None
    """Entries outside go first. None: all are within."""
    candidates: Flags | None = None
    """Only these may be pruned. None: all may."""
    absolute: bool = False
    """Whether absolute values of the scores count."""

    def values(self) -> Numbers:
        """The scores that count; NaN stands for infinite."""
        return np.absolute(self.scores) if self.absolute else self.scores

    def at(self, where: slice) -> ScoredLayer:
        """A view of some entries."""
        within, candidates = (
            None if flags is None else flags[where] for flags in (self.within, self.candidates)
        )
        return ScoredLayer(self.scores[where], self.kept[where], within, candidates, self.absolute)

    def ranked_entries(self) -> Flags | None:
        """Where the score decides. None: everywhere."""
        if self.within is None or self.candidates is None:
            return self.candidates if self.within is None else self.within
        return self.within & self.candidates

    def lower(self, by_score: Flags) -> Flags:
        """Changes what is lower than something by its score into what goes before it."""
        if self.within is not None:
            np.less_equal(self.within, by_score, out=by_score)  # lower, or not within
        if self.candidates is not None:
            np.logical_and(self.candidates, by_score, out=by_score)
        return by_score

    def excluded_entries(self) -> Flags:
        """What goes first, whatever its score."""
        return self.lower(np.zeros_like(self.kept))

    def equal(self, values: Numbers, threshold: Any) -> Flags:
        """Where the score decides and is the threshold."""
        ranked = self.ranked_entries()
        equal: Flags = ~(values < threshold) if threshold == math.inf else values == threshold
        return equal if ranked is None else equal & ranked


def prune_lowest(parts: Sequence[ScoredLayer], pruned: int) -> None:
    """Write ``kept``: False at the ``pruned`` lowest of all parts together, of equal ones the first in order.

    Args:
        parts: With at least ``pruned`` candidates.
        pruned: How many, from 0.
    """
    candidates = _count_flagged((part, part.candidates) for part in parts)
    ranked = _count_flagged((part, part.ranked_entries()) for part in parts)
    wanted = pruned - (candidates - ranked)
    if wanted <= 0:
        for part in parts:
            part.kept.fill(True)
        return _prune_first(
            ((chunk.kept, chunk.excluded_entries()) for chunk in _split_chunks(parts)), pruned
        )
    sample = _sample_scores(parts)
    margin = BRACKET_STANDARD_ERRORS
    while True:
        low, high = _bracket_threshold(sample, wanted / ranked, margin)
        if low < high and _prune_between(parts, low, high, pruned):
            return None
        if any(_prune_at(parts, threshold, pruned) for threshold in dict.fromkeys((low, high))):
            return None
        margin *= 8


def _count_flagged(flagged: Iterable[tuple[ScoredLayer, Flags | None]]) -> int:
    """How many entries are flagged, where None flags all."""
    return sum(
        part.kept.size if flags is None else int(np.count_nonzero(flags)) for part, flags in flagged
    )


def _split_chunks(parts: Iterable[ScoredLayer]) -> Iterator[ScoredLayer]:
    for part in parts:
        for start in range(0, part.kept.size, CHUNK_SCORES):
            yield part.at(slice(start, start + CHUNK_SCORES))


def _sample_scores(parts: Sequence[ScoredLayer]) -> Numbers:
    """About 2 n^(2/3) of the n scores, evenly spaced, of which those that decide; infinite where not numbers."""
    stride = (
        round(sum(part.kept.size for part in parts) ** (1 / 3) / 2) | 1
    )  # odd, for rows are often powers of two
    taken = []
    offset = 0
    for part in parts:
        chosen = part.at(slice(-offset % stride, None, stride))
        ranked = chosen.ranked_entries()
        taken.append(chosen.values() if ranked is None else chosen.values()[ranked])
        offset += part.kept.size
    sample = np.concatenate(taken)
    sample[np.isnan(sample)] = np.inf
    return sample


def _bracket_threshold(sample: Numbers, fraction: float, margin: float) -> tuple[Any, Any]:
    """Two of its values, or infinities, between which that fraction of all scores ends, to so many standard errors."""
    spread = margin * math.sqrt(sample.size * fraction * (1 - fraction)) + 1
    first = math.floor(sample.size * fraction - spread)
    last = math.ceil(sample.size * fraction + spread)
    inner = [index for index in (first, last) if 0 <= index < sample.size]
    sample = np.partition(sample, inner) if inner else sample
    return sample[first] if first >= 0 else -np.inf, sample[last] if last < sample.size else np.inf


def _prune_between(parts: Sequence[ScoredLayer], low: Any, high: Any, pruned: int) -> bool:
    """Prune in one pass if the threshold lies between the two; else return False, with ``kept`` undefined."""
    lower = 0
    found = []
    for chunk in _split_chunks(parts):
        values = chunk.values()
        below_high = chunk.lower(np.less(values, high, out=chunk.kept))
        up_to_low = chunk.lower(values <= low)
        lower += int(np.count_nonzero(up_to_low))
        between = np.flatnonzero(up_to_low != below_high)
        found.append((chunk.kept, between, values[between]))
        np.logical_not(below_high, out=chunk.kept)
    gathered = np.concatenate([values for _, _, values in found])
    if not lower < pruned <= lower + gathered.size:
        return False
    kept = _keep_highest(gathered, pruned - lower)
    start = 0
    for target, between, _ in found:
        target[between] = kept[start : start + between.size]
        start += between.size
    return True


def _keep_highest(values: Numbers, pruned: int) -> Flags:
    """True at all but the ``pruned`` lowest, at least one."""
    threshold = np.partition(values, pruned - 1)[pruned - 1]
    kept: Flags = values > threshold
    ties = np.flatnonzero(values == threshold)
    kept[ties[pruned - np.count_nonzero(values < threshold) :]] = True
    return kept


def _prune_at(parts: Sequence[ScoredLayer], threshold: Any, pruned: int) -> bool:
    """Prune if this is the threshold, however many scores equal it; else return False, with ``kept`` undefined."""
    lower = equal = 0
    for chunk in _split_chunks(parts):
        values = chunk.values()
        below = chunk.lower(np.less(values, threshold, out=chunk.kept))
        lower += int(np.count_nonzero(below))
        equal += int(np.count_nonzero(chunk.equal(values, threshold)))
        np.logical_not(below, out=chunk.kept)
    if not lower < pruned <= lower + equal:
        return False
    ties = ((chunk.kept, chunk.equal(chunk.values(), threshold)) for chunk in _split_chunks(parts))
    _prune_first(ties, pruned - lower)
    return True


def _prune_first(flagged: Iterable[tuple[Flags, Flags]], pruned: int) -> None:
    """Set the first so many of the flagged entries False."""
    for kept, flags in flagged:
        count = int(np.count_nonzero(flags))
        if count <= pruned:
            np.greater(kept, flags, out=kept)  # kept, and not flagged
        else:
            kept[np.flatnonzero(flags)[:pruned]] = False
            return
        pruned -= count
