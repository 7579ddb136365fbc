"""How long a network of each sparsity must train: the shortest length within epsilon of the best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.estimates.means import cell_values, direction_of, format_span, sort_points
from analysis.exhibit import Exhibit
from analysis.lengths.steps import length_gains, length_lines, validation_measure
from analysis.quantities import difference_unit, display_factor, measure_name
from analysis.tables.results import Results

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


@dataclass(frozen=True)
class Saturation:
    """The epochs that each sparsity needs: numbers first (`frame`), then the curve (`plot`).

    Args:
        y: The validation column.
        epsilon: Within this of the best counts as saturated, in its units.
        rows: What `frame` returns.
        level: Coverage of the intervals.
    """

    y: str
    epsilon: float
    rows: pd.DataFrame
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per arm and sparsity that was trained for two lengths or more.

        Columns: ``arm sparsity``, other sweep axes; ``epochs``, the shortest length whose mean is within epsilon of the
        best of its line; ``low high``, the shortest one not excluded to be so, and the shortest one beyond which no
        gain above epsilon is left open (infinite if none); ``at_least`` where the best is the longest and saturation
        not shown; ``best_epochs longest lengths``; ``n`` of each mean; ``needed`` in words. Means are over the seeds
        that all lengths of the line have, or over each length's own where they share none. Without an interval ``low
        high`` are NaN, ``at_least`` is False, and ``needed`` ends with "(no interval)".
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw the epochs needed against sparsity, a line per arm.

        Raises:
            SparsetuneError: if there is nothing to draw.
        """
        from analysis.lengths import figures

        return figures.draw_saturation(self)

    def note(self) -> str:
        """What the marks and bars mean, for a caption."""
        note = (
            f"The shortest training within {display_factor(self.y) * self.epsilon:g} {difference_unit(self.y)} of the best"
            f" {measure_name(self.y).lower()} of its arm and sparsity, among the lengths that were run,"
            f" n = {format_span(self.rows['n'])}; bars: from the shortest length not excluded to be that, to the shortest"
            f" beyond which {100 * self.level:g} % intervals leave no larger gain open."
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
    epsilon: float = 0.002,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Saturation:
    """The shortest length of training within ``epsilon`` of the best, for every arm and sparsity.

    Args:
        results: A study that sweeps the length of training.
        y: As in `undertraining`.
        epsilon: In units of ``y``.
        where: Dotted fields and their values, as in `sparsity_curve`.
        level: Coverage of the intervals.
        seed: Of the bootstrap, which takes over from the t interval at n = 10.

    Raises:
        SparsetuneError: if a name is unknown or no validation column was measured.
    """
    y = validation_measure(results, where, y)
    cells, values, _ = cell_values(results, y, where)
    others = [path for path in results.design.other_axes() if path in cells]
    keys = ["arm", "sparsity", *others]
    rows = []
    found = [line for line in length_lines(cells, values, others) if len(line) > 1]
    values = direction_of(y) * values
    pairs = length_gains(found, values, cells["epochs"], level, seed)
    of_line = dict(
        list(pairs.groupby(pairs["cell"].map({cell: line[0] for line in found for cell in line})))
    )
    for line in found:
        own = of_line[line[0]].to_dict("records")
        rows.append(
            {
                **cells.loc[line[0], keys],
                **_saturation_row(values.loc[line], cells.loc[line, "epochs"], own, epsilon),
            }
        )
    frame = pd.DataFrame(rows, columns=[*keys, *SATURATION_COLUMNS])
    return Saturation(y, epsilon, sort_points(frame, keys), level)


def exhibits(results: Results, y: str, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """The curve of epochs needed, where two lengths were run; by validation, whatever ``y`` the report shows."""
    if not validation_measure(results, where, None, required=False):
        return
    found = epochs_needed(results, where=where)
    if len(found.frame()):
        columns = {"arm": "Arm", "sparsity": "Sparsity", "needed": "Epochs needed"}
        columns |= {"best_epochs": "Best at (epochs)", "n": "n"}
        title = "How many epochs each sparsity needs"
        yield Exhibit("epochs-needed", title, found.frame(), found.note(), found.plot, columns)


def _saturation_row(
    values: pd.DataFrame, epochs: pd.Series[Any], pairs: Sequence[Mapping[Any, Any]], epsilon: float
) -> dict[str, Any]:
    """One row of `Saturation.frame`, of values of which more is better, shortest length first."""
    shared = values.dropna(axis="columns")
    values = (
        values if shared.empty else shared
    )  # a length that lacks a hard seed must not look better for it
    means = values.mean(axis=1).to_numpy()
    lengths = epochs.to_numpy(dtype=np.float64)
    edge = epsilon + 1e-12
    longest = float(lengths[-1])
    best = float(lengths[means.argmax()])
    enough = float(lengths[means >= means.max() - edge][0])
    known = not any(np.isnan(pair["low"]) for pair in pairs)
    possible, certain = (
        [
            length
            for length in lengths[:-1]
            if all(pair[end] <= edge for pair in pairs if pair["from"] == length)
        ]
        for end in ("low", "high")
    )
    low = float(min(possible, default=longest)) if known else np.nan
    high = float(min(certain, default=np.inf)) if known else np.nan
    climbing = any(
        pair["high"] > edge for pair in pairs if pair["to"] == longest and pair["step"] == 1
    )
    at_least = known and best == longest and (enough == longest or climbing)
    row = {
        "epochs": enough,
        "low": low,
        "high": high,
        "at_least": at_least,
        "best_epochs": best,
        "longest": longest,
    }
    n = int(values.notna().sum(axis=1).min())
    return row | {
        "lengths": len(values),
        "n": n,
        "needed": _epochs_text(enough, low, high, at_least),
    }


def _epochs_text(epochs: float, low: float, high: float, at_least: bool) -> str:
    """``at least 32``, ``8 (4 to 16)``, ``8 (4 or more)``, ``8`` where nothing else is left, ``8 (no interval)``."""
    if at_least:
        return f"at least {epochs:g}" + (f" ({low:g} not excluded)" if low < epochs else "")
    if np.isnan(low):
        return f"{epochs:g} (no interval)"
    if low == high:
        return f"{epochs:g}"
    return (
        f"{epochs:g} ({low:g} or more)" if np.isinf(high) else f"{epochs:g} ({low:g} to {high:g})"
    )
