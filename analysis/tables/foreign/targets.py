"""Sparsities that runs aimed at, from those that they reached: grouped, and without float noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sparsetune.errors import Problem

from .columns.meanings import DENSITY_DIGITS
from .columns.numbers import Floats
from .columns.units import FRACTION_DECIMALS

MAX_SHORT_DIGITS = 3
"""Significant digits up to which a sparsity is one that somebody wrote, not one that a mask has."""


def without_float_noise(values: Floats) -> Floats:
    """Sparsities by the shortest number that each means: 0.9, not 0.3 * 3 or a float32's 0.9."""
    rounded = values.round(FRACTION_DECIMALS)
    single = rounded.astype(np.float32)
    # A number that single precision holds exactly is the shortest text of that precision.
    is_single = single.astype(np.float64).round(FRACTION_DECIMALS) == rounded
    for place in np.flatnonzero(is_single):
        rounded[place] = float(str(single[place]))
    return rounded


def reached_targets(reached: Floats) -> Floats:
    """Sparsities that were asked for, by those reached: the density rounded to three digits.

    A mask never keeps exactly the share asked for. Sparsities of up to three digits stay as they
    are: 0.0001 is no dense network.
    """
    density = 1 - reached
    # Rounding the density, not the sparsity: 0.98 and 0.99 differ by half of the weights.
    digits = np.array([float(f"{value:.{DENSITY_DIGITS}g}") for value in density])
    rounded = (1 - digits).round(FRACTION_DECIMALS)
    short = np.array([float(f"{value:.{MAX_SHORT_DIGITS}g}") for value in reached])
    is_short = np.isclose(short, reached, rtol=1e-9, atol=0)
    return np.where(is_short, short, rounded)


def group_sparsities(values: Floats, tolerance: float) -> tuple[Floats, str]:
    """Sparsities of groups, in which neighbours differ by at most a tolerance.

    Args:
        values: Sparsities, shape [n].
        tolerance: Largest distance of a group's sparsity from each of its members.

    Returns:
        Each value's group by the shortest number within the tolerance of all members, shape [n];
        the rule that groups break whose members lie further apart, or an empty text.
    """
    distinct = np.unique(values[~np.isnan(values)])
    # A margin for rounding: 0.8 and 0.81 differ by 0.01.
    limit = tolerance + 1e-9
    starts = np.flatnonzero(np.diff(distinct, prepend=-np.inf) > limit)
    grouped = values.copy()
    for members in np.split(distinct, starts[1:]):
        if members[-1] - members[0] > 2 * limit:
            return values, (
                f"sparsities from {members[0]:g} to {members[-1]:g} have no gap wider than"
                f" {tolerance:g}: give a smaller `tolerance`, or `sparsity.target`"
            )
        is_member = (values >= members[0]) & (values <= members[-1])
        grouped[is_member] = _shortest_number(members, limit)
    return grouped, ""


def _shortest_number(members: Floats, limit: float) -> float:
    """Number with the fewest decimals that lies within a limit of all members."""
    middle = (members[0] + members[-1]) / 2
    for decimals in range(FRACTION_DECIMALS):
        number = round(float(middle), decimals)
        if np.abs(members - number).max() <= limit and number < 1:
            return number
    return float(middle)


def sparsity_targets(
    trials: pd.DataFrame, given: str | None, tolerance: float | None
) -> tuple[pd.Series[Any], list[Problem]]:
    """Sparsity asked for, by run: as given, else by the last one reached.

    Args:
        trials: One row per run.
        given: Column with the sparsity asked for; None where only the one reached is known.
        tolerance: Distance within which sparsities count as one; None for float noise alone, and
            for three digits of the density of those that were reached.

    Returns:
        The sparsities; the problem of a tolerance that they do not allow.
    """
    column = trials[given or "sparsity"].to_numpy(dtype=np.float64, na_value=np.nan)
    # A table of many runs has few sparsities.
    values, places = np.unique(column, return_inverse=True)
    values = without_float_noise(values)
    rule = ""
    if tolerance is not None:
        values, rule = group_sparsities(values, tolerance)
    elif given is None:
        values = reached_targets(values)
    problems = [Problem("tolerance", rule)] if rule else []
    return pd.Series(values[places], trials.index), problems
