"""Is a cell under-trained? Only if the next longer training lowers its training loss and improves its validation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.estimates.intervals import estimate_means, seeds_needed, unseparated_text
from analysis.estimates.means import (
    POOLING_COLUMNS,
    cell_values,
    direction_of,
    format_span,
    sort_points,
)
from analysis.exhibit import Exhibit
from analysis.lengths.steps import length_gains, length_lines, validation_measure
from analysis.quantities import difference_unit, display_factor, measure_name
from analysis.tables.results import Results
from analysis.tables.selection import report_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNDERTRAINING_VERDICTS = ("under-trained", "saturated", "over-trained", "cannot tell")
SLOPE_WINDOW = 0.1
"""Part of training over which the slope of the validation loss is taken."""
STEP_COLUMNS = ["n", "gain", "gain_sd", "gain_df", "gain_low", "gain_high", "more_seeds"]
STEP_COLUMNS += ["train_loss_change", "train_loss_change_low", "train_loss_change_high"]
SUPPORTING_STATISTICS = ("train_loss_gap", "train_entropy_gap", "slope")


@dataclass(frozen=True)
class Undertraining:
    """Whether each cell was trained for long enough: numbers (`frame`), then a map of the verdicts (`plot`).

    Args:
        y: The validation column that has to improve.
        epsilon: By more than this, in its units: 0.002 of an accuracy is 0.2 points.
        rows: What `frame` returns.
        level: Coverage of the intervals.
    """

    y: str
    epsilon: float
    rows: pd.DataFrame
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per cell, dense ones too, in the order of arms, sparsities and lengths.

        Columns: ``arm sparsity``, other sweep axes, ``epochs to_epochs`` (the next longer length, trained anew with its
        whole schedule); ``verdict`` and ``reason``; ``sure``, False where it is saturated only because nothing else was
        shown; ``n gain gain_sd gain_df gain_low gain_high``, what validation improves by, positive where it does,
        paired by seed; ``more_seeds`` until a gain of that size would be told from 0, or one below epsilon from
        epsilon; ``train_loss_change`` with ``_low _high``. As support only, each with its ``_low`` and ``_high``:
        ``train_loss_gap train_entropy_gap`` to the dense twin, and ``slope``, the change of the validation loss in nats
        over the last tenth of training.
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw the verdicts: a panel per arm, a tile per sparsity and length, with its letter and gain.

        Raises:
            SparsetuneError: if there is nothing to draw.
        """
        from analysis.lengths import figures

        return figures.draw_verdicts(self)

    def note(self) -> str:
        """What the verdicts mean, for a caption, and how many false ones to expect."""
        counted = difference_unit(self.y)
        judged = self.rows[self.rows["gain_low"].notna()]
        if judged.empty:
            return "No cell can be judged: that takes two lengths of training and two report seeds that differ."
        chance = (1 - self.level) / 2 * len(judged)
        return (
            f"U, under-trained: the next longer training, with its whole schedule, lowers training loss and improves"
            f" {measure_name(self.y).lower()} by more than {display_factor(self.y) * self.epsilon:g} {counted},"
            f" both intervals excluding 0. O, over-trained: validation worsens likewise."
            f" S, saturated: neither; pale where a gain above {display_factor(self.y) * self.epsilon:g} {counted} is not"
            f" excluded. ?, cannot tell: nothing longer was run. Below each letter the gain in {counted}, paired by"
            f" seed, n = {format_span(judged['n'])}; {100 * self.level:g} % intervals, t to n = 9 with the standard deviation"
            f" pooled with those of the next lengths (df {format_span(judged['gain_df'])}), bootstrap from n = 10, not"
            f" corrected for the {len(judged)} cells judged: where nothing is there, up to {chance:.1f}"
            " of them would be called under-trained and as many over-trained by chance."
        )


