"""Curves over report trials: a column against sparsity, length or cost, with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from analysis.estimates.intervals import MAX_MORE_SEEDS, unseparated_text
from analysis.estimates.means import (
    GAP_BASELINES,
    MEAN_STATISTICS,
    POOLING_COLUMNS,
    Gap,
    add_dense_points,
    cell_means,
    cell_values,
    find_field,
    interval_note,
    is_measured,
    replicates_name,
    require_measured,
    require_one_cell_each,
    sort_points,
)
from analysis.exhibit import Exhibit
from analysis.quantities import line_name, measure_name
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Cost = Literal["train_flops", "gpu_hours"]
COST_SOURCES: dict[Cost, tuple[str, float]] = {
    "train_flops": ("train_flops", 1.0),
    "gpu_hours": ("seconds", 1 / 3600),
}
"""What a cell may have cost: the column whose mean over report seeds it is, and what that is multiplied with."""
LEAST_HOURS = 1 / 60
"""A report shows hours where a training took longer; below they tell of start-up and noise."""
SPARSITY_AXES = ("density", "linear", "logit")
"""How sparsity may lie on its axis: by -ln(1 - s), as it is, or by ln(s / (1 - s))."""
SUPPORTING_MEASURES = ("train_loss", "val_loss", "train_entropy", "val_entropy")
AXIS_UNITS = {"epochs": "epochs", "train_flops": "dense epochs of FLOPs", "gpu_hours": "hours"}
MAX_NAMED_POINTS = 3
"""Points that a note names one by one."""


@dataclass(frozen=True)
class Curve:
    """A column of the report trials against ``x``: numbers first (`frame`), then the picture (`plot`).

    Args:
        y: The measured column.
        x: ``sparsity``, ``epochs`` (the whole training, multiplier included), ``train_flops`` or ``gpu_hours``.
        by: The dotted field that separates the lines of an arm; None for one line.
        points: What `frame` returns.
        level: Coverage of the intervals.
        like: What cells share whose standard deviations are pooled.
        gap: Of what ``y`` is the winner's difference; None where it is ``y`` itself.
        runs: What the means are over: ``report seeds``, or ``runs`` where nothing was selected.
    """

    y: str
    x: str
    by: str | None
    points: pd.DataFrame
    level: float = 0.95
    like: tuple[str, ...] = POOLING_COLUMNS
    gap: Gap | None = None
    runs: str = "report seeds"

    def frame(self) -> pd.DataFrame:
        """One row per arm, line and x.

        Columns: ``arm``, the field ``by``, ``x``; ``n mean sd pooled_sd df low high`` over report seeds; ``diverged``
        (report trials that did: then no mean is given, never that of the survivors); ``difference difference_df
        difference_low difference_high`` to the dense twins, paired by seed (with a ``gap``, to that); ``more_seeds``
        until a difference whose interval holds 0 would exclude it, if mean and spread stayed, infinite above 1000;
        ``iqm``, from n = 8; ``interval``, ``t`` or from n = 10 ``bootstrap``.
        """
        return self.points.copy()

    def plot(self, ax: Axes | None = None, axis: str = "density") -> Figure:
        """Draw means and intervals: a panel per arm, or all arms into ``ax``.

        Args:
            ax: Where to draw; a new figure by default.
            axis: How sparsity lies on its axis: ``density`` (-ln(1 - s)), ``linear`` or ``logit`` (dense stands apart).

        Raises:
            SparsetuneError: if there is no such axis, or no point.
        """
        from analysis.curves.figures import draw_curve

        if axis not in SPARSITY_AXES:
            raise SparsetuneError(f"`axis` must be one of {', '.join(SPARSITY_AXES)}, got `{axis}`")
        if self.points.empty:
            raise SparsetuneError(
                f"there is nothing to draw: no cell has a finished report trial with {self.y}"
            )
        return draw_curve(self, ax, axis)

    def note(self) -> str:
        """What the marks and bars mean, for a caption, and which differences n does not show."""
        subject = f"Winner minus {GAP_BASELINES[self.gap]}, paired by seed. " if self.gap else ""
        return (
            subject
            + interval_note(self.points, self.level, self.like, self.runs)
            + self._unseparated_points()
        )

    def _unseparated_points(self) -> str:
        """The points whose difference is not separated from 0."""
        other = GAP_BASELINES[self.gap or "twin"]
        compared = self.points["difference_low"].notna().sum()
        vague = self.points[self.points["more_seeds"].notna()]
        if len(vague) > MAX_NAMED_POINTS:
            least = vague["more_seeds"].min()
            most = vague["more_seeds"].max()
            upper = f"{most:.0f}" if np.isfinite(most) else f"more than {MAX_MORE_SEEDS}"
            subject = f" {len(vague)} of {compared} points are {unseparated_text(vague['n'].min(), np.nan, other)}"
            return f"{subject}: about {least:.0f} to {upper} more seeds each."
        names = (self._point_name(row) for row in vague.to_dict("records"))
        notes = (
            unseparated_text(n, k, other)
            for n, k in zip(vague["n"], vague["more_seeds"], strict=True)
        )
        return "".join(f" {name}: {note}." for name, note in zip(names, notes, strict=True))

    def _point_name(self, row: Mapping[Any, Any]) -> str:
        x = (
            f"{100 * row['sparsity']:.10g} %"
            if self.x == "sparsity"
            else f"{row[self.x]:.3g} {AXIS_UNITS[self.x]}"
        )
        return ", ".join(
            filter(None, [row["arm"], line_name(self.by, row[self.by]) if self.by else "", x])
        )


def sparsity_curve(
    results: Results,
    y: str = "test_accuracy",
    by: str | None = "schedule.epoch_multiplier",
    *,
    where: Mapping[str, Any] | None = None,
    like: Sequence[str] = POOLING_COLUMNS,
    level: float = 0.95,
    gap: Gap | None = None,
    seed: int = 0,
) -> Curve:
    """``y`` of every cell's winner against sparsity, over fresh report seeds; the dense cell starts every arm's lines.

    Args:
        results: The study.
        y: A measured column.
        by: Dotted field with a line for each of its values; None for one line.
        where: Dotted fields and their values, where the study sweeps more axes than sparsity and ``by``; cells where a
            field does not apply stay.
        like: Columns of the frame that cells share which are taken to vary alike; their standard deviation is pooled.
            By default all cells of one arm and sparsity; ``()`` for all cells of the curve.
        level: Coverage of the intervals.
        gap: ``twin`` for ``y`` minus that of the dense twins, ``control`` for the winner minus the dense recipe run
            unchanged (what re-tuning gained), both paired by seed; cells that have none are left out.
        seed: Of the bootstrap, which takes over from the t interval at n = 10.

    Raises:
        SparsetuneError: if a name is unknown, or a point would mix several cells.
    """
    return _curve(results, y, "sparsity", by, where, like, level, gap, seed)


def length_curve(
    results: Results,
    y: str = "test_accuracy",
    by: str | None = "sparsity.target",
    *,
    where: Mapping[str, Any] | None = None,
    like: Sequence[str] = POOLING_COLUMNS,
    level: float = 0.95,
    gap: Gap | None = None,
    seed: int = 0,
) -> Curve:
    """``y`` of every cell's winner against epochs of training, multiplier included: a line per sparsity.

    The figure of arXiv 2308.02060; arguments and errors as in `sparsity_curve`.
    """
    return _curve(results, y, "epochs", by, where, like, level, gap, seed)


def cost_curve(
    results: Results,
    y: str = "test_accuracy",
    by: str | None = "sparsity.target",
    *,
    x: Cost = "train_flops",
    where: Mapping[str, Any] | None = None,
    like: Sequence[str] = POOLING_COLUMNS,
    level: float = 0.95,
    gap: Gap | None = None,
    seed: int = 0,
) -> Curve:
    """``y`` of every cell's winner against what a report trial of it cost on average: a line per sparsity.

    ``x`` is ``train_flops``, in dense epochs, or ``gpu_hours``, the training and evaluation of one trial on whatever it
    ran: comparable only where every trial had the same device and the same share of it. Other arguments as in
    `sparsity_curve`.

    Raises:
        SparsetuneError: as there; if no cell has the cost.
    """
    if x not in COST_SOURCES:
        raise SparsetuneError(f"`x` must be one of {', '.join(COST_SOURCES)}, got `{x}`")
    return _curve(results, y, x, by, where, like, level, gap, seed)


def _curve(
    results: Results,
    y: str,
    x: str,
    by: str | None,
    where: Mapping[str, Any] | None,
    like: Sequence[str],
    level: float,
    gap: Gap | None,
    seed: int,
) -> Curve:
    cells = cell_means(results, y, where, like, level, gap=gap, seed=seed)
    require_measured(results, y)
    for cost, (column, factor) in COST_SOURCES.items():
        if x == cost:
            spent = factor * cell_values(results, column, where)[1].mean(axis=1)
            cells = cells.assign(**{x: spent.reindex(cells.index)}).dropna(subset=x)
            if cells.empty:
                raise SparsetuneError(
                    f"a curve against {x} needs `{column}` of report trials, of which there is none"
                )
    keys = list(dict.fromkeys(["arm", *([find_field(by, cells)] if by else []), x]))
    points = add_dense_points(cells[list(dict.fromkeys([*keys, "sparsity", *MEAN_STATISTICS]))])
    require_one_cell_each(points, keys, f"give `by` (now {by}) or `where`")
    return Curve(
        y,
        x,
        by,
        sort_points(points, keys)[[*keys, *MEAN_STATISTICS]],
        level,
        tuple(like),
        gap,
        replicates_name(results),
    )


def exhibits(results: Results, y: str, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """Accuracy against sparsity, length and cost; its gap to the twin and gain over the dense recipe; then losses."""
    by = next(iter(results.design.lengths()), None)
    y = (
        y if is_measured(results, y) else "test_loss"
    )  # what there is where neither accuracy nor score was measured
    for column in filter(partial(is_measured, results), (y, *SUPPORTING_MEASURES)):
        yield from _curve_exhibit(sparsity_curve(results, column, by, where=where))
        for gap in GAP_BASELINES if column == y else ():
            yield from _curve_exhibit(sparsity_curve(results, y, by, where=where, gap=gap))
        if by:
            yield from _curve_exhibit(length_curve(results, column, where=where))
        for cost in displayed_costs(results, where) if by and column == y else ():
            yield from _curve_exhibit(cost_curve(results, y, x=cost, where=where))


def displayed_costs(results: Results, where: Mapping[str, Any] | None = None) -> list[Cost]:
    """The costs of `COST_SOURCES` that a report shows: those that were measured, and hours only of trainings that last."""
    shown: list[Cost] = []
    for cost, (column, factor) in COST_SOURCES.items():
        spent = factor * cell_values(results, column, where)[1].to_numpy(dtype=np.float64)
        if (spent > (LEAST_HOURS if cost == "gpu_hours" else 0)).any():
            shown.append(cost)
    return shown


def _curve_exhibit(curve: Curve) -> Iterator[Exhibit]:
    """The curve, if anything was measured."""
    if curve.frame()["n"].gt(0).any():
        against = {
            "sparsity": "sparsity",
            "epochs": "training length",
            "train_flops": "training FLOPs",
        }
        words = measure_name(curve.y) + (
            f" minus that of {GAP_BASELINES[curve.gap]}" if curve.gap else ""
        )
        name = "-".join(filter(None, [curve.y, curve.gap, curve.x]))
        title = f"{words} against {against.get(curve.x, 'hours on the device')}"
        yield Exhibit(name, title, curve.frame(), curve.note(), curve.plot)
