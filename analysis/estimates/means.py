"""Measurements of every cell's winner: values by report seed, means, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from sparsetune.errors import SparsetuneError
from sparsetune.spec.columns import FINAL_COLUMNS, MEASURED_COLUMNS

from ..tables.results import Results, cached_per_results
from ..tables.selection import dense_arm_of, report_rows
from .intervals import estimate_means, seeds_needed
from .pooled import (
    POOLING_COLUMNS,
    estimate_cells,
    spread_groups,
    welch_differences,
    with_given_means,
    with_pooled_values,
)

MEASURE_COLUMNS = tuple(
    column.name for column in (*MEASURED_COLUMNS, *FINAL_COLUMNS) if column.dtype == "float64"
)
"""Columns that may be on the y axis."""
MEAN_STATISTICS: tuple[str, ...] = (
    "n",
    "mean",
    "sd",
    "pooled_sd",
    "df",
    "low",
    "high",
    "diverged",
    "learned_nothing",
    "difference",
    "difference_df",
    "difference_low",
    "difference_high",
    "unpaired",
    "more_seeds",
    "iqm",
    "interval",
    "configurations",
    "spread_low",
    "spread_high",
)
"""Statistics of a cell's values over report seeds; `Curve.frame` explains each."""
OPEN_STATUSES = ("FAILED", "PRUNED", "RUNNING", "WAITING")
"""Statuses of a table's run that has no outcome, for whatever reason."""
Gap = Literal["twin", "control"]
GAP_BASELINES: dict[Gap, str] = {"twin": "the dense twin", "control": "the dense recipe"}
"""Baselines that a cell's winner may be compared with, seed by seed.

The twin is the dense network with the winner's recipe; the control is the sparse network with the
dense recipe, the winner of the dense search at multiplier 1.
"""


def measure_columns(results: Results) -> list[str]:
    """Columns that may be on the y axis: those of any task, then the metrics of a user's own."""
    names = [facts.column for task in results.design.measured for facts in task.metrics]
    own = [f"{split}_{name}" for split in ("val", "test") for name in names]
    trials = results.trials()
    return list(dict.fromkeys([*MEASURE_COLUMNS, *(name for name in own if name in trials)]))


def require_measure(results: Results, y: str) -> None:
    """Refuse a column that is no measure.

    Raises:
        SparsetuneError: naming those that are.
    """
    if y in MEASURE_COLUMNS:
        return  # the usual case, without asking for the tables
    known = measure_columns(results)
    if y not in known:
        raise SparsetuneError(f"`y` must be one of {', '.join(known)}, got `{y}`")


