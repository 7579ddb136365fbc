"""What every cell's winner measured over its report seeds: values by seed, means with intervals, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.estimates.intervals import BOOTSTRAP_FROM, estimate_means, seeds_needed
from analysis.tables.results import Results, cached_per_results
from analysis.tables.selection import dense_arm_of, report_rows
from sparsetune.errors import SparsetuneError
from sparsetune.spec.columns import FINAL_COLUMNS, MEASURED_COLUMNS

MEASURE_COLUMNS = tuple(
    column.name for column in (*MEASURED_COLUMNS, *FINAL_COLUMNS) if column.dtype == "float64"
)
"""What may stand on the y axis."""
MEAN_STATISTICS: tuple[str, ...] = ("n", "mean", "sd", "pooled_sd", "df", "low", "high", "diverged")
MEAN_STATISTICS += ("difference", "difference_df", "difference_low", "difference_high")
MEAN_STATISTICS += ("more_seeds", "iqm", "interval")
"""Of a cell's values over report seeds; what they are, `Curve.frame` says."""
POOLING_COLUMNS = ("arm", "sparsity")
"""Columns that cells share whose spreads are pooled: methods differ in theirs, as does one method in its sparsities."""
Gap = Literal["twin", "control"]
GAP_BASELINES: dict[Gap, str] = {"twin": "the dense twin", "control": "the dense recipe"}
"""What a cell's winner may be compared with, seed by seed: dense with its own recipe, or itself with that of dense."""


def direction_of(y: str) -> int:
    """1 where more of a measured column is better, as of an accuracy or a score; -1 where less is."""
    return 1 if y.endswith(("accuracy", "score")) else -1


