"""The modelled surface of an atlas: a measure over ramp start and length, and what can be told of its best place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.estimates.surface import UNIT_GRID, Effects, Floats
from analysis.recipes.responses import Range, to_unit_range, value_at_position

RAMP_START_FIELD = "sparsity.ramp.start"
RAMP_LENGTH_FIELD = "sparsity.ramp.length"
GRID_STRIDE = 4
"""Of the surface's grid, places that are kept along each axis."""
SELECTION_CORRECTION = 4
"""The best and the worst place are chosen on two axes: with p at a quarter of 1 - level, of 300 surfaces without an
effect of the ramp 3 % were supported; at half of it, 9 %."""


@dataclass(frozen=True)
class RampSurface:
    """A modelled measure over ramp start and length, on average over what else was searched.

    Args:
        start: Of the places, in fractions of training, shape [k, k].
        end: Where the ramp ends there.
        value: The typical value there, in units of the measure.
        supported: Whether the draws agree that the best place is better than the worst.
    """

    start: Floats
    end: Floats
    value: Floats
    supported: bool


def ramp_surface(
    found: Effects, part: pd.DataFrame, spans: Mapping[str, Range], lower: bool, level: float
) -> tuple[RampSurface, dict[str, Any]]:
    """The surface over start and length, and what can be told of its best place."""
    start, length = (list(spans).index(path) for path in (RAMP_START_FIELD, RAMP_LENGTH_FIELD))
    places = found.minimum_places()
    starts = value_at_position(spans[RAMP_START_FIELD], places[:, start])
    lengths = value_at_position(spans[RAMP_LENGTH_FIELD], places[:, length])
    row: dict[str, Any] = {}
    for name, values in (("start", starts), ("end", starts + lengths)):
        ends = np.quantile(values, [0.5, (1 - level) / 2, (1 + level) / 2])
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), map(float, ends), strict=True))
    functions = found.functions[:, [start, length]]
    mean = functions.mean(axis=0, dtype=np.float64)
    worst = mean.argmax(axis=1)
    best = mean.argmin(axis=1)
    apart = sum(functions[:, k, worst[k]] - functions[:, k, best[k]] for k in (0, 1))
    p = float((np.asarray(apart) <= 0).mean())
    supported = p <= (1 - level) / SELECTION_CORRECTION
    grid = mean[:, ::GRID_STRIDE]
    score = (
        grid[0][:, None]
        + grid[1][None]
        - sum(
            _average(mean[k], part, spans, p)
            for k, p in ((0, RAMP_START_FIELD), (1, RAMP_LENGTH_FIELD))
        )
    )
    value = _value_at_score(score, part["signed"].to_numpy(dtype=np.float64))
    row |= {"contrast": float(value.max() - value.min()), "p": p, "supported": supported}
    row["verdict"] = _verdict(row, level) if supported else "no evidence that the ramp matters"
    unit = UNIT_GRID[::GRID_STRIDE]
    at = np.meshgrid(
        value_at_position(spans[RAMP_START_FIELD], unit),
        value_at_position(spans[RAMP_LENGTH_FIELD], unit),
        indexing="ij",
    )
    return RampSurface(at[0], at[0] + at[1], value if lower else -value, supported), row


def _average(function: Floats, part: pd.DataFrame, spans: Mapping[str, Range], path: str) -> float:
    """Of a function of the grid over the configurations."""
    return float(np.interp(to_unit_range(spans[path], part[path]), UNIT_GRID, function).mean())


def _value_at_score(score: Floats, signed: Floats) -> Floats:
    """The value that has a normal score among the configurations, diverged ones being the worst."""
    from scipy.special import ndtr

    known = np.sort(np.where(np.isnan(signed), np.nanmax(signed), signed))
    places = (np.arange(len(known)) + 0.5) / len(known)
    return np.asarray(np.interp(ndtr(score), places, known))


def _verdict(row: Mapping[str, Any], level: float) -> str:
    spans = (
        f"{100 * row[f'{name}_low']:.0f} to {100 * row[f'{name}_high']:.0f} %"
        for name in ("start", "end")
    )
    return "best from a start at {} to an end at {} of training".format(*spans)