def cell_values(
    results: Results, y: str, where: Mapping[str, Any] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Values of ``y`` that every cell's winner reached, by report seed.

    A cell of which any seed diverged has no value, since the other seeds would flatter its recipe.

    Args:
        results: The study.
        y: A measured column.
        where: Dotted fields and their values; cells to which a field does not apply stay.

    Returns:
        One row per cell with ``arm sparsity epochs diverged learned_nothing`` (the numbers of its
        report trials that did, the last missing where none was judged), `POOLED_COLUMNS`,
        ``spread_low spread_high`` (the lowest and highest mean of its configurations, NaN for one)
        and the configuration's fields; the values, shape [n_cells, n_seeds], NaN where a trial is
        not COMPLETE or a seed of the cell diverged; the values of the dense twins, NaN likewise. A
        cell of several configurations has one value, the mean over their runs.

    Raises:
        SparsetuneError: if ``y``, or a field or value in ``where``, is unknown.
    """
    require_measure(results, y)
    cells, value, twin = _cell_values(results, y, where)
    return cells.copy(deep=False), value.copy(deep=False), twin.copy(deep=False)


def lacks_outcome(rows: pd.DataFrame, y: str) -> pd.Series[Any]:
    """True for runs without an outcome in a cell where others have one, the survivors.

    Args:
        rows: Report trials of a table, with ``cell status`` and their measures.
        y: The measure.
    """
    values = rows.get(y, pd.Series(np.nan, rows.index))
    is_complete = rows["status"].eq("COMPLETE").fillna(False).astype(bool)
    has_outcome = is_complete & values.notna()
    is_open = rows["status"].isin(OPEN_STATUSES).fillna(False).astype(bool)
    has_survivors = has_outcome.groupby(rows["cell"]).transform("any")
    return (is_open | (is_complete & values.isna())) & has_survivors


@cached_per_results
def _cell_values(
    results: Results, y: str, where: Mapping[str, Any] | None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rows = _matching_rows(report_rows(results), where or {})
    complete = _complete_values(results, y)
    diverged = (rows["status"] == "DIVERGED").groupby(rows["cell"]).transform("sum")
    rows = rows.assign(
        sparsity=rows["sparsity.target"],
        diverged=diverged.astype("int64"),
        learned_nothing=_learned_nothing_counts(results, rows),
    )
    # The seeds that survived a divergence would flatter the recipe.
    is_whole = rows["diverged"] == 0
    if not results.design.measured:
        # A table does not say why an outcome is missing, unlike a study.
        is_whole &= ~lacks_outcome(rows, y).groupby(rows["cell"]).transform("any")
    rows["value"] = np.where(is_whole, complete.reindex(rows["trial_id"]), np.nan)
    rows["twin"] = complete.reindex(rows["twin_id"]).to_numpy()
    twin_diverged = _is_diverged(results, rows["twin_id"]).groupby(rows["cell"]).transform("any")
    rows["twin"] = rows["twin"].where(~twin_diverged)
    rows = with_given_means(results, y, with_pooled_values(results, rows), complete)
    cells = rows.drop_duplicates("cell").set_index("cell")
    values = rows.pivot(index="cell", columns="seed", values="value").reindex(cells.index)
    twins = rows.pivot(index="cell", columns="seed", values="twin").reindex(cells.index)
    return cells, values, twins


def _learned_nothing_counts(results: Results, rows: pd.DataFrame) -> pd.Series[Any]:
    """Number of report trials of each row's cell that learned nothing; missing without a judgment.

    Args:
        results: The study.
        rows: ``cell trial_id`` of report trials.
    """
    trials = results.trials().set_index("trial_id")
    # Tables of runs and directories of older versions do not judge.
    if "learned_nothing" not in trials:
        return pd.Series(pd.NA, rows.index, dtype="Int64")
    flags = rows["trial_id"].map(trials["learned_nothing"]).astype("boolean").astype("Int64")
    counts = flags.groupby(rows["cell"]).sum(min_count=1)
    return rows["cell"].map(counts).astype("Int64")


def _matching_rows(rows: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """Rows with these values, and rows to which a field does not apply.

    Raises:
        SparsetuneError: if a field is unknown or no row has the value.
    """
    for path, value in where.items():
        column = rows[find_field(path, rows)]
        known = list(dict.fromkeys(column.dropna()))
        if len(rows) and value not in known:
            names = ", ".join(map(str, known)) or "(none)"
            raise SparsetuneError(f"`{path}` must be one of {names}, got {value}")
        rows = rows[(column == value) | column.isna()]
    return rows


def is_measured(results: Results, y: str) -> bool:
    """True if a finished report trial has a value of ``y``."""
    values = _complete_values(results, y)
    return bool(values.reindex(report_rows(results)["trial_id"]).notna().any())


def absent_quantities(results: Results) -> list[str]:
    """Quantities that a study's task does not have, such as the accuracy of a regression.

    Every evaluation lacks them, though its loss is known. A table of runs lacks what nobody wrote
    down, which says nothing of the task.
    """
    if not results.design.measured:
        return []
    trials = results.trials()
    absent = []
    for quantity in ("accuracy", "entropy"):
        columns = [(f"{split}_{quantity}", f"{split}_loss") for split in ("val", "test")]
        measured = [
            bool(trials[column].notna().any())
            for column, loss in columns
            if np.isfinite(trials[loss].astype("float64")).any()
        ]
        if measured and not any(measured):
            absent.append(quantity)
    return absent


def require_measured(results: Results, y: str) -> None:
    """Raise if report trials have finished and none has a value of ``y``.

    Raises:
        SparsetuneError: naming what was measured.
    """
    if is_measured(results, y) or not report_rows(results)["status"].eq("COMPLETE").any():
        return
    candidates = [
        name for name in measure_columns(results) if name.startswith(("train_", "val_", "test_"))
    ]
    measured = [name for name in candidates if is_measured(results, name)]
    names = ", ".join(measured) or "(nothing)"
    raise SparsetuneError(f"no finished run has `{y}`; measured were {names}: give `y`")


def control_values(results: Results, y: str) -> pd.DataFrame:
    """Values of ``y`` that the dense recipe reached in every cell that did not choose it, by seed.

    Returns:
        Shape [n_cells, n_seeds]; NaN in a whole cell of which a seed diverged, whose number
        `diverged_controls` gives.
    """
    uses = control_uses(results)
    values = uses["trial_id"].map(_complete_values(results, y)).astype("float64")
    is_lost = _is_diverged(results, uses["trial_id"]).groupby(uses["cell"]).transform("any")
    rows = uses.assign(value=values.where(~is_lost))
    return rows.pivot(index="cell", columns="seed", values="value")


def diverged_controls(results: Results) -> pd.Series[Any]:
    """Number of diverged seeds of the dense recipe, by cell that did not choose it."""
    uses = control_uses(results)
    return _is_diverged(results, uses["trial_id"]).groupby(uses["cell"], sort=False).sum()


def control_uses(results: Results) -> pd.DataFrame:
    """Runs of the dense recipe in cells that did not choose it, one row per cell and seed."""
    cells = results.cells().set_index("cell")
    uses = results.uses()
    controls = cells["control_id"] if "control_id" in cells else pd.Series(dtype="string")
    if "winner_id" in cells:
        # Where the search chose the dense recipe, the winner is its own control.
        controls = controls[controls != cells["winner_id"].reindex(controls.index)]
    is_control = uses["config_id"] == uses["cell"].map(controls.dropna())
    uses = uses[uses["role"].isin(["control", "report"]) & is_control]
    return uses.drop_duplicates(["cell", "seed"])


def _is_diverged(results: Results, trials: pd.Series[Any]) -> pd.Series[Any]:
    """True for the trials, given by id, that diverged."""
    status = results.trials().set_index("trial_id")["status"]
    return trials.map(status).eq("DIVERGED").fillna(False).astype(bool)


def _complete_values(results: Results, y: str) -> pd.Series[Any]:
    """Values of ``y`` by trial; NaN unless it is COMPLETE, and where the column is missing."""
    trials = results.trials().set_index("trial_id")
    values = trials[y] if y in trials else pd.Series(np.nan, trials.index)
    return values.astype("float64").where(trials["status"] == "COMPLETE")


def cell_means(
    results: Results,
    y: str,
    where: Mapping[str, Any] | None = None,
    like: Sequence[str] = POOLING_COLUMNS,
    level: float = 0.95,
    *,
    gap: Gap | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean of ``y`` over report seeds in every cell, with its interval.

    Args:
        results: The study.
        y: A measured column.
        where: Dotted fields and their values.
        like: Columns that cells with a common spread share.
        level: Coverage of the intervals, in (0, 1).
        gap: Baseline from which the winner's difference is taken, by seed, instead of ``y`` itself.
            Only cells that have the baseline stay, and ``difference`` repeats the mean.
        seed: Seed of the bootstrap.

    Returns:
        One row per cell, by its name: ``arm sparsity epochs``, the configuration's fields, and
        `MEAN_STATISTICS`.

    Raises:
        SparsetuneError: if ``y``, ``gap``, or a field or value in ``where``, is unknown.
    """
    if gap is not None and gap not in GAP_BASELINES:
        raise SparsetuneError(
            f"`gap` must be one of {', '.join(GAP_BASELINES)} or None, got `{gap}`"
        )
    cells, values, others = cell_values(results, y, where)
    unpaired = welch_differences(cells, values, level)
    if gap == "control":
        others = control_values(results, y).reindex(values.index, columns=values.columns)
        unpaired = unpaired[:0]
    if gap:
        is_given = others.notna().any(axis=1) | cells.index.isin(unpaired.index)
        # The spread of a mean that a table gives is none of its difference.
        cells = cells[is_given].assign(given_runs=np.nan)
        values = (values - others)[is_given]
        # Differences are taken already: `difference` repeats the mean.
        others = (0 * others)[is_given]
    # Dense and sparse cells differ in spread, and so do methods.
    bounds = None if gap else results.measure(y).range
    points = estimate_cells(cells, values, like, level, seed, bounds)
    groups = spread_groups(cells, like)
    pairs = estimate_means(values - others, groups, level, seed).set_index(cells.index)
    pairs = _with_rows(pairs, unpaired)
    if gap:
        points = _with_rows(points, unpaired)
    points = points.assign(
        unpaired=points.index.isin(unpaired.index),
        configurations=cells["configurations"],
        spread_low=np.nan if gap else cells["spread_low"],
        spread_high=np.nan if gap else cells["spread_high"],
        diverged=cells["diverged"],
        learned_nothing=cells["learned_nothing"],
        difference=pairs["mean"],
        difference_df=pairs["df"],
        difference_low=pairs["low"],
        difference_high=pairs["high"],
        more_seeds=_more_seeds(pairs, level),
    )
    fields = [name for name in map(str, cells) if "." in name]
    return cells[["arm", "sparsity", "epochs", *fields]].join(points[list(MEAN_STATISTICS)])


def _with_rows(frame: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The frame with the values of other rows in place of its own, by index and column."""
    if rows.empty:
        return frame
    # Degrees of freedom are whole numbers but for Welch's.
    frame = frame.astype({"df": "float64"})
    columns = [str(name) for name in rows]
    frame.loc[rows.index, columns] = rows.astype(frame.dtypes[columns].to_dict())
    return frame


def _more_seeds(pairs: pd.DataFrame, level: float) -> np.ndarray:
    """Further seeds, at least 1, that would settle each difference; NaN where it is settled.

    Args:
        pairs: Statistics of paired differences, as `estimate_means` returns them.
        level: Coverage in (0, 1).
    """
    has_own_spread = pairs["interval"] == "bootstrap"
    sd = pairs["sd"].where(has_own_spread, pairs["pooled_sd"])
    df = (pairs["n"] - 1).where(has_own_spread, pairs["df"])
    more = np.maximum(seeds_needed(pairs["mean"], sd, pairs["n"], level, df), 1)
    holds_zero = (pairs["low"] <= 0) & (pairs["high"] >= 0)
    return np.where(holds_zero, more, np.nan)


def add_dense_points(points: pd.DataFrame) -> pd.DataFrame:
    """Points of the sparse arms, each with its dense arm's points as its own.

    Dense arms that belong to no sparse arm stay as they are.

    Args:
        points: At least ``arm`` and ``sparsity``; 0 is dense.
    """
    dense = list(dict.fromkeys(points.loc[points["sparsity"] == 0, "arm"]))
    sparse = list(dict.fromkeys(points.loc[points["sparsity"] > 0, "arm"]))
    dense_arms = {arm: dense_arm_of(arm, dense) for arm in sparse}
    unpaired = set(dense) - set(dense_arms.values()) - set(sparse)
    parts = [points[points["arm"].isin(unpaired)]]
    for arm in sparse:
        own = points[(points["arm"] == arm) | (points["arm"] == dense_arms[arm])]
        parts.append(own.assign(arm=arm))
    return pd.concat(parts)


def sort_points(points: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Points sorted by ``keys``, arms in their order of appearance; with a new index."""
    rank = {arm: place for place, arm in enumerate(dict.fromkeys(points["arm"]))}

    def sort_key(column: pd.Series[Any]) -> pd.Series[Any]:
        return column.map(rank) if column.name == "arm" else column

    return points.sort_values(list(keys), key=sort_key, ignore_index=True)


def find_field(path: str, frame: pd.DataFrame) -> str:
    """The dotted field ``path``, if ``frame`` has it.

    Raises:
        SparsetuneError: if not, naming those that it has.
    """
    if "." not in path or path not in frame:
        fields = ", ".join(name for name in frame.columns if "." in name)
        raise SparsetuneError(f"a field of the configuration must be one of {fields}, got `{path}`")
    return path


def require_one_cell_each(points: pd.DataFrame, keys: Sequence[str], remedy: str) -> None:
    """Raise if several cells share a point.

    Args:
        points: One row per cell, with the cells' names as index.
        keys: Columns that make a point.
        remedy: End of the message.

    Raises:
        SparsetuneError: naming the first point with several cells.
    """
    repeated = points[points.duplicated(list(keys), keep=False)]
    if len(repeated):
        point = ", ".join(f"{key} {repeated[key].iloc[0]}" for key in keys)
        _, same = next(iter(repeated.groupby(list(keys), dropna=False, sort=False)))
        names = ", ".join(f"`{name}`" for name in same.index)
        raise SparsetuneError(
            f"a point of the curve must be one cell, got {names} at {point}; {remedy}"
        )
