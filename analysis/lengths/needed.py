"""Epochs that a network of each sparsity needs: the shortest length within epsilon of the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..drawers import draw
from ..estimates.intervals import Floats
from ..estimates.means import cell_values, format_span, sort_points
from ..measure import Measure
from ..notebook import Shown
from ..tables.results import Results
from .steps import length_gains, length_lines, require_validation_measure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SATURATION_COLUMNS = [
    "epochs",
    "low",
    "high",
    "at_least",
    "best_epochs",
    "longest",
    "lengths",
    "n",
    "needed",
]
ROUNDING_MARGIN = 1e-12
"""Gains above epsilon by less than this are rounding."""


@dataclass(frozen=True)
class Saturation(Shown):
    """Epochs that each sparsity needs: numbers first (`frame`), then the figure (`plot`).

    Args:
        y: The validation measure.
        epsilon: Means within this of the best count as saturated, in units of ``y``.
        rows: Rows that `frame` returns.
        level: Coverage of the intervals, in (0, 1).
    """

    y: Measure
    epsilon: float
    rows: pd.DataFrame
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per arm and sparsity that was trained for two lengths or more.

        Columns: ``arm sparsity``, other sweep axes; ``epochs``, the shortest length whose mean is
        within epsilon of the best of its line; ``low high``, the shortest length not excluded to be
        so, and the shortest one beyond which no gain above epsilon is left open (infinite if there
        is none); ``at_least``, True if the best is the longest and saturation is not shown;
        ``best_epochs longest lengths``; ``n`` of each mean; ``needed`` in words. Means are over the
        seeds that all lengths of the line have, or over each length's own if they share none.
        Without an interval ``low high`` are NaN, ``at_least`` is False, and ``needed`` ends with
        "(no interval)".
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw the epochs needed against sparsity, a line per arm.

        Raises:
            SparsetuneError: if there is nothing to draw.
        """
        return draw(self)

    def note(self) -> str:
        """Meaning of the marks and bars, for a caption."""
        margin = self.y.margin_text(self.epsilon)
        note = (
            f"The shortest training within {margin} of the best {self.y.phrase} of"
            " its arm and sparsity, among the lengths that were run,"
            f" n = {format_span(self.rows['n'])}; bars: from the shortest length not excluded to be"
            f" that, to the shortest beyond which {100 * self.level:g} % intervals leave no larger"
            " gain open."
        )
        if self.rows["at_least"].any():
            note += " A hollow mark: at least that, since the longest training is still the best."
        if self.rows["low"].isna().any():
            note += " A mark without a bar: no interval, it claims nothing."
        if np.isinf(self.rows["high"].astype("float64")).any():
            note += (
                " A triangle: no upper end, a larger gain beyond the longest training is left open."
            )
        return note


