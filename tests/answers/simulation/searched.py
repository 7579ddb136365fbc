"""Studies whose runs are winners of searches, over surfaces with a ridge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tests.answers.simulation.generator import (
    GROUPS,
    KINDS,
    N_RUNS,
    SPARSITIES,
    Floats,
    dense_number,
    run_number,
)
from tests.answers.simulation.truths import BASES, DENSE_BASE

CONFIGURATIONS = 8
STEEP = 0.12
"""Accuracy lost at distance 1 across the ridge; along it a twentieth."""
FLAT = STEEP / 20
SHIFT = 0.12
"""How far the ridge moves from one sparsity to the next, where re-tuning gains."""
VALIDATION_SD = 0.003
"""Noise of a search trial: one seed, and a validation set."""


def surface(points: Floats, ridge: float) -> Floats:
    """Loss of accuracy at points of the unit square: a valley along x + y = ridge."""
    across = points.sum(axis=-1) - ridge
    along = points[..., 0] - points[..., 1]
    return STEEP * across**2 + FLAT * along**2


@dataclass(frozen=True)
class Searched:
    """What the searches of one study found.

    Args:
        found: Accuracies of the configurations that were found, shape [N_RUNS].
        best: Accuracies of the optima, shape [N_RUNS].
        same: Controls that are the winner too: number of the winner's run, by the control's.
    """

    found: Floats
    best: Floats
    same: Mapping[int, int]


def searched(rng: np.random.Generator, gain: float, *, moves: bool) -> Searched:
    """Search every cell of a study.

    Every cell is searched with the same `CONFIGURATIONS` points and the dense recipe, which is the
    control; the winner is the best by one noisy seed.

    Args:
        rng: Source of the points and of the noise.
        gain: What each doubling of the training adds at the optimum, in sparse networks only.
        moves: Whether the ridge moves with sparsity, so that re-tuning gains.
    """
    points = rng.random((CONFIGURATIONS, 2))
    dense_loss = surface(points, 1.0)
    control = points[_winner(dense_loss, rng)]
    found, best = np.empty(N_RUNS), np.empty(N_RUNS)
    same = {}
    for kind in ("1x", "4x"):
        loss = dense_loss[_winner(dense_loss, rng)] if kind == "4x" else surface(control, 1.0)
        found[dense_number(kind)] = DENSE_BASE - loss
        best[dense_number(kind)] = DENSE_BASE
    candidates = np.vstack([points, control])
    for group, (_, sparsity) in enumerate(GROUPS):
        level = SPARSITIES.index(sparsity)
        ridge = 1.0 - SHIFT * (level + 1) if moves else 1.0
        losses = surface(candidates, ridge)
        for kind in KINDS:
            top = BASES[level] + gain * {"2x": 1, "4x": 2}.get(kind, 0)
            run = run_number(group, kind)
            # The control is the last candidate, and its optimum is the dense one's.
            place = CONFIGURATIONS if kind == "control" else _winner(losses, rng)
            found[run] = top - losses[place]
            if kind == "1x" and place == CONFIGURATIONS:
                same[run_number(group, "control")] = run
            optimum = surface(np.array([0.5, 0.5]), ridge) if kind == "control" else 0.0
            best[run] = top - float(optimum)
    return Searched(found, best, same)


def _winner(losses: Floats, rng: np.random.Generator) -> int:
    return int(np.argmin(losses + VALIDATION_SD * rng.standard_normal(losses.shape)))