def undertraining(
    results: Results,
    y: str | None = None,
    *,
    epsilon: float = 0.002,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Undertraining:
    """Judge every cell by the next longer one of its arm and sparsity, which was scheduled for its whole length.

    ``under-trained`` if and only if the training loss falls and ``y`` improves by more than ``epsilon``, the intervals
    of both excluding 0; ``over-trained`` where ``y`` worsens, its interval excluding 0; ``cannot tell`` at the longest
    length; ``saturated`` otherwise. High loss alone says nothing: a network at its capacity limit has it and gains
    nothing.

    Args:
        results: The study.
        y: The column to improve; by default the first measured of ``val_score val_accuracy val_error val_loss``.
        epsilon: What a gain must exceed, in units of ``y``.
        where: Dotted fields and their values, as in `sparsity_curve`.
        level: Coverage of the intervals.
        seed: Of the bootstrap, which takes over from the t interval at n = 10.

    Raises:
        SparsetuneError: if a name is unknown or no validation column was measured.
    """
    y = validation_measure(results, where, y)
    cells, values, _ = cell_values(results, y, where)
    losses = cell_values(results, "train_loss", where)[1]
    others = [path for path in results.design.other_axes() if path in cells]
    found = list(length_lines(cells, values, others))
    gained = _next_steps(
        length_gains(found, direction_of(y) * values, cells["epochs"], level, seed)
    )
    changed = _next_steps(length_gains(found, losses, cells["epochs"], level, seed))
    rows = []
    for line in found:
        for cell in line:
            gain = gained.get(cell, {})
            row = {
                "cell": cell,
                "to_epochs": gain.get("to", np.nan),
                **_step_row(gain, changed.get(cell, {}), level, epsilon),
            }
            rows.append(row | _verdict(row, epsilon, y))
    names = ["to_epochs", "verdict", "reason", "sure", *STEP_COLUMNS]
    judged = pd.DataFrame(rows, columns=["cell", *names]).set_index("cell")
    judged = judged.astype(
        {"sure": "boolean", "n": "Int64", "verdict": "string", "reason": "string"}
    )
    judged = cells[["arm", "sparsity", *others, "epochs"]].join(judged, how="inner")
    judged = judged.join(_support(results, where, level, seed))
    return Undertraining(
        y, epsilon, sort_points(judged, ["arm", "sparsity", *others, "epochs"]), level
    )


def exhibits(results: Results, y: str, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """The map of verdicts, if a cell can be judged; always by validation, whatever ``y`` the report shows."""
    if not validation_measure(results, where, None, required=False):
        return
    found = undertraining(results, where=where)
    if found.frame()["gain_low"].notna().any():
        columns = {
            "arm": "Arm",
            "sparsity": "Sparsity",
            "epochs": "Epochs",
            "verdict": "Verdict",
            "reason": "Why",
        }
        title = "Which cells are under-trained"
        yield Exhibit("verdicts", title, found.frame(), found.note(), found.plot, columns)


def _next_steps(pairs: pd.DataFrame) -> dict[Any, dict[Any, Any]]:
    """The step from each cell to the next longer one, by cell."""
    return {row["cell"]: row for row in pairs[pairs["step"] == 1].to_dict("records")}


def _step_row(
    gain: Mapping[Any, Any], loss: Mapping[Any, Any], level: float, epsilon: float
) -> dict[str, Any]:
    mean = gain.get("mean", np.nan)
    df = gain.get("df", np.nan)
    n = gain.get("n", 0)
    low = gain.get("low", np.nan)
    high = gain.get("high", np.nan)
    goal = mean if mean > epsilon else mean - epsilon
    unknown = low <= 0 if mean > epsilon else high > epsilon
    more = (
        float(seeds_needed(goal, gain.get("pooled_sd", np.nan), n, level, df))
        if unknown
        else np.nan
    )
    step = {"n": n, "gain": mean, "gain_sd": gain.get("pooled_sd", np.nan), "gain_df": df}
    step |= {"gain_low": low, "gain_high": high, "more_seeds": max(more, 1.0)}
    changes = {"": "mean", "_low": "low", "_high": "high"}
    return step | {
        f"train_loss_change{end}": loss.get(name, np.nan) for end, name in changes.items()
    }


def _verdict(row: Mapping[str, Any], epsilon: float, y: str) -> dict[str, Any]:
    factor = display_factor(y)
    counted = difference_unit(y)
    if pd.isna(row["to_epochs"]):
        return {"verdict": "cannot tell", "reason": "nothing longer was run", "sure": pd.NA}
    if pd.isna(row["gain_low"]):
        return {
            "verdict": "cannot tell",
            "reason": f"no interval: {_missing_seeds_reason(row['n'])}",
            "sure": pd.NA,
        }
    ends = f"[{factor * row['gain_low']:+.2f}, {factor * row['gain_high']:+.2f}]"
    gain = f"{factor * row['gain']:+.2f} {ends} {counted}"
    reason = f"{gain} by {row['to_epochs']:g} epochs at n = {row['n']}"
    loss = f"; training loss {row['train_loss_change']:+.3f}"
    loss += f" [{row['train_loss_change_low']:+.3f}, {row['train_loss_change_high']:+.3f}]"
    if row["gain_high"] < 0:
        return {"verdict": "over-trained", "reason": reason, "sure": True}
    if row["gain"] > epsilon and row["gain_low"] > 0:
        if pd.isna(row["train_loss_change_low"]):
            return {
                "verdict": "cannot tell",
                "reason": f"{reason}; no training loss was measured",
                "sure": pd.NA,
            }
        if row["train_loss_change_high"] < 0:
            return {"verdict": "under-trained", "reason": reason + loss, "sure": True}
        return {
            "verdict": "saturated",
            "reason": f"{reason}{loss}, not shown to fall",
            "sure": False,
        }
    sure = bool(row["gain_high"] <= epsilon)
    against = "0" if row["gain"] > epsilon else f"{factor * epsilon:g} {counted}"
    vague = "" if sure else f"; {unseparated_text(row['n'], row['more_seeds'], against)}"
    return {"verdict": "saturated", "reason": reason + vague, "sure": sure}


def _missing_seeds_reason(n: float) -> str:
    return "no two report seeds" if n < 2 else f"all {n} report seeds gained the same"


def _support(
    results: Results, where: Mapping[str, Any] | None, level: float, seed: int
) -> pd.DataFrame:
    """Per cell, each of `SUPPORTING_STATISTICS` with its ends."""
    parts = []
    for name in SUPPORTING_STATISTICS:
        if name == "slope":
            cells = cell_values(results, "val_loss", where)[0]
            values = _slopes(results)
            values = values.reindex(cells.index)
        else:
            cells, own, twins = cell_values(results, name.removesuffix("_gap"), where)
            values = own - twins
        groups = [tuple(row) for row in cells[list(POOLING_COLUMNS)].itertuples(index=False)]
        found = estimate_means(values, groups, level, seed).set_index(cells.index)[
            ["mean", "low", "high"]
        ]
        parts.append(found.set_axis([name, f"{name}_low", f"{name}_high"], axis=1))
    return pd.concat(parts, axis=1)


def _slopes(results: Results) -> pd.DataFrame:
    """Change of the validation loss over the last tenth of training, a least-squares line: [n_cells, n_seeds], nats."""
    rows = report_rows(results)[["cell", "seed", "trial_id", "status"]]
    history = results.history()
    rows = rows[rows["status"] == "COMPLETE"]
    if "val_loss" not in history or "progress" not in history:
        return pd.DataFrame(index=rows["cell"].unique())
    late = history.loc[
        history["progress"] >= 1 - SLOPE_WINDOW - 1e-9, ["trial_id", "progress", "val_loss"]
    ].dropna()
    late = late[late["trial_id"].isin(rows["trial_id"])].astype(
        {"progress": "float64", "val_loss": "float64"}
    )
    centred = late[["progress", "val_loss"]] - late.groupby("trial_id")[
        ["progress", "val_loss"]
    ].transform("mean")
    products = pd.DataFrame(
        {"xy": centred["progress"] * centred["val_loss"], "xx": centred["progress"] ** 2}
    )
    sums = products.groupby(late["trial_id"]).sum()
    slopes = SLOPE_WINDOW * sums["xy"] / sums["xx"].where(sums["xx"] > 0)
    rows = rows.assign(slope=rows["trial_id"].map(slopes)).drop_duplicates(["cell", "seed"])
    return rows.pivot(index="cell", columns="seed", values="slope").astype("float64")
