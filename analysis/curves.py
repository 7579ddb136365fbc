"""Curves over report trials: a column against sparsity or training length, with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.results import Results
from analysis.select import dense_arm_of, report_rows
from analysis.statistics import estimate
from sparsetune.errors import SparsetuneError
from sparsetune.tables import FINAL, MEASURED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = tuple(column.name for column in (*MEASURED, *FINAL) if column.dtype == "float64")
"""What may stand on the y axis."""
STATISTICS: tuple[str, ...] = ("n", "mean", "sd", "pooled_sd", "df", "low", "high", "diverged")
STATISTICS += ("difference", "difference_df", "difference_low", "difference_high")
"""Of a cell's values over report seeds; what they are, `Curve.frame` says."""
LIKE = ("arm", "sparsity")
"""Columns that cells share whose spreads are pooled: methods differ in theirs, as does one method in its sparsities."""


@dataclass(frozen=True)
class Curve:
    """A column of the report trials against ``x``: numbers first (`frame`), then the picture (`plot`).

    Args:
        y: The measured column.
        x: ``sparsity`` or ``epochs`` (the whole training, multiplier included).
        by: The dotted field that separates the lines of an arm; None for one line.
        points: What `frame` returns.
        level: Coverage of the intervals.
        like: What cells share whose standard deviations are pooled.
    """

    y: str
    x: str
    by: str | None
    points: pd.DataFrame
    level: float = 0.95
    like: tuple[str, ...] = LIKE

    def frame(self) -> pd.DataFrame:
        """One row per arm, line and x.

        Columns: ``arm``, the field ``by``, ``sparsity`` or ``epochs``; ``n mean sd pooled_sd df low high`` over report
        seeds; ``diverged`` (report trials that did: then no mean is given, never that of the survivors);
        ``difference difference_df difference_low difference_high`` to the dense twins, paired by seed.
        """
        return self.points.copy()

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw means and intervals: a panel per arm, or all arms into ``ax``."""
        from analysis import draw

        return draw.curve(self, ax)

    def note(self) -> str:
        """What the marks and bars mean, for a caption."""
        return interval_note(self.points, self.level, self.like)


def sparsity_curve(
    results: Results,
    y: str = "test_accuracy",
    by: str | None = "schedule.epoch_multiplier",
    *,
    where: Mapping[str, Any] | None = None,
    like: Sequence[str] = LIKE,
    level: float = 0.95,
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

    Raises:
        SparsetuneError: if a name is unknown, or a point would mix several cells.
    """
    return _curve(results, y, "sparsity", by, where, like, level)


def length_curve(
    results: Results,
    y: str = "test_accuracy",
    by: str | None = "sparsity.target",
    *,
    where: Mapping[str, Any] | None = None,
    like: Sequence[str] = LIKE,
    level: float = 0.95,
) -> Curve:
    """``y`` of every cell's winner against epochs of training, multiplier included: a line per sparsity.

    The figure of arXiv 2308.02060; arguments and errors as in `sparsity_curve`.
    """
    return _curve(results, y, "epochs", by, where, like, level)


