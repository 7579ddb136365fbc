"""Shifts of the best hyperparameters along sparsity and length, corrected together."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd

from sparsetune.study.space import LogUniform

from ...estimates.means import add_dense_points
from ...estimates.surface import Floats
from ..responses import Range, is_natural_end, reaches_ends, scale_position

SHIFT_AXES = ("sparsity.target", "schedule.epochs", "schedule.epoch_multiplier")
"""Sweep axes along which optima are compared, each value with the smallest."""
MAX_SHIFT_WIDTH = 0.5
"""A shift could hide in an interval that is wider than this part of the range."""
OWN_CONFIGURATIONS_NOTE = "; each cell's own configurations"
"""Added to a claim if cells may also differ by which configurations were tried."""
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
    "p",
    "p_holm",
    "verdict",
]
OptimumKey = tuple[str, str]
"""Names of a cell and of a search axis."""


class OptimumDraws(Protocol):
    """Draws of the optima of all cells; the attributes are those of `Optima`."""

    @property
    def rows(self) -> pd.DataFrame:
        """One row per cell and axis, with ``n``."""

    @property
    def cells(self) -> pd.DataFrame:
        """One row per cell, by name: ``arm`` and the sweep axes."""

    @property
    def draws(self) -> Mapping[OptimumKey, Floats]:
        """Possible positions of the best value, as parts of the searched range."""

    @property
    def ranges(self) -> Mapping[OptimumKey, Range]:
        """Searched range of each cell and axis."""

    @property
    def level(self) -> float:
        """Coverage of the intervals, in (0, 1)."""

    @property
    def shared(self) -> bool:
        """True if all cells tried the same configurations."""


def optimum_shifts(found: OptimumDraws) -> pd.DataFrame:
    """One row per pair of cells and search axis: `SHIFT_COLUMNS`, see `Optima.shifts`."""
    pairs = [pair | _shift(found, pair) for pair in _pairs(found)]
    names = [name for name in SHIFT_COLUMNS if name not in ("p_holm", "verdict")]
    frame = pd.DataFrame(pairs, columns=names)
    frame = frame.assign(p_holm=holm_adjusted(frame["p"].to_numpy(dtype=np.float64)))
    verdicts = [_verdict(found, row, len(frame)) for row in frame.to_dict("records")]
    return frame.assign(verdict=verdicts)[SHIFT_COLUMNS]


def _pairs(found: OptimumDraws) -> Iterator[dict[str, Any]]:
    """The compared pairs: ``arm axis along reference cell from to`` of each.

    A cell is compared with the first of its line, which has the smallest value of ``along``.
    """
    sweep = [name for name in map(str, found.cells) if "." in name]
    lines = add_dense_points(found.cells.assign(sparsity=found.cells["sparsity.target"]))
    seen: set[tuple[str, Hashable, Hashable]] = set()
    for axis in dict.fromkeys(found.rows["axis"]):
        located = lines[[(str(cell), axis) in found.draws for cell in lines.index]]
        for along in SHIFT_AXES:
            if along not in sweep:
                continue
            others = ["arm", *(name for name in sweep if name != along)]
            for _, line in located.groupby(others, sort=False, dropna=False):
                ordered = line.sort_values(along, kind="stable").to_dict("index")
                (reference, first), *rest = ordered.items()
                for cell, row in rest:
                    # Dense cells are in the lines of every arm, but each pair counts once.
                    if (axis, cell, reference) in seen:
                        continue
                    seen.add((axis, cell, reference))
                    yield {
                        "arm": row["arm"],
                        "axis": axis,
                        "along": along,
                        "reference": reference,
                        "cell": cell,
                        "from": first[along],
                        "to": row[along],
                    }


def _shift(found: OptimumDraws, pair: Mapping[str, Any]) -> dict[str, Any]:
    """Shift of one pair with its interval: ``n scale shift low high p``."""
    mine = (pair["cell"], pair["axis"])
    other = (pair["reference"], pair["axis"])
    is_log = isinstance(found.ranges[mine], LogUniform)
    moved = scale_position(found.ranges[mine], found.draws[mine]) - scale_position(
        found.ranges[other], found.draws[other]
    )
    ends = np.quantile(moved, [0.5, (1 - found.level) / 2, (1 + found.level) / 2])
    down, up = _open_sides(found, mine, other)
    # Infinite on an open side; for a factor, `np.exp` makes 0 or infinity of that.
    ends = np.where([down and up, down, up], [np.nan, -np.inf, np.inf], ends)
    middle, low, high = np.exp(ends) if is_log else ends
    is_axis = found.rows["axis"].eq(pair["axis"])
    is_of_pair = found.rows["cell"].isin([mine[0], other[0]])
    return {
        "n": found.rows.loc[is_axis & is_of_pair, "n"].min(),
        "scale": "factor" if is_log else "difference",
        "shift": middle,
        "low": low,
        "high": high,
        "p": _p_value(moved, down, up),
    }


def _p_value(moved: Floats, down: bool, up: bool) -> float:
    """Twice the smaller share of draws that contradict a shift; only closed sides count.

    Args:
        moved: Draws of the shift, on the axis's own scale.
        down: True if the shift may be any further down.
        up: True if the shift may be any further up.
    """
    contradicting = []
    if not down:
        contradicting.append(int((moved <= 0).sum()))
    if not up:
        contradicting.append(int((moved >= 0).sum()))
    # The 1 keeps p above 0: draws are finite. Without a closed side p is 1.
    fewest = min(contradicting, default=len(moved))
    return min(1.0, 2 * (fewest + 1) / (len(moved) + 1))


def _open_sides(found: OptimumDraws, mine: OptimumKey, other: OptimumKey) -> tuple[bool, bool]:
    """True for down and for up if the shift may be any further that way.

    An optimum that reaches an end of its range may lie beyond it.
    """
    low, high = _cut_sides(found, mine)
    other_low, other_high = _cut_sides(found, other)
    return low or other_high, high or other_low


def _cut_sides(found: OptimumDraws, key: OptimumKey) -> tuple[bool, bool]:
    """True for below and for above if the optimum may lie beyond its range on that side."""
    low, high = reaches_ends(found.draws[key], found.level)
    axis = found.ranges[key]
    path = key[1]
    may_be_below = low and not is_natural_end(path, axis, "low")
    may_be_above = high and not is_natural_end(path, axis, "high")
    return may_be_below, may_be_above


def _verdict(found: OptimumDraws, row: Mapping[Any, Any], count: int) -> str:
    """Verdict on one shift in words; ``count`` comparisons were made."""
    if row["p_holm"] < 1 - found.level:
        return _shift_text(row) + ("" if found.shared else OWN_CONFIGURATIONS_NOTE)
    if row["p"] < 1 - found.level:
        return f"no evidence of a shift after correction for {count} comparisons"
    # On the axis's own scale, on which its range is measured too.
    ends = np.array([row["low"], row["high"]])
    with np.errstate(divide="ignore"):
        width = np.diff(np.log(ends) if row["scale"] == "factor" else ends)[0]
    low, high = scale_position(found.ranges[row["cell"], row["axis"]], np.array([0.0, 1.0]))
    if width <= MAX_SHIFT_WIDTH * (high - low):
        return "no evidence of a shift"
    return "no evidence of a shift; a large one is possible"


def _shift_text(row: Mapping[Any, Any]) -> str:
    """A shift with its interval, or its lower bound if an optimum may be beyond its range."""
    ends = np.array([row["shift"], row["low"], row["high"]])
    is_factor = row["scale"] == "factor"
    is_higher = ends[0] > (1 if is_factor else 0)
    if not is_higher:
        with np.errstate(divide="ignore"):
            ends = 1 / ends if is_factor else -ends
    middle = ends[0]
    low, high = sorted(ends[1:])
    direction = "higher" if is_higher else "lower"
    by = "a factor " if is_factor else ""
    if np.isinf(high):
        return f"{direction} by at least {by}{low:.2g}"
    return f"{direction} by {by}{middle:.2g} [{low:.2g}, {high:.2g}]"


def holm_adjusted(p: Floats) -> Floats:
    """Holm's adjusted p values, shape [n].

    The k-th smallest of m values is multiplied with m - k + 1; it is never below a smaller one's
    and at most 1.
    """
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, steps)
    return adjusted
