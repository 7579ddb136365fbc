"""The numbers that a contrast is computed from: paired differences between trained networks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sparsetune.errors import SparsetuneError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sample:
    """Differences between two networks that were trained with the same seed, for several seeds.

    Args:
        differences: One difference of the measure per seed, shape [n_seeds], positive where it
            speaks for what the question asks. A pair without a result, or with a collapsed run, is
            left out; a value that is not finite takes the verdict away.
        examples: The same differences per test example, shape [n_seeds, n_examples], for a measure
            that is a mean over examples; of another one the jackknife's values
            (`sparsetune.answers.jackknife`); None where they were not kept.
        spread_group: Contrasts of one group vary alike over seeds and share their estimate of that
            spread: usually those of one arm at one sparsity.
        collapsed: Collapsed runs of either side, which `differences` leaves out.
        runs: Runs of either side, collapsed ones included; read only where some collapsed.

    Raises:
        SparsetuneError: if the shapes do not fit, or more runs collapsed than there are.
    """

    differences: Floats
    examples: Floats | None
    spread_group: str
    collapsed: tuple[int, int] = (0, 0)
    runs: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        differences = np.asarray(self.differences, dtype=np.float64)
        if differences.ndim != 1:
            raise SparsetuneError(
                f"`differences` has one value per seed, got an array of shape {differences.shape}"
            )
        object.__setattr__(self, "differences", differences)
        if self.examples is not None:
            examples = np.asarray(self.examples, dtype=np.float64)
            if examples.ndim != 2 or len(examples) != len(differences):
                raise SparsetuneError(
                    "`examples` has one row per seed and one column per test example: for"
                    f" {len(differences)} seeds, got an array of shape {examples.shape}"
                )
            object.__setattr__(self, "examples", examples)
        for collapsed, runs in zip(self.collapsed, self.runs, strict=True):
            if not 0 <= collapsed <= runs:
                raise SparsetuneError(
                    "`collapsed` counts some of the `runs` of either side, got"
                    f" {self.collapsed} of {self.runs}"
                )

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.differences)


@dataclass(frozen=True)
class SeedRuns:
    """Runs of one network that takes part in a contrast, by seed.

    Args:
        sign: 1 where they are added, -1 where they are subtracted.
        scores: Score of every run that has one.
        trials: Name of every run, as ``outcomes`` of `pair_runs` takes it.
        collapsed: Seeds of runs whose training collapsed.
        has_learned: False if every run gives each test example one answer.
    """

    sign: int
    scores: Mapping[int, float]
    trials: Mapping[int, str]
    collapsed: Collection[int] = ()
    has_learned: bool = True

    def counted(self) -> dict[int, float]:
        """Scores of the runs that did not collapse."""
        return {seed: one for seed, one in self.scores.items() if seed not in self.collapsed}


def pair_runs(
    runs: Sequence[SeedRuns],
    spread_group: str,
    outcomes: Callable[[Sequence[str]], Floats | None],
    *,
    direction: int = 1,
    is_estimate: bool = False,
) -> tuple[Sample, tuple[float, ...]]:
    """Sums and differences of runs with the same seed, without collapsed ones.

    Args:
        runs: Runs of every network that takes part.
        spread_group: As in `Sample`.
        outcomes: Outcomes of runs on the same test examples, shape [n_runs, n_examples]; None where
            they were not kept.
        direction: 1 if a higher score is better, -1 if a lower one is.
        is_estimate: Whether a score is estimated, and nothing compared. Networks that learned
            nothing say nothing of the recipes that they are to compare: no seed is paired then.

    Returns:
        The sample, and the mean score of each network over the pairs, NaN without any.
    """
    counted = [one.counted() for one in runs]
    is_comparable = is_estimate or all(one.has_learned for one in runs)
    seeds = sorted(set.intersection(*map(set, counted))) if is_comparable else []
    scores = np.array([[one[seed] for seed in seeds] for one in counted], dtype=np.float64)
    signs = direction * np.array([float(one.sign) for one in runs])
    sample = Sample(
        differences=signs @ scores,
        examples=_example_differences(runs, signs, seeds, outcomes) if seeds else None,
        spread_group=spread_group,
        collapsed=_by_side(runs, [len(one.scores.keys() & set(one.collapsed)) for one in runs]),
        runs=_by_side(runs, [len(one.scores) for one in runs]),
    )
    means = scores.mean(axis=1) if seeds else np.full(len(runs), np.nan)
    return sample, tuple(float(mean) for mean in means)


def _example_differences(
    runs: Sequence[SeedRuns],
    signs: Floats,
    seeds: Sequence[int],
    outcomes: Callable[[Sequence[str]], Floats | None],
) -> Floats | None:
    """A contrast on every test example, shape [n_seeds, n_examples]; None where it is unknown."""
    found: list[Floats] = []
    for one in runs:
        kept = outcomes([one.trials[seed] for seed in seeds])
        if kept is None or (found and kept.shape != found[0].shape):
            return None
        found.append(kept)
    return np.asarray(np.tensordot(signs, np.stack(found), axes=1))


def _by_side(runs: Sequence[SeedRuns], counts: Sequence[int]) -> tuple[int, int]:
    """Sums of counts over the runs that are added, and over those that are subtracted."""
    sides = [0, 0]
    for one, count in zip(runs, counts, strict=True):
        sides[one.sign < 0] += count
    return sides[0], sides[1]