def epochs_needed(
    results: Results,
    y: str | None = None,
    *,
    epsilon: float | None = None,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Saturation:
    """The shortest length of training within ``epsilon`` of the best, for each arm and sparsity.

    Args:
        results: A study that sweeps the length of training.
        y: A measured column; by default the one that `undertraining` takes.
        epsilon: In units of ``y``; by default that of `undertraining`.
        where: Dotted fields and their values, as in `sparsity_curve`.
        level: Coverage of the intervals, in (0, 1).
        seed: Seed of the bootstrap, which replaces the t interval from n = 10 on.

    Raises:
        SparsetuneError: if a name is unknown, no validation column was measured, or `epsilon` must
            be given.
    """
    y = require_validation_measure(results, where, y)
    measure = results.measure(y)
    margin = measure.margin(epsilon, "epsilon")
    cells, values, _ = cell_values(results, y, where)
    others = [path for path in results.design.other_axes() if path in cells]
    keys = ["arm", "sparsity", *others]
    lines = [line for line in length_lines(cells, values, others) if len(line) > 1]
    # From here on more is better, whatever the measure.
    gains = measure.direction * values
    pairs = length_gains(lines, gains, cells["epochs"], level, seed)
    pairs_of_cell = dict(list(pairs.groupby("cell")))
    rows = []
    for line in lines:
        # The longest cell of a line is never the shorter one of a pair.
        own = pd.concat([pairs_of_cell[cell] for cell in line[:-1]]).to_dict("records")
        row = _saturation_row(gains.loc[line], cells.loc[line, "epochs"], own, margin)
        rows.append({**cells.loc[line[0], keys], **row})
    frame = pd.DataFrame(rows, columns=[*keys, *SATURATION_COLUMNS])
    return Saturation(measure, margin, sort_points(frame, keys), level)


def _saturation_row(
    values: pd.DataFrame, epochs: pd.Series[Any], pairs: Sequence[Mapping[Any, Any]], epsilon: float
) -> dict[str, Any]:
    """One row of `Saturation.frame`, without its keys.

    Args:
        values: Values of one line by report seed, more is better, shortest length first.
        epochs: Length of each cell.
        pairs: Gains of the line's pairs, see `length_gains`.
        epsilon: Gains up to this do not count.
    """
    shared = values.dropna(axis="columns")
    # A length that lacks a hard seed must not look better for it.
    values = values if shared.empty else shared
    means = values.mean(axis=1).to_numpy()
    lengths = epochs.to_numpy(dtype=np.float64)
    edge = epsilon + ROUNDING_MARGIN
    longest = float(lengths[-1])
    best = float(lengths[means.argmax()])
    enough = float(lengths[means >= means.max() - edge][0])
    is_known = not any(np.isnan(pair["low"]) for pair in pairs)
    low = np.nan
    high = np.nan
    # A pair without an interval leaves open where saturation begins.
    if is_known:
        low = _shortest_without_gain(lengths, pairs, "low", edge, otherwise=longest)
        high = _shortest_without_gain(lengths, pairs, "high", edge, otherwise=np.inf)
    # That the longest is best may be chance: a gain up to it must be left open.
    is_climbing = any(
        pair["high"] > edge for pair in pairs if pair["to"] == longest and pair["step"] == 1
    )
    at_least = is_known and best == longest and (enough == longest or is_climbing)
    return {
        "epochs": enough,
        "low": low,
        "high": high,
        "at_least": at_least,
        "best_epochs": best,
        "longest": longest,
        "lengths": len(values),
        "n": int(values.notna().sum(axis=1).min()),
        "needed": _epochs_text(enough, low, high, at_least),
    }


def _shortest_without_gain(
    lengths: Floats,
    pairs: Sequence[Mapping[Any, Any]],
    end: str,
    edge: float,
    otherwise: float,
) -> float:
    """The shortest length whose gains to all longer ones have an ``end`` of at most ``edge``.

    Args:
        lengths: All lengths, shortest first; the longest has no gain and is not asked.
        pairs: Gains from each length to each longer one.
        end: Which end of a gain's interval: ``low`` or ``high``.
        edge: Largest gain that does not count.
        otherwise: Returned if there is no such length.
    """
    for length in lengths[:-1]:
        gains = [pair[end] for pair in pairs if pair["from"] == length]
        if all(gain <= edge for gain in gains):
            return float(length)
    return otherwise


def _epochs_text(epochs: float, low: float, high: float, at_least: bool) -> str:
    """Epochs needed in words.

    ``at least 32``, ``8 (4 to 16)``, ``8 (4 or more)``, ``8`` if nothing else is left, or
    ``8 (no interval)``.
    """
    if at_least:
        return f"at least {epochs:g}" + (f" ({low:g} not excluded)" if low < epochs else "")
    if np.isnan(low):
        return f"{epochs:g} (no interval)"
    if low == high:
        return f"{epochs:g}"
    if np.isinf(high):
        return f"{epochs:g} ({low:g} or more)"
    return f"{epochs:g} ({low:g} to {high:g})"