def cell_values(
    results: Results, y: str, where: Mapping[str, Any] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """What every cell's winner measured, by report seed.

    Returns:
        One row per cell with ``arm sparsity epochs diverged`` and the configuration's fields; the values of ``y``,
        shape [n_cells, n_seeds], NaN where a trial is not COMPLETE or a seed of the cell diverged; those of the twins,
        NaN likewise: what is left of a recipe that diverges on some seeds flatters it.

    Raises:
        SparsetuneError: if ``y`` or a field in ``where`` is unknown.
    """
    if y not in MEASURE_COLUMNS:
        raise SparsetuneError(f"`y` must be one of {', '.join(MEASURE_COLUMNS)}, got `{y}`")
    cells, value, twin = _cell_values(results, y, where)
    return cells.copy(deep=False), value.copy(deep=False), twin.copy(deep=False)


@cached_per_results
def _cell_values(
    results: Results, y: str, where: Mapping[str, Any] | None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    rows = report_rows(results)
    finished = _complete_values(results, y)
    for path, value in (where or {}).items():
        known = list(dict.fromkeys(rows[find_field(path, rows)].dropna()))
        if len(rows) and value not in known:
            raise SparsetuneError(
                f"`{path}` must be one of {', '.join(map(str, known)) or '(none)'}, got {value}"
            )
        rows = rows[(rows[find_field(path, rows)] == value) | rows[path].isna()]
    diverged = (rows["status"] == "DIVERGED").groupby(rows["cell"]).transform("sum")
    rows = rows.assign(sparsity=rows["sparsity.target"], diverged=diverged.astype("int64"))
    rows["value"] = np.where(rows["diverged"] == 0, finished.reindex(rows["trial_id"]), np.nan)
    rows["twin"] = finished.reindex(rows["twin_id"]).to_numpy()
    rows["twin"] = rows["twin"].where(
        ~_is_diverged(results, rows["twin_id"]).groupby(rows["cell"]).transform("any")
    )
    cells = rows.drop_duplicates("cell").set_index("cell")
    value, twin = (
        rows.pivot(index="cell", columns="seed", values=v).reindex(cells.index)
        for v in ("value", "twin")
    )
    return cells, value, twin


def is_measured(results: Results, y: str) -> bool:
    """Whether a finished report trial has ``y``."""
    return bool(
        _complete_values(results, y).reindex(report_rows(results)["trial_id"]).notna().any()
    )


def require_measured(results: Results, y: str) -> None:
    """Raise where report trials have finished and none has ``y``.

    Raises:
        SparsetuneError: naming what was measured.
    """
    if is_measured(results, y) or not report_rows(results)["status"].eq("COMPLETE").any():
        return
    names = [
        name
        for name in MEASURE_COLUMNS
        if name.startswith(("train_", "val_", "test_")) and is_measured(results, name)
    ]
    raise SparsetuneError(
        f"no finished run has `{y}`; measured were {', '.join(names) or '(nothing)'}: give `y`"
    )


def control_values(results: Results, y: str) -> pd.DataFrame:
    """What the dense recipe, run unchanged, measured in every cell that did not choose it: [n_cells, n_seeds].

    NaN in a whole cell of which a seed diverged, whose number `diverged_controls` gives.
    """
    uses = control_uses(results)
    values = uses["trial_id"].map(_complete_values(results, y)).astype("float64")
    lost = _is_diverged(results, uses["trial_id"]).groupby(uses["cell"]).transform("any")
    return uses.assign(value=values.where(~lost)).pivot(
        index="cell", columns="seed", values="value"
    )


def diverged_controls(results: Results) -> pd.Series[Any]:
    """How many seeds of the dense recipe, run unchanged, diverged in each cell that did not choose it."""
    uses = control_uses(results)
    return _is_diverged(results, uses["trial_id"]).groupby(uses["cell"], sort=False).sum()


def control_uses(results: Results) -> pd.DataFrame:
    """The runs of the dense recipe, unchanged, in every cell that did not choose it: one row per cell and seed."""
    cells = results.cells().set_index("cell")
    uses = results.uses()
    chosen = cells["control_id"] if "control_id" in cells else pd.Series(dtype="string")
    if "winner_id" in cells:
        chosen = chosen[chosen != cells["winner_id"]]
    uses = uses[
        uses["role"].isin(["control", "report"])
        & (uses["config_id"] == uses["cell"].map(chosen.dropna()))
    ]
    return uses.drop_duplicates(["cell", "seed"])


def _is_diverged(results: Results, trials: pd.Series[Any]) -> pd.Series[Any]:
    """Whether each of the trials, by name, diverged."""
    status = results.trials().set_index("trial_id")["status"]
    return trials.map(status).eq("DIVERGED").fillna(False).astype(bool)


def _complete_values(results: Results, y: str) -> pd.Series[Any]:
    """``y`` of every COMPLETE trial, NaN of others and where the column is missing."""
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
    """One row per cell, by its name: ``arm sparsity epochs``, the configuration's fields, and `MEAN_STATISTICS` of ``y``.

    Args:
        results: The study.
        y: A measured column.
        where: Dotted fields and their values.
        like: Columns that cells share which vary alike.
        level: Coverage of the intervals.
        gap: Of what ``y`` is the winner's difference, by seed; then only cells that have one stay, and ``difference``
            repeats it.
        seed: Of the bootstrap.

    Raises:
        SparsetuneError: if ``y``, ``gap`` or a field in ``where`` is unknown.
    """
    if gap is not None and gap not in GAP_BASELINES:
        raise SparsetuneError(
            f"`gap` must be one of {', '.join(GAP_BASELINES)} or None, got `{gap}`"
        )
    cells, values, others = cell_values(results, y, where)
    if gap == "control":
        others = control_values(results, y).reindex(values.index, columns=values.columns)
    if gap:
        given = others.notna().any(axis=1)
        cells = cells[given]
        values = (values - others)[given]
        others = (0 * others)[given]
    groups = [tuple(row) for row in cells[list(like)].itertuples(index=False)]
    points = estimate_means(values, groups, level, seed).set_index(cells.index)
    pairs = estimate_means(values - others, groups, level, seed).set_index(cells.index)
    own = pairs["interval"] == "bootstrap"
    sd = pairs["sd"].where(own, pairs["pooled_sd"])
    df = (pairs["n"] - 1).where(own, pairs["df"])
    more = np.maximum(seeds_needed(pairs["mean"], sd, pairs["n"], level, df), 1)
    vague = (pairs["low"] <= 0) & (pairs["high"] >= 0)
    points = points.assign(
        diverged=cells["diverged"], difference=pairs["mean"], difference_df=pairs["df"]
    )
    points = points.assign(difference_low=pairs["low"], difference_high=pairs["high"])
    points = points.assign(more_seeds=np.where(vague, more, np.nan))
    fields = [name for name in map(str, cells) if "." in name]
    return cells[["arm", "sparsity", "epochs", *fields]].join(points[list(MEAN_STATISTICS)])


def add_dense_points(points: pd.DataFrame) -> pd.DataFrame:
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


def sort_points(points: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The points sorted by ``keys``, arms as they come in ``points``; with a new index."""
    rank = {arm: place for place, arm in enumerate(dict.fromkeys(points["arm"]))}
    return points.sort_values(
        list(keys),
        key=lambda column: column.map(rank) if column.name == "arm" else column,
        ignore_index=True,
    )


def replicates_name(results: Results) -> str:
    """What means are over: ``report seeds`` of a winner, or ``runs`` where nothing was selected."""
    return "runs" if results.design.objective is None else "report seeds"


def interval_note(
    points: pd.DataFrame,
    level: float,
    like: Sequence[str] = POOLING_COLUMNS,
    runs: str = "report seeds",
) -> str:
    """How many ``runs`` stand behind the means, and what the intervals are."""
    given = points[points["n"] > 0]
    one = runs.removesuffix("s")
    if given.empty:
        return f"No {'run' if runs == 'runs' else 'report trial'} has finished."
    note = f"Means over n = {format_span(given['n'])} {runs}"
    equal = (given["interval"] == "") & (given["n"] > 1)
    if (given["interval"] == "").all():
        why = (
            f"one {one.rpartition(' ')[2]} each"
            if not equal.any()
            else "equal on every seed, which proves nothing"
        )
        return f"{note}; {why}, so no interval can be given."
    kinds = [kind for kind in ("t", "bootstrap") if kind in set(given["interval"])]
    small = given[given["interval"] == "t"]
    note += f"; bars: {100 * level:g} % {' and '.join(kinds)} intervals"
    note += f" (bootstrap from n = {BOOTSTRAP_FROM} on)" if len(kinds) > 1 else ""
    if (small["df"] > small["n"] - 1).any():
        note += (
            f", standard deviation pooled over cells of the same {' and '.join(like) or 'study'}"
        )
    note += f" (df {format_span(small['df'])})" if len(small) else ""
    note += "; none where all seeds are equal" if equal.any() else ""
    return (
        note
        + "."
        + (f" Cells with a diverged {one} have no mean." if (points["diverged"] > 0).any() else "")
    )


def format_span(values: pd.Series[Any]) -> str:
    """``3``, or ``2 to 3`` where they differ."""
    low = int(values.min())
    high = int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"


def find_field(path: str, frame: pd.DataFrame) -> str:
    """The dotted field, if ``frame`` has it.

    Raises:
        SparsetuneError: naming those that it has.
    """
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
        _, same = next(iter(repeated.groupby(list(keys), dropna=False, sort=False)))
        names = ", ".join(f"`{name}`" for name in same.index)
        raise SparsetuneError(
            f"a point of the curve must be one cell, got {names} at {point}; {remedy}"
        )
