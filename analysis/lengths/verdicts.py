"""Verdict on the training length of every cell, by the next longer training.

A cell is under-trained only if the next longer training lowers its training loss and improves its
validation measure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..drawers import draw
from ..estimates.captions import count_words
from ..estimates.intervals import estimate_means, seeds_needed
from ..estimates.means import cell_values, sort_points
from ..estimates.pooled import spread_groups
from ..measure import NATS, Measure
from ..notebook import Shown
from ..tables.results import Results
from ..tables.selection import report_rows
from ..wording import format_interval, format_seeds
from .steps import length_gains, length_lines, require_validation_measure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SLOPE_WINDOW = 0.1
"""Last part of training over which the slope of the validation loss is fitted."""
STEP_COLUMNS = [
    "n",
    "gain",
    "gain_sd",
    "gain_df",
    "gain_low",
    "gain_high",
    "more_seeds",
    "train_loss_change",
    "train_loss_change_low",
    "train_loss_change_high",
]
UNDER_TRAINED = "under-trained"
OVER_TRAINED = "over-trained"
ENOUGH = "enough"
NOT_SETTLED = "not settled"
VERDICTS = (UNDER_TRAINED, ENOUGH, OVER_TRAINED, NOT_SETTLED)
"""Verdicts on a length of training."""
SUPPORTING_STATISTICS = ("train_loss_gap", "train_entropy_gap", "slope")
"""Statistics that stand beside a verdict and do not decide it."""


@dataclass(frozen=True)
class Undertraining(Shown):
    """Verdicts on the training length of each cell: numbers (`frame`), then a map (`plot`).

    Args:
        y: The validation measure that has to improve.
        epsilon: It must improve by more than this, in its units: 0.002 of an accuracy is 0.2
            points.
        rows: Rows that `frame` returns.
        level: Coverage of the intervals of all gains together, in (0, 1).
    """

    y: Measure
    epsilon: float
    rows: pd.DataFrame
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per cell, dense ones too, in the order of arms, sparsities and lengths.

        Columns: ``arm sparsity``, other sweep axes, ``epochs to_epochs`` (the next longer length,
        trained from scratch with its whole schedule); ``verdict``, one of `VERDICTS`, and
        ``reason``; ``n gain gain_sd gain_df gain_low gain_high``, the improvement of validation,
        positive if it improves, paired by seed; the intervals of all rows hold together, with
        probability ``level`` (Bonferroni); ``more_seeds``, the seeds to add until the
        interval of such a gain excludes 0 (or epsilon, if the gain is below it), NaN if it already
        does; ``train_loss_change`` with ``_low _high``, at the same level. As support only, each
        with its ``_low`` and ``_high``, which hold alone: ``train_loss_gap train_entropy_gap`` to
        the dense twin, and ``slope``, the change of the validation loss over the last tenth of
        training.
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw the verdicts: a panel per arm, a tile with letter and gain per sparsity and length.

        Raises:
            SparsetuneError: if there is nothing to draw.
        """
        return draw(self)

    def note(self) -> str:
        """Meaning of the verdicts, for a caption."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        judged = self.rows[self.rows["gain_low"].notna()]
        if judged.empty:
            yield write("verdicts_none")
            return
        margin = self.y.margin_text(self.epsilon)
        unit = self.y.difference_unit
        gain = f"gain in {unit}" if unit else "gain"
        yield write("verdicts_under", measure=self.y.phrase, margin=margin)
        yield write("verdicts_over", measure=self.y.phrase, margin=margin)
        yield write("verdicts_open")
        if self.y.column.startswith("test_"):
            yield write("verdicts_on_test")
        if self.rows["train_loss_change"].isna().all():
            yield write("verdicts_no_loss")
        yield write("verdicts_gain", gain=gain, n=count_words(judged["n"], "seeds"))
        wrong = f"{100 * (1 - self.level):.3g}"
        yield write("verdicts_together", count=len(judged), wrong=wrong)


def undertraining(
    results: Results,
    y: str | None = None,
    *,
    epsilon: float | None = None,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Undertraining:
    """Judge every cell by the next longer one of its arm and sparsity.

    The longer one was scheduled for its whole length. A cell is ``under-trained`` if and only if
    the training loss falls and ``y`` improves by more than ``epsilon``, the intervals of both
    excluding 0. It is ``over-trained`` if ``y`` worsens, its interval excluding 0; trained
    ``enough`` if the interval of the gain ends at ``epsilon`` or below, so that no larger one is
    left open; ``not settled`` otherwise, and at the longest length. Intervals are as wide as it
    takes for all of them to hold together, so that any verdict is wrong in at most 1 - ``level`` of
    repetitions. High loss alone says nothing: a network at its capacity limit has it and gains
    nothing.

    Args:
        results: The study.
        y: The column to improve; by default the first measured of ``val_score val_accuracy
            val_error val_loss``.
        epsilon: A gain must exceed this, in units of ``y``; by default 0.002 of a fraction, which
            is 0.2 points, or of nats. Of another measure it must be given: nobody else knows what
            counts.
        where: Dotted fields and their values, as in `sparsity_curve`.
        level: Coverage of the intervals of all gains together, in (0, 1).
        seed: Seed of the bootstrap of the supporting statistics.

    Raises:
        SparsetuneError: if a name is unknown, no validation column was measured, or `epsilon` must
            be given.
    """
    y = require_validation_measure(results, where, y)
    measure = results.measure(y)
    margin = measure.margin(epsilon, "epsilon")
    cells, values, _ = cell_values(results, y, where)
    losses = cell_values(results, "train_loss", where)[1]
    others = [path for path in results.design.other_axes() if path in cells]
    lines = list(length_lines(cells, values, others))
    epochs = cells["epochs"]
    better = measure.direction * values
    steps = sum(len(line) - 1 for line in lines)
    each = 1 - (1 - level) / max(1, steps)
    gains = _next_steps(length_gains(lines, better, epochs, each, seed))
    changes = _next_steps(length_gains(lines, losses, epochs, each, seed))
    loss_format = "{:+.3f}" if results.measure("train_loss").unit == NATS else "{:+.3g}"
    rows = []
    for line in lines:
        for cell in line:
            gain = gains.get(cell, {})
            row = {"cell": cell, "to_epochs": gain.get("to", np.nan)}
            row |= _step_row(gain, changes.get(cell, {}), each, margin)
            rows.append(row | _verdict(row, margin, measure, loss_format))
    names = ["to_epochs", "verdict", "reason", *STEP_COLUMNS]
    judged = pd.DataFrame(rows, columns=["cell", *names]).set_index("cell")
    # A column of missing values only would be of type object.
    judged = judged.astype({"n": "Int64", "verdict": "string", "reason": "string"})
    keys = ["arm", "sparsity", *others, "epochs"]
    # Cells without a value are on no line and have no row.
    judged = cells[keys].join(judged, how="inner")
    judged = judged.join(_support(results, where, level, seed))
    return Undertraining(measure, margin, sort_points(judged, keys), level)


def _next_steps(pairs: pd.DataFrame) -> dict[Any, dict[Any, Any]]:
    """Rows of `length_gains` from each cell to the next longer one, by cell."""
    neighbours = pairs[pairs["step"] == 1]
    return {row["cell"]: row for row in neighbours.to_dict("records")}


def _step_row(
    gain: Mapping[Any, Any], loss: Mapping[Any, Any], level: float, epsilon: float
) -> dict[str, Any]:
    """Columns `STEP_COLUMNS` of one cell; NaN if no longer cell was measured.

    Args:
        gain: Row of `length_gains` for validation; empty without a longer cell.
        loss: Row of `length_gains` for the training loss; empty without one.
        level: Coverage of the intervals, in (0, 1).
        epsilon: Gains up to this do not count.
    """
    mean = gain.get("mean", np.nan)
    sd = gain.get("pooled_sd", np.nan)
    df = gain.get("df", np.nan)
    n = gain.get("n", 0)
    low = gain.get("low", np.nan)
    high = gain.get("high", np.nan)
    more = np.nan
    # Seeds are asked for while a gain is not told from 0, or a smaller one from epsilon.
    if mean > epsilon and low <= 0:
        more = float(seeds_needed(mean, sd, n, level, df))
    if not mean > epsilon and high > epsilon:
        more = float(seeds_needed(mean - epsilon, sd, n, level, df))
    return {
        "n": n,
        "gain": mean,
        "gain_sd": sd,
        "gain_df": df,
        "gain_low": low,
        "gain_high": high,
        "more_seeds": max(more, 1.0),  # in this order NaN stays NaN
        "train_loss_change": loss.get("mean", np.nan),
        "train_loss_change_low": loss.get("low", np.nan),
        "train_loss_change_high": loss.get("high", np.nan),
    }


def _verdict(
    row: Mapping[str, Any], epsilon: float, y: Measure, loss_format: str
) -> dict[str, str]:
    """Columns ``verdict reason`` of one cell.

    Args:
        row: ``to_epochs`` and `STEP_COLUMNS` of the cell.
        epsilon: Gains up to this do not count.
        y: The validation measure.
        loss_format: Format of a change of the training loss.
    """
    if pd.isna(row["to_epochs"]):
        return {"verdict": NOT_SETTLED, "reason": "nothing longer was run"}
    if pd.isna(row["gain_low"]):
        return {"verdict": NOT_SETTLED, "reason": f"no interval: {_missing_seeds_reason(row['n'])}"}
    change = y.change_text(row["gain"], row["gain_low"], row["gain_high"], "+")
    gain = y.in_difference_unit(change)
    reason = f"{gain} by {row['to_epochs']:g} epochs, {format_seeds(row['n'])}"
    if row["gain_high"] < 0:
        return {"verdict": OVER_TRAINED, "reason": reason}
    if row["gain"] > epsilon and row["gain_low"] > 0:
        return _verdict_of_gain(row, reason, loss_format)
    verdict = ENOUGH if row["gain_high"] <= epsilon else NOT_SETTLED
    return {"verdict": verdict, "reason": reason}


def _verdict_of_gain(row: Mapping[str, Any], reason: str, loss_format: str) -> dict[str, str]:
    """Columns ``verdict reason`` of a cell whose validation improves: the loss decides."""
    # Validation may improve for other reasons than more training, so the loss decides.
    if pd.isna(row["train_loss_change_low"]):
        return {"verdict": NOT_SETTLED, "reason": f"{reason}; no training loss was measured"}
    names = ("train_loss_change", "train_loss_change_low", "train_loss_change_high")
    change, low, high = (row[name] for name in names)
    reason += f"; training loss {format_interval(change, low, high, 1, loss_format)}"
    if row["train_loss_change_high"] < 0:
        return {"verdict": UNDER_TRAINED, "reason": reason}
    return {"verdict": NOT_SETTLED, "reason": f"{reason}, not shown to fall"}


def _missing_seeds_reason(n: float) -> str:
    """Reason in words for a gain without an interval, from its number of seeds."""
    return "no two report seeds" if n < 2 else f"all {n} report seeds gained the same"


def _support(
    results: Results, where: Mapping[str, Any] | None, level: float, seed: int
) -> pd.DataFrame:
    """Each of `SUPPORTING_STATISTICS` with its ``_low`` and ``_high``, one row per cell."""
    parts = []
    for name in SUPPORTING_STATISTICS:
        if name == "slope":
            cells = cell_values(results, "val_loss", where)[0]
            values = _slopes(results).reindex(cells.index)
        else:
            cells, own, twins = cell_values(results, name.removesuffix("_gap"), where)
            values = own - twins
        found = estimate_means(values, spread_groups(cells), level, seed).set_index(cells.index)
        part = found[["mean", "low", "high"]]
        parts.append(part.set_axis([name, f"{name}_low", f"{name}_high"], axis=1))
    return pd.concat(parts, axis=1)


def _slopes(results: Results) -> pd.DataFrame:
    """Change of the validation loss over the last tenth of training, shape [n_cells, n_seeds].

    It is the slope of a least-squares line; NaN if a trial was evaluated only once there.
    """
    rows = report_rows(results)[["cell", "seed", "trial_id", "status"]]
    history = results.history()
    rows = rows[rows["status"] == "COMPLETE"]
    if "val_loss" not in history or "progress" not in history:
        return pd.DataFrame(index=rows["cell"].unique())
    # Progress is a quotient of steps: the margin is for its rounding.
    is_late = history["progress"] >= 1 - SLOPE_WINDOW - 1e-9
    late = history.loc[is_late, ["trial_id", "progress", "val_loss"]].dropna()
    late = late[late["trial_id"].isin(rows["trial_id"])]
    late = late.astype({"progress": "float64", "val_loss": "float64"})
    # Centred by trial, a least-squares slope is a ratio of two sums.
    means = late.groupby("trial_id")[["progress", "val_loss"]].transform("mean")
    centred = late[["progress", "val_loss"]] - means
    products = pd.DataFrame(
        {"xy": centred["progress"] * centred["val_loss"], "xx": centred["progress"] ** 2}
    )
    sums = products.groupby(late["trial_id"]).sum()
    slopes = SLOPE_WINDOW * sums["xy"] / sums["xx"].where(sums["xx"] > 0)
    rows = rows.assign(slope=rows["trial_id"].map(slopes)).drop_duplicates(["cell", "seed"])
    return rows.pivot(index="cell", columns="seed", values="slope").astype("float64")
