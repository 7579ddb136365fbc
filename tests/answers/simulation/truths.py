"""True accuracies of simulated studies: nulls, effects at the margin, mixtures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.answers.simulation.generator import (
    GROUPS,
    N_RUNS,
    SPARSITIES,
    Floats,
    dense_number,
    run_number,
)

BASES = (0.95, 0.94, 0.92, 0.88)
"""Accuracy at the shortest length, one per sparsity."""
DENSE_BASE = 0.96


def accuracies_with(
    second: Floats, fourth: Floats, retuning: Floats, arms: float = 0.0, dense: float = 0.0
) -> Floats:
    """Accuracies of every run whose contrasts have these true effects.

    Args:
        second: Gain at 2x over 1x, shape [n_groups].
        fourth: Gain at 4x over 1x, beyond what the dense network gains.
        retuning: Gain of the winner over the dense recipe.
        arms: First arm minus second at the highest sparsity.
        dense: What the dense network gains.
    """
    accuracies = np.empty(N_RUNS)
    for group, (arm, sparsity) in enumerate(GROUPS):
        base = BASES[SPARSITIES.index(sparsity)]
        if arm == GROUPS[0][0]:
            base += arms
        accuracies[run_number(group, "1x")] = base
        accuracies[run_number(group, "2x")] = base + second[group]
        accuracies[run_number(group, "4x")] = base + fourth[group] + dense
        accuracies[run_number(group, "control")] = base - retuning[group]
    accuracies[dense_number("1x")] = DENSE_BASE
    accuracies[dense_number("4x")] = DENSE_BASE + dense
    return accuracies


def nothing(rng: np.random.Generator, margin: float) -> Floats:
    """No effect anywhere; longer training gains the dense network as much as the sparse ones."""
    zero = np.zeros(len(GROUPS))
    return accuracies_with(zero, zero, zero, dense=margin)


def at_margin(rng: np.random.Generator, margin: float) -> Floats:
    """Every effect exactly at the margin: up or, where both directions are asked for, down."""
    full = np.full(len(GROUPS), margin)
    either = margin * rng.choice([-1.0, 1.0], len(GROUPS))
    return accuracies_with(either, full, full, arms=margin * rng.choice([-1.0, 1.0]))


def mixed(rng: np.random.Generator, margin: float) -> Floats:
    """Every effect one of none, the margin, its negative, and 1 point, at random."""
    choices = [0.0, margin, -margin, 0.01]
    second, fourth, retuning = rng.choice(choices, (3, len(GROUPS)))
    return accuracies_with(second, fourth, retuning, arms=float(rng.choice(choices)))


def one_true(rng: np.random.Generator, margin: float) -> Floats:
    """Longer training gains 2 points at the highest sparsity of one arm, and nothing elsewhere."""
    gain = np.zeros(len(GROUPS))
    gain[3] = 0.02
    return accuracies_with(gain, gain, np.zeros(len(GROUPS)))


def gains(effect: float) -> Callable[[np.random.Generator, float], Floats]:
    """Every effect the same."""

    def same(rng: np.random.Generator, margin: float) -> Floats:
        full = np.full(len(GROUPS), effect)
        return accuracies_with(full, full, full, arms=effect)

    return same
