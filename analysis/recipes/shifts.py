"""How the best hyperparameters move along sparsity and length: differences of optima, corrected together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.estimates.means import add_dense_points
from analysis.estimates.surface import Floats
from analysis.recipes.responses import is_natural_end, reaches_ends, scale_position
from sparsetune.study.space import LogUniform

if TYPE_CHECKING:
    from analysis.recipes.optima import Optima

SHIFT_AXES = ("sparsity.target", "schedule.epochs", "schedule.epoch_multiplier")
"""Sweep axes along which optima are compared, each value with the smallest."""
MAX_SHIFT_WIDTH = 0.5
"""Where the interval of a shift is wider than this part of the range, a shift could hide in it."""
OWN_CONFIGURATIONS_NOTE = "; each cell's own configurations"
"""What is added to a claim where cells may also differ by which configurations were tried."""
SHIFT_COLUMNS = [
    "arm",
    "axis",
    "along",
    "from",
    "to",
    "reference",
    "cell",
    "n",
    "scale",
    "shift",
    "low",
    "high",
]
SHIFT_COLUMNS += ["p", "p_holm", "verdict"]


def optimum_shifts(found: Optima) -> pd.DataFrame:
    """One row per pair of cells and axis, with the columns of `Optima.shifts`."""
    pairs = [pair | _shift(found, pair) for pair in _pairs(found)]
    frame = pd.DataFrame(
        pairs, columns=[name for name in SHIFT_COLUMNS if name not in ("p_holm", "verdict")]
    )
    frame = frame.assign(p_holm=holm_adjusted(frame["p"].to_numpy(dtype=np.float64)))
    verdicts = [_verdict(found, row, len(frame)) for row in frame.to_dict("records")]
    return frame.assign(verdict=verdicts)[SHIFT_COLUMNS]


def _pairs(found: Optima) -> Iterator[dict[str, Any]]:
    """Each row: a cell, the one it is compared with, and a search axis that both located or tried to."""
    sweep = [name for name in map(str, found.cells) if "." in name]
    lines = add_dense_points(found.cells.assign(sparsity=found.cells["sparsity.target"]))
    seen = set()
    for axis in dict.fromkeys(found.rows["axis"]):
        located = lines[[(str(cell), axis) in found.draws for cell in lines.index]]
        for along in (name for name in SHIFT_AXES if name in sweep):
            others = ["arm", *(name for name in sweep if name != along)]
            for _, line in located.groupby(others, sort=False, dropna=False):
                first, *rest = line.sort_values(along, kind="stable").to_dict("index").items()
                for cell, row in rest:
                    if (axis, cell, first[0]) in seen:
                        continue  # dense cells stand in the lines of every arm
                    seen.add((axis, cell, first[0]))
                    pair = {
                        "arm": row["arm"],
                        "axis": axis,
                        "along": along,
                        "reference": first[0],
                        "cell": cell,
                    }
                    yield pair | {"from": first[1][along], "to": row[along]}


def _shift(found: Optima, pair: Mapping[str, Any]) -> dict[str, Any]:
    mine = (pair["cell"], pair["axis"])
    other = (pair["reference"], pair["axis"])
    logarithmic = isinstance(found.ranges[mine], LogUniform)
    moved = scale_position(found.ranges[mine], found.draws[mine]) - scale_position(
        found.ranges[other], found.draws[other]
    )
    ends = np.quantile(moved, [0.5, (1 - found.level) / 2, (1 + found.level) / 2])
    down, up = _open_sides(found, mine, other)
    ends = np.where([down and up, down, up], [np.nan, -np.inf, np.inf], ends)
    middle, low, high = np.exp(ends) if logarithmic else ends
    against = [(moved <= 0).sum()] * (not down) + [(moved >= 0).sum()] * (not up)
    p = min(1.0, 2 * (min(against, default=len(moved)) + 1) / (len(moved) + 1))
    n = found.rows.loc[
        found.rows["axis"].eq(pair["axis"]) & found.rows["cell"].isin([mine[0], other[0]]), "n"
    ].min()
    scale = "factor" if logarithmic else "difference"
    return {"n": n, "scale": scale, "shift": middle, "low": low, "high": high, "p": p}


def _open_sides(found: Optima, mine: tuple[str, str], other: tuple[str, str]) -> tuple[bool, bool]:
    """Whether a shift may be any further down, or up: an optimum that reaches an end of its range may lie beyond."""
    (low, high), (other_low, other_high) = _cut_sides(found, mine), _cut_sides(found, other)
    return low or other_high, high or other_low


def _cut_sides(found: Optima, key: tuple[str, str]) -> tuple[bool, bool]:
    """Whether an optimum may lie below its range, or above: nothing lies beyond a natural end."""
    low, high = reaches_ends(found.draws[key], found.level)
    axis = found.ranges[key]
    return low and not is_natural_end(key[1], axis, "low"), high and not is_natural_end(
        key[1], axis, "high"
    )


def _verdict(found: Optima, row: Mapping[Any, Any], count: int) -> str:
    """In words; ``count`` comparisons were made."""
    if row["p_holm"] < 1 - found.level:
        return _shift_text(row) + (OWN_CONFIGURATIONS_NOTE if not found.shared else "")
    if row["p"] < 1 - found.level:
        return f"no evidence of a shift after correction for {count} comparisons"
    ends = np.array([row["low"], row["high"]])
    with np.errstate(divide="ignore"):
        wide = np.diff(np.log(ends) if row["scale"] == "factor" else ends)[0]
    low, high = scale_position(found.ranges[row["cell"], row["axis"]], np.array([0.0, 1.0]))
    return (
        "no evidence of a shift"
        if wide <= MAX_SHIFT_WIDTH * (high - low)
        else "no evidence of a shift; a large one is not excluded"
    )


def _shift_text(row: Mapping[Any, Any]) -> str:
    """A shift with its interval, or the least that it is where one of the optima may lie beyond its range."""
    ends = np.array([row["shift"], row["low"], row["high"]])
    factor = row["scale"] == "factor"
    higher = ends[0] > (1 if factor else 0)
    with np.errstate(divide="ignore"):
        middle, *bounds = ends if higher else (1 / ends if factor else -ends)
    low, high = sorted(bounds)
    way = "higher" if higher else "lower"
    by = "a factor " * factor
    if np.isinf(high):
        return f"{way} by at least {by}{low:.2g}"
    return f"{way} by {by}{middle:.2g} [{low:.2g}, {high:.2g}]"


def holm_adjusted(p: Floats) -> Floats:
    """Holm's adjusted p values: the k-th smallest of m times m - k + 1, never below a smaller one's, at most 1."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, steps)
    return adjusted
