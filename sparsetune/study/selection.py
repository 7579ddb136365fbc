"""The winner of a cell: chosen on validation, at the final step, over all search seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from statistics import fmean


def objective_of(values: Sequence[float | None]) -> float | None:
    """Mean over a configuration's search seeds; None unless every seed has a finite value.

    A seed that diverged has none; NaN and infinities are none.
    """
    finite = [value for value in values if value is not None and isfinite(value)]
    # Averaged over its survivors, a configuration that diverges half the time could win.
    if not finite or len(finite) < len(values):
        return None
    return fmean(finite)


def winner_of(objectives: Mapping[str, float | None], *, minimize: bool) -> str | None:
    """Id of the configuration with the best objective; None where none has a value.

    The earlier one wins a tie.

    Args:
        objectives: Objective by configuration id, in order of proposal.
        minimize: Whether lower is better.
    """
    valued = {
        config: value
        for config, value in objectives.items()
        if value is not None and isfinite(value)
    }
    sign = 1 if minimize else -1
    return min(valued, key=lambda config: sign * valued[config], default=None)
