"""The winner of a cell: chosen on validation, at the final step, over all search seeds or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean


def objective_of(values: Sequence[float | None]) -> float | None:
    """Mean over a configuration's search seeds; None unless every seed has a value (one diverged: no value)."""
    finite = [value for value in values if value is not None]
    return fmean(finite) if finite and len(finite) == len(values) else None


def winner_of(objectives: Mapping[str, float | None], *, minimize: bool) -> str | None:
    """The configuration with the best objective; the earlier one on a tie; None where none has a value.

    Args:
        objectives: Objective by configuration id, in order of proposal.
        minimize: Whether lower is better.
    """
    valued = {config: value for config, value in objectives.items() if value is not None}
    return min(
        valued, key=lambda config: valued[config] if minimize else -valued[config], default=None
    )
