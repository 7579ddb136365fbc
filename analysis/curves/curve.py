"""Curves over report trials: a measure against sparsity, length or cost, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from sparsetune.errors import SparsetuneError

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..drawers import draw
from ..estimates.captions import interval_sentences, replicates_name
from ..estimates.intervals import MAX_MORE_SEEDS
from ..estimates.means import (
    GAP_BASELINES,
    MEAN_STATISTICS,
    Gap,
    add_dense_points,
    cell_means,
    cell_values,
    find_field,
    require_measured,
    require_one_cell_each,
    sort_points,
)
from ..estimates.pooled import POOLING_COLUMNS
from ..measure import Measure
from ..notebook import Shown
from ..tables.results import Results
from ..wording import cell_phrase

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Cost = Literal["train_flops", "gpu_hours"]
COST_SOURCES: dict[Cost, tuple[str, float]] = {
    "train_flops": ("train_flops", 1.0),
    "gpu_hours": ("seconds", 1 / 3600),
}
"""Source of each cost of a cell: the column whose mean over report seeds it is, and a factor."""
MIN_SHOWN_HOURS = 1 / 60
"""A report shows hours if a training took longer; shorter times measure start-up and noise."""
SPARSITY_AXES = ("density", "linear", "logit")
"""Scales of an axis of sparsity s: -ln(1 - s), s, or ln(s / (1 - s))."""
AXIS_UNITS = {"epochs": "epochs", "train_flops": "dense epochs of FLOPs", "gpu_hours": "hours"}
MAX_NAMED_POINTS = 3
"""Points that a note names one by one."""


@dataclass(frozen=True)
class Curve(Shown):
    """A measure of the report trials against ``x``: numbers first (`frame`), then the figure.

    Args:
        y: The measure.
        x: ``sparsity``, ``epochs`` (the whole training, multiplier included), ``train_flops`` or
            ``gpu_hours``.
        by: The dotted field that separates the lines of an arm; None for one line.
        points: Rows that `frame` returns.
        level: Coverage of the intervals, in (0, 1).
        like: Columns that cells share whose standard deviations are pooled.
        gap: Baseline that is subtracted from the winner's ``y``; None for ``y`` itself.
        runs: Name of the runs that the means are over: ``report seeds``, or ``runs`` if nothing
            was selected.
    """

    y: Measure
    x: str
    by: str | None
    points: pd.DataFrame
    level: float = 0.95
    like: tuple[str, ...] = POOLING_COLUMNS
    gap: Gap | None = None
    runs: str = "report seeds"

    def frame(self) -> pd.DataFrame:
        """One row per arm, line and x.

        Columns: ``arm``, the field ``by``, ``x``; ``n mean sd pooled_sd df low high`` over report
        seeds; ``diverged``, the number of report trials that did (then the mean is NaN, never that
        of the survivors); ``learned_nothing``, the number that gave every test example one answer;
        ``difference difference_df difference_low difference_high`` to the dense twins, paired by
        seed (with a ``gap``, to that baseline); ``unpaired``, True where both are means that a
        table gives, so that the difference is of independent runs, with Welch's interval;
        ``more_seeds`` until a difference whose interval holds 0 would exclude it, if mean and
        spread stayed, infinite above 1000 and NaN if the interval excludes 0; ``iqm``, from n = 8;
        ``interval``, ``t`` or from n = 10 ``bootstrap``; ``configurations``, the number behind the
        mean, and where they are several, their spread, ``spread_low spread_high``: the lowest and
        highest mean of one, which is no interval.
        """
        return self.points.copy()

    def plot(self, ax: Axes | None = None, axis: str = "density") -> Figure:
        """Draw means and intervals: a panel per arm, or all arms into ``ax``.

        Args:
            ax: Where to draw; a new figure by default.
            axis: Scale of an axis of sparsity: ``density`` (-ln(1 - s)), ``linear`` or ``logit``
                (dense stands apart).

        Raises:
            SparsetuneError: if there is no such axis, or no point.
        """
        if axis not in SPARSITY_AXES:
            raise SparsetuneError(f"`axis` must be one of {', '.join(SPARSITY_AXES)}, got `{axis}`")
        if self.points.empty:
            raise SparsetuneError(
                f"there is nothing to draw: no cell has a finished report trial with {self.y}"
            )
        return draw(self, ax=ax, axis=axis)

    def note(self) -> str:
        """Meaning of the marks and bars, for a caption, and points that are not settled."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        if self.gap:
            paired = "curve_gap_twin" if self.gap == "twin" else "curve_gap_control"
            is_unpaired = len(self.points) > 0 and self.points["unpaired"].all()
            yield write("curve_gap_means" if is_unpaired else paired)
        yield from interval_sentences(self.points, self.level, self.like, self.runs)
        yield from self._unsettled_sentences()

    def _unsettled_sentences(self) -> Iterator[Sentence]:
        """Sentences on the points whose difference has an interval that holds 0."""
        baseline = GAP_BASELINES[self.gap or "twin"]
        vague = self.points[self.points["more_seeds"].notna()]
        if vague.empty:
            return
        # A caption that names many points is not read: then only their number is given.
        if len(vague) > MAX_NAMED_POINTS:
            compared = self.points["difference_low"].notna().sum()
            yield write(
                "curve_unsettled_count", count=len(vague), compared=compared, baseline=baseline
            )
        else:
            for row in vague.to_dict("records"):
                point = self._point_name(row)
                yield write("curve_unsettled", point=point, baseline=baseline)
        if np.isinf(vague["more_seeds"]).any():
            yield write("curve_unsettled_seeds", most=f"{MAX_MORE_SEEDS:,}")

    def _point_name(self, row: Mapping[Any, Any]) -> str:
        """Name of a point within a sentence: ``GMP at 98 % (2x training)``."""
        cell = {"arm": row["arm"]}
        if self.by:
            cell |= {self.by: row[self.by]}
        if self.x == "sparsity":
            return cell_phrase(cell | {"sparsity": row["sparsity"]})
        return f"{cell_phrase(cell)} ({row[self.x]:.3g} {AXIS_UNITS[self.x]})"


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
    """Curve of every cell's winner against sparsity, over fresh report seeds.

    The dense cell starts every arm's lines.

    Args:
        results: The study.
        y: A measured column.
        by: Dotted field with a line for each of its values; None for one line.
        where: Dotted fields and their values, if the study sweeps more axes than sparsity and
            ``by``; cells to which a field does not apply stay.
        like: Columns of the frame that cells share which are taken to vary alike: their standard
            deviations are pooled. By default all cells of one arm and sparsity; ``()`` for all
            cells of the curve.
        level: Coverage of the intervals, in (0, 1).
        gap: ``twin`` for ``y`` minus that of the dense twins, ``control`` for the winner minus the
            dense recipe run unchanged (the gain of re-tuning), both paired by seed; cells that have
            none are left out.
        seed: Seed of the bootstrap, which replaces the t interval from n = 10 on.

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
    """Curve of every cell's winner against epochs of training, multiplier included.

    There is a line per sparsity, as in the figure of arXiv 2308.02060. Arguments and errors are
    those of `sparsity_curve`.
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
    """Curve of every cell's winner against the mean cost of its report trials: a line per sparsity.

    ``x`` is ``train_flops``, in dense epochs, or ``gpu_hours``, the hours of training and
    evaluation of one trial on its device: comparable only if every trial had the same device and
    the same share of it. Other arguments are those of `sparsity_curve`.

    Raises:
        SparsetuneError: as in `sparsity_curve`, and if no cell has the cost.
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
    """Curve against any ``x``; arguments are those of `sparsity_curve`."""
    cells = cell_means(results, y, where, like, level, gap=gap, seed=seed)
    # After `cell_means`, so that an unknown name is reported before a missing measurement.
    require_measured(results, y)
    for cost in COST_SOURCES:
        if x == cost:
            cells = _add_cost(results, cells, cost, where)
    line_field = [find_field(by, cells)] if by else []
    keys = list(dict.fromkeys(["arm", *line_field, x]))
    # Sparsity is needed to find dense cells, and may be the x axis already.
    columns = list(dict.fromkeys([*keys, "sparsity", *MEAN_STATISTICS]))
    points = add_dense_points(cells[columns])
    require_one_cell_each(points, keys, f"give `by` (now {by}) or `where`")
    points = sort_points(points, keys)[[*keys, *MEAN_STATISTICS]]
    runs = replicates_name(results)
    return Curve(results.measure(y), x, by, points, level, tuple(like), gap, runs)


def _add_cost(
    results: Results, cells: pd.DataFrame, cost: Cost, where: Mapping[str, Any] | None
) -> pd.DataFrame:
    """The cells whose cost was measured, with the cost as a column.

    Raises:
        SparsetuneError: if there is no such cell.
    """
    column, factor = COST_SOURCES[cost]
    mean = factor * cell_values(results, column, where)[1].mean(axis=1)
    # With a gap, cells without a baseline are gone already: their costs are not needed.
    priced = cells.assign(**{cost: mean.reindex(cells.index)}).dropna(subset=cost)
    if priced.empty:
        raise SparsetuneError(
            f"a curve against {cost} needs `{column}` of report trials, of which there is none"
        )
    return priced


def displayed_costs(results: Results, where: Mapping[str, Any] | None = None) -> list[Cost]:
    """Costs that a report shows: those that were measured, and hours only of longer trainings."""
    shown: list[Cost] = []
    for cost, (column, factor) in COST_SOURCES.items():
        spent = factor * cell_values(results, column, where)[1].to_numpy(dtype=np.float64)
        # Costs that were not measured are NaN, which is above no threshold.
        threshold = MIN_SHOWN_HOURS if cost == "gpu_hours" else 0
        if (spent > threshold).any():
            shown.append(cost)
    return shown
