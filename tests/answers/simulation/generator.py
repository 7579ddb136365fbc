"""Draws of whole studies with a known truth: report runs, paired by seed, over test examples.

Everything that the bounds do not assume is in here: spreads that differ between sparsities and, in
part, between the lengths of one sparsity; tails of Student's t with 3 degrees of freedom; seeds
that move all networks of one sparsity together; right and wrong answers on a test set that is
itself a sample; and runs and cells without a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from sparsetune.answers import Asked, Contrast, Sample, Sides

Floats = NDArray[np.float64]

ARMS = ("gmp", "acdc")
SPARSITIES = (0.9, 0.95, 0.98, 0.99)
GROUPS = tuple((arm, sparsity) for arm in ARMS for sparsity in SPARSITIES)
KINDS = ("1x", "2x", "4x", "control")
"""Report runs of every group: its winner at three lengths, and the dense recipe at the first."""
DENSE_KINDS = ("1x", "4x")
N_RUNS = len(GROUPS) * len(KINDS) + len(DENSE_KINDS)

SHARED = 0.25
"""Part of a run's variance over seeds that all runs of its group with this seed have in common."""
EXAMPLE = 0.5
"""Part of a test example's difficulty that all networks see alike; the same for each network of
one kind is `KIND_EXAMPLE`, and the rest is new for every seed."""
KIND_EXAMPLE = 0.25


@dataclass(frozen=True)
class World:
    """What a study draws from.

    Args:
        spreads: Standard deviation over seeds of a run's accuracy, one per sparsity.
        dense_spread: The same of the dense network.
        seeds: Number of report seeds of every cell.
        margin: Smallest effect that matters, as a fraction.
        is_heavy: Whether seeds vary by Student's t with 3 degrees of freedom, scaled to the
            standard deviation, instead of a normal distribution.
        within: Spreads of the lengths of one sparsity differ at random by this factor, up or down
            (the standard deviation of its logarithm is the logarithm of this).
        examples: Number of test examples; 0 for accuracies as they are in the population.
        missing: Probability that a run has no result; half of it, that a whole cell has none.
        collapsing: Probability that a run collapses, which leaves its seed out of differences.
    """

    spreads: tuple[float, float, float, float] = (0.001, 0.002, 0.004, 0.01)
    dense_spread: float = 0.001
    seeds: int = 3
    margin: float = 0.002
    is_heavy: bool = True
    within: float = 1.0
    examples: int = 0
    missing: float = 0.0
    collapsing: float = 0.0


@dataclass(frozen=True)
class Difference:
    """One contrast of the simulated report: a weighted sum over runs.

    Args:
        name: Name.
        group: Name of the arm and sparsity, which share their spread.
        weights: Weight of every run that takes part, by its number.
        is_primary: As in `Contrast`.
    """

    name: str
    group: str
    weights: dict[int, float]
    is_primary: bool

    def sides(self) -> tuple[list[int], list[int]]:
        """Numbers of the runs that count for the difference, and of those that count against it."""
        gaining = [run for run, weight in self.weights.items() if weight > 0]
        return gaining, [run for run, weight in self.weights.items() if weight < 0]

    def of(self, values: Floats) -> Floats:
        """The weighted sum of values over runs, shape [N_RUNS, ...]."""
        return sum(weight * values[run] for run, weight in self.weights.items())  # type: ignore


@dataclass(frozen=True)
class Question:
    """One question of the simulated report."""

    name: str
    sides: Sides
    differences: tuple[Difference, ...]


def run_number(group: int, kind: str) -> int:
    """Number of a group's run."""
    return group * len(KINDS) + KINDS.index(kind)


def dense_number(kind: str) -> int:
    """Number of a dense run."""
    return len(GROUPS) * len(KINDS) + DENSE_KINDS.index(kind)


def _per_group(kinds: dict[str, float], dense: dict[str, float]) -> tuple[Difference, ...]:
    """The same difference in every group; primary at the highest sparsity of each arm."""
    found = []
    for group, (arm, sparsity) in enumerate(GROUPS):
        runs = {run_number(group, kind): weight for kind, weight in kinds.items()}
        runs |= {dense_number(kind): weight for kind, weight in dense.items()}
        name = f"{arm} {sparsity}"
        found.append(Difference(name, name, runs, sparsity == SPARSITIES[-1]))
    return tuple(found)


QUESTIONS = (
    Question("under-trained", 2, _per_group({"2x": 1, "1x": -1}, {})),
    Question("extension", 1, _per_group({"4x": 1, "1x": -1}, {"4x": -1, "1x": 1})),
    Question("re-tuning", 1, _per_group({"1x": 1, "control": -1}, {})),
    Question(
        "arms",
        2,
        (
            Difference(
                "gmp against acdc",
                "arms",
                {run_number(3, "1x"): 1, run_number(7, "1x"): -1},
                True,
            ),
        ),
    ),
)
"""Every question that the simulated report answers: 25 contrasts."""


