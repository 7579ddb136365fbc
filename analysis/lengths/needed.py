"""Epochs that a network of each sparsity needs: the shortest length within epsilon of the best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..drawers import draw
from ..estimates.captions import count_words
from ..estimates.intervals import Floats
from ..estimates.means import cell_values, sort_points
from ..measure import Measure
from ..notebook import Shown
from ..tables.results import Results
from .steps import length_gains, length_lines, require_validation_measure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEEDED_COLUMNS = [
    "epochs",
    "low",
    "high",
    "verdict",
    "best_epochs",
    "longest",
    "lengths",
    "n",
    "needed",
]
SETTLED = "settled"
AT_LEAST = "at least"
NOT_SETTLED = "not settled"
ROUNDING_MARGIN = 1e-12
"""Gains above epsilon by less than this are rounding."""


@dataclass(frozen=True)
class EpochsNeeded(Shown):
    """Epochs that each sparsity needs: numbers first (`frame`), then the figure (`plot`).

    Args:
        y: The validation measure.
        epsilon: A length within this of the best is long enough, in units of ``y``.
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
        within epsilon of the best of its line, an estimate that claims nothing; ``low high``, the
        shortest length not shown to be too short, and the shortest one shown to be enough (infinite
        if there is none); ``verdict``: ``settled`` if some length is shown to be enough, ``at
        least`` if every one but the longest is shown to be too short, else ``not settled``;
        ``best_epochs longest lengths``; ``n`` of each mean; ``needed`` in words. Means are over the
        seeds that all lengths of the line have, or over each length's own if they share none.
        Without an interval ``low high`` are NaN, and nothing is settled.
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
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        margin = self.y.margin_text(self.epsilon)
        n = count_words(self.rows["n"], "seeds")
        yield write("needed", margin=margin, measure=self.y.phrase, n=n)
        yield write("needed_bars", level=f"{100 * self.level:g}")
        if self.rows["verdict"].eq(NOT_SETTLED).any():
            yield write("needed_hollow")
        if self.rows["low"].isna().any():
            yield write("needed_bare")
        if np.isinf(self.rows["high"].astype("float64")).any():
            yield write("needed_open")


def epochs_needed(
    results: Results,
    y: str | None = None,
    *,
    epsilon: float | None = None,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> EpochsNeeded:
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
        row = _needed_row(gains.loc[line], cells.loc[line, "epochs"], own, margin)
        rows.append({**cells.loc[line[0], keys], **row})
    frame = pd.DataFrame(rows, columns=[*keys, *NEEDED_COLUMNS])
    return EpochsNeeded(measure, margin, sort_points(frame, keys), level)


def _needed_row(
    values: pd.DataFrame, epochs: pd.Series[Any], pairs: Sequence[Mapping[Any, Any]], epsilon: float
) -> dict[str, Any]:
    """One row of `EpochsNeeded.frame`, without its keys.

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
    # A pair without an interval leaves open which length is enough.
    if is_known:
        low = _shortest_without_gain(lengths, pairs, "low", edge, otherwise=longest)
        high = _shortest_without_gain(lengths, pairs, "high", edge, otherwise=np.inf)
    verdict = _verdict(low, high, longest)
    return {
        "epochs": enough,
        "low": low,
        "high": high,
        "verdict": verdict,
        "best_epochs": best,
        "longest": longest,
        "lengths": len(values),
        "n": int(values.notna().sum(axis=1).min()),
        "needed": _epochs_text(verdict, low, high, longest),
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


def _verdict(low: float, high: float, longest: float) -> str:
    """What the intervals show of a line: see `EpochsNeeded.frame`; NaN ends settle nothing."""
    if np.isfinite(high):
        return SETTLED
    return AT_LEAST if low == longest else NOT_SETTLED


def _epochs_text(verdict: str, low: float, high: float, longest: float) -> str:
    """Epochs needed in words.

    ``8``, ``4 to 16``, ``at least 32``, ``not settled (8 may do, 32 may not)``, or
    ``not settled (no interval)``.
    """
    if verdict == SETTLED:
        return f"{high:g}" if low == high else f"{low:g} to {high:g}"
    if verdict == AT_LEAST:
        return f"at least {longest:g}"
    if np.isnan(low):
        return f"{NOT_SETTLED} (no interval)"
    return f"{NOT_SETTLED} ({low:g} may do, {longest:g} may not)"
