"""The numbers that a contrast is computed from: paired differences between trained networks."""

from __future__ import annotations

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