@dataclass(frozen=True)
class Drawn:
    """One simulated study.

    Args:
        accuracies: Accuracy of each run in the population, shape [N_RUNS]: the truth.
        values: What was measured, shape [N_RUNS, n_seeds]; NaN without a result.
        right: Right (1) and wrong (0) answers, shape [N_RUNS, n_seeds, N]; None without examples.
        is_collapsed: Whether each run collapsed, shape [N_RUNS, n_seeds].
    """

    accuracies: Floats
    values: Floats
    right: NDArray[np.int8] | None
    is_collapsed: NDArray[np.bool_]

    def family(self, margin: float, seeds: int | None = None) -> list[Asked]:
        """The questions with their samples, of the first ``seeds`` seeds."""
        return [
            Asked(
                question.name,
                question.sides,
                margin,
                [
                    Contrast(one.name, self._sample(one, seeds), one.is_primary)
                    for one in question.differences
                ],
            )
            for question in QUESTIONS
        ]

    def truths(self) -> list[float]:
        """True effect of every contrast, in the order of the bounds."""
        return [
            float(one.of(self.accuracies)) for question in QUESTIONS for one in question.differences
        ]

    def _sample(self, difference: Difference, seeds: int | None) -> Sample:
        values = difference.of(self.values[:, :seeds])
        kept = np.isfinite(values)
        examples = None
        if self.right is not None:
            examples = difference.of(self.right[:, :seeds])[kept]
        gaining, losing = difference.sides()
        is_collapsed = self.is_collapsed[:, :seeds]
        return Sample(
            values[kept],
            examples,
            difference.group,
            collapsed=(int(is_collapsed[gaining].sum()), int(is_collapsed[losing].sum())),
            runs=(is_collapsed[gaining].size, is_collapsed[losing].size),
        )


def draw(
    world: World,
    accuracies: Floats,
    rng: np.random.Generator,
    same: Mapping[int, int] | None = None,
) -> Drawn:
    """One study of networks with these accuracies, shape [N_RUNS].

    Args:
        world: What to draw from.
        accuracies: Accuracy of every run in the population.
        rng: Source of the numbers.
        same: Runs that are one training with another run: its number, by theirs.
    """
    values = accuracies[:, None] + _seed_effects(world, rng)
    right = None
    if world.examples:
        right = _answers(values, world.examples, rng)
        values = right.mean(axis=2)
    for run, other in (same or {}).items():
        values[run] = values[other]
        if right is not None:
            right[run] = right[other]
    is_missing = rng.random(values.shape) < world.missing
    is_missing |= rng.random((len(values), 1)) < world.missing / 2
    is_collapsed = rng.random(values.shape) < world.collapsing
    values = np.where(is_missing | is_collapsed, np.nan, values)
    return Drawn(accuracies, values, right, is_collapsed)


def _seed_effects(world: World, rng: np.random.Generator) -> Floats:
    """What each run's seed adds to its accuracy, shape [N_RUNS, n_seeds]."""
    n_groups, n_kinds = len(GROUPS), len(KINDS)
    spreads = np.tile(world.spreads, len(ARMS))
    of_groups = np.repeat(spreads, n_kinds).reshape(n_groups, n_kinds)
    of_groups = of_groups * world.within ** rng.standard_normal(of_groups.shape)
    own = np.append(of_groups.ravel(), [world.dense_spread] * len(DENSE_KINDS))
    shared = np.append(np.repeat(spreads, n_kinds), [world.dense_spread] * len(DENSE_KINDS))
    # All runs of a group with one seed move together; so do the dense ones.
    together = _standard(world, rng, (n_groups + 1, world.seeds))
    group = np.append(np.repeat(np.arange(n_groups), n_kinds), [n_groups] * len(DENSE_KINDS))
    alone = _standard(world, rng, (N_RUNS, world.seeds))
    moved = np.sqrt(SHARED) * shared[:, None] * together[group]
    return moved + np.sqrt(1 - SHARED) * own[:, None] * alone


def _standard(world: World, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Numbers of mean 0 and variance 1."""
    if world.is_heavy:
        return rng.standard_t(3, shape) / np.sqrt(3)
    return rng.standard_normal(shape)


def _answers(values: Floats, n_examples: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """Right and wrong answers of networks with these accuracies, on one drawn test set.

    An answer is right where a normal number of variance 1 is below the accuracy's quantile, so that
    the accuracy over the population of examples is exactly the given one. Parts of the number are
    common to all networks, to one kind of run, or new.
    """
    new = rng.standard_normal((*values.shape, n_examples), dtype=np.float32)
    kind = rng.standard_normal((len(values), 1, n_examples), dtype=np.float32)
    example = rng.standard_normal(n_examples, dtype=np.float32)
    difficulty = np.sqrt(1 - EXAMPLE - KIND_EXAMPLE) * new
    difficulty += np.sqrt(KIND_EXAMPLE) * kind
    difficulty += np.sqrt(EXAMPLE) * example
    quantiles = ndtri(np.clip(values, 1e-6, 1 - 1e-6)).astype(np.float32)
    return (difficulty < quantiles[:, :, None]).astype(np.int8)
