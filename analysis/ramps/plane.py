"""Modelled surface of a ramp atlas: a measure over ramp start and length, and its best place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..estimates.surface import UNIT_GRID, Effects, Floats
from ..recipes.responses import Range, to_unit_range, value_at_position

RAMP_START_FIELD = "sparsity.ramp.start"
RAMP_LENGTH_FIELD = "sparsity.ramp.length"
GRID_STRIDE = 4
"""Every so many places of the surface's grid are kept along each axis."""
SELECTION_CORRECTION = 4
"""Divisor of 1 - level, since the best and the worst place are chosen on two axes.

Of 300 surfaces without an effect of the ramp 3 % were supported with p at a quarter of 1 - level,
and 9 % with p at half of it.
"""


@dataclass(frozen=True)
class RampSurface:
    """Modelled measure over ramp start and length, on average over what else was searched.

    Args:
        start: Ramp start of each place, in fractions of training, shape [k, k].
        end: Ramp end of each place, in fractions of training, shape [k, k].
        value: Typical value at each place, in units of the measure, shape [k, k].
        supported: True if the draws agree that the best place is better than the worst.
    """

    start: Floats
    end: Floats
    value: Floats
    supported: bool


def ramp_surface(
    effects: Effects, part: pd.DataFrame, spans: Mapping[str, Range], lower: bool, level: float
) -> tuple[RampSurface, dict[str, Any]]:
    """The surface over ramp start and length, and the conclusions on its best place.

    Args:
        effects: Draws of the additive surface of one cell.
        part: The cell's configurations: the searched axes, and ``signed``, the value where lower
            is better, NaN if it diverged.
        spans: Searched range of each axis, in the order of the effects' axes.
        lower: True if low values of the measure are good.
        level: Coverage of the intervals, in (0, 1).

    Returns:
        The surface, and columns of `Atlas.regions` from ``start`` to ``verdict``.
    """
    paths = list(spans)
    start_axis = paths.index(RAMP_START_FIELD)
    length_axis = paths.index(RAMP_LENGTH_FIELD)
    places = effects.minimum_places()
    starts = value_at_position(spans[RAMP_START_FIELD], places[:, start_axis])
    lengths = value_at_position(spans[RAMP_LENGTH_FIELD], places[:, length_axis])
    functions = effects.functions[:, [start_axis, length_axis]]
    mean = functions.mean(axis=0, dtype=np.float64)
    p = _disagreement(functions, mean)
    is_supported = p <= (1 - level) / SELECTION_CORRECTION
    # Scores are 0 on average over the configurations, which do not cover the grid evenly.
    offset = _average(mean[0], part, spans, RAMP_START_FIELD)
    offset += _average(mean[1], part, spans, RAMP_LENGTH_FIELD)
    grid = mean[:, ::GRID_STRIDE]
    score = grid[0][:, None] + grid[1][None] - offset
    value = _value_at_score(score, part["signed"].to_numpy(dtype=np.float64))
    row = _interval("start", starts, level) | _interval("end", starts + lengths, level)
    row |= {"contrast": float(value.max() - value.min()), "p": p, "supported": is_supported}
    row["verdict"] = _verdict(row) if is_supported else "no evidence that the ramp matters"
    unit = UNIT_GRID[::GRID_STRIDE]
    start, length = np.meshgrid(
        value_at_position(spans[RAMP_START_FIELD], unit),
        value_at_position(spans[RAMP_LENGTH_FIELD], unit),
        indexing="ij",
    )
    # The model minimises; values go back to the measure's own direction.
    surface = RampSurface(start, start + length, value if lower else -value, is_supported)
    return surface, row


def _interval(name: str, values: Floats, level: float) -> dict[str, Any]:
    """Median and interval of some draws, as columns ``name name_low name_high``."""
    middle, low, high = np.quantile(values, [0.5, (1 - level) / 2, (1 + level) / 2])
    return {name: float(middle), f"{name}_low": float(low), f"{name}_high": float(high)}


def _disagreement(functions: NDArray[Any], mean: Floats) -> float:
    """Share of draws by which the best place of the mean is no better than its worst.

    Args:
        functions: Draws of the two axes' functions on the grid, shape [n_draws, 2, n_grid].
        mean: Their mean, shape [2, n_grid].
    """
    worst = mean.argmax(axis=1)
    best = mean.argmin(axis=1)
    # Effects add up, so the best start and the best length are found apart.
    by_start = functions[:, 0, worst[0]] - functions[:, 0, best[0]]
    by_length = functions[:, 1, worst[1]] - functions[:, 1, best[1]]
    return float((by_start + by_length <= 0).mean())


def _average(function: Floats, part: pd.DataFrame, spans: Mapping[str, Range], path: str) -> float:
    """Average over the configurations of a function on the grid of one axis."""
    positions = to_unit_range(spans[path], part[path])
    return float(np.interp(positions, UNIT_GRID, function).mean())


def _value_at_score(score: Floats, signed: Floats) -> Floats:
    """Value at a normal score among the configurations, of which diverged ones are the worst.

    Args:
        score: Normal scores, any shape.
        signed: Values of the configurations, lower is better, NaN if diverged, shape [n].
    """
    from scipy.special import ndtr

    # A score is a rank among the configurations, so the value at that rank belongs to it.
    ordered = np.sort(np.where(np.isnan(signed), np.nanmax(signed), signed))
    ranks = (np.arange(len(ordered)) + 0.5) / len(ordered)
    return np.asarray(np.interp(ndtr(score), ranks, ordered))


def _verdict(row: Mapping[str, Any]) -> str:
    """Interval of the best ramp in words."""
    start = f"{100 * row['start_low']:.0f} to {100 * row['start_high']:.0f} %"
    end = f"{100 * row['end_low']:.0f} to {100 * row['end_high']:.0f} %"
    return f"best from a start at {start} to an end at {end} of training"