def cell_values(
    results: Results, y: str, where: Mapping[str, Any] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """What every cell's winner measured, by report seed.

    Returns:
        One row per cell with ``arm sparsity epochs diverged`` and the configuration's fields; the values of ``y``,
        shape [n_cells, n_seeds], NaN where a trial is not COMPLETE or a seed of the cell diverged; those of the twins.

    Raises:
        SparsetuneError: if ``y`` or a field in ``where`` is unknown.
    """
    if y not in MEASURES:
        raise SparsetuneError(f"`y` must be one of {', '.join(MEASURES)}, got `{y}`")
    rows, trials = report_rows(results), results.trials().set_index("trial_id")
    for path, value in (where or {}).items():
        rows = rows[(rows[_known(path, rows)] == value) | rows[path].isna()]
    finished = trials[y].where(trials["status"] == "COMPLETE")
    diverged = (rows["status"] == "DIVERGED").groupby(rows["cell"]).transform("sum")
    rows = rows.assign(sparsity=rows["sparsity.target"], diverged=diverged.astype("int64"))
    rows["value"] = np.where(rows["diverged"] == 0, finished.reindex(rows["trial_id"]), np.nan)
    rows["twin"] = finished.reindex(rows["twin_id"]).to_numpy()
    cells = rows.drop_duplicates("cell").set_index("cell")
    value, twin = (rows.pivot(index="cell", columns="seed", values=v).reindex(cells.index) for v in ("value", "twin"))
    return cells, value, twin


def _curve(
    results: Results,
    y: str,
    x: str,
    by: str | None,
    where: Mapping[str, Any] | None,
    like: Sequence[str],
    level: float,
) -> Curve:
    cells = cell_means(results, y, where, like, level)
    keys = ["arm", *([_known(by, cells)] if by else []), x]
    points = with_dense(cells[list(dict.fromkeys([*keys, "sparsity", *STATISTICS]))])
    require_one_cell_each(points, keys, f"give `by` (now {by}) or `where`")
    return Curve(y, x, by, in_order(points, keys)[[*keys, *STATISTICS]], level, tuple(like))


def cell_means(
    results: Results,
    y: str,
    where: Mapping[str, Any] | None = None,
    like: Sequence[str] = LIKE,
    level: float = 0.95,
) -> pd.DataFrame:
    """One row per cell, by its name: ``arm sparsity epochs``, the configuration's fields, and `STATISTICS` of ``y``.

    Raises:
        SparsetuneError: if ``y`` or a field in ``where`` is unknown.
    """
    cells, values, twins = cell_values(results, y, where)
    groups = [tuple(row) for row in cells[list(like)].itertuples(index=False)]
    points = estimate(values, groups, level).set_index(cells.index)
    pairs = estimate(values - twins, groups, level).set_index(cells.index)
    points = points.assign(diverged=cells["diverged"], difference=pairs["mean"], difference_df=pairs["df"])
    points = points.assign(difference_low=pairs["low"], difference_high=pairs["high"])
    fields = [name for name in map(str, cells) if "." in name]
    return cells[["arm", "sparsity", "epochs", *fields]].join(points[list(STATISTICS)])


def with_dense(points: pd.DataFrame) -> pd.DataFrame:
    """The points of the sparse arms, each with those of its dense arm as its own; dense arms without any stay."""
    dense = list(dict.fromkeys(points.loc[points["sparsity"] == 0, "arm"]))
    sparse = list(dict.fromkeys(points.loc[points["sparsity"] > 0, "arm"]))
    mine = {arm: dense_arm_of(arm, dense) for arm in sparse}
    alone = points[points["arm"].isin(set(dense) - set(mine.values()) - set(sparse))]
    parts = [alone]
    for arm in sparse:
        own = points[(points["arm"] == arm) | (points["arm"] == mine[arm])]
        parts.append(own.assign(arm=arm))
    return pd.concat(parts)


def in_order(points: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The points sorted by ``keys``, arms as they come in ``points``; with a new index."""
    rank = {arm: place for place, arm in enumerate(dict.fromkeys(points["arm"]))}
    return points.sort_values(
        list(keys), key=lambda column: column.map(rank) if column.name == "arm" else column, ignore_index=True
    )


def interval_note(points: pd.DataFrame, level: float, like: Sequence[str] = LIKE) -> str:
    """How many seeds stand behind the means, and what the intervals are."""
    given = points[points["n"] > 0]
    if given.empty:
        return "No report trial has finished."
    seeds, df = _span(given["n"]), _span(given["df"])
    note = f"Means over n = {seeds} report seeds"
    if (given["df"] == 0).all():
        return f"{note}; one seed each, so no interval can be given."
    note += f"; bars: {100 * level:g} % t intervals"
    if (given["df"] > given["n"] - 1).any():
        note += f", standard deviation pooled over cells of the same {' and '.join(like) or 'study'}"
    note += f" (df {df})."
    return note + (" Cells with a diverged report seed have no mean." if (points["diverged"] > 0).any() else "")


def _span(values: pd.Series[Any]) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"


def _known(path: str, frame: pd.DataFrame) -> str:
    if "." not in path or path not in frame:
        fields = ", ".join(name for name in frame.columns if "." in name)
        raise SparsetuneError(f"a field of the configuration must be one of {fields}, got `{path}`")
    return path


def require_one_cell_each(points: pd.DataFrame, keys: Sequence[str], remedy: str) -> None:
    """Raise where several cells, which ``points`` has as its index, share a point.

    Raises:
        SparsetuneError: naming the first.
    """
    repeated = points[points.duplicated(list(keys), keep=False)]
    if len(repeated):
        point = ", ".join(f"{key} {repeated[key].iloc[0]}" for key in keys)
        same = repeated.index[(repeated[list(keys)] == repeated[list(keys)].iloc[0]).all(axis=1)]
        names = ", ".join(f"`{name}`" for name in same)
        raise SparsetuneError(f"a point of the curve must be one cell, got {names} at {point}; {remedy}")
