"""Rows of anybody's runs become trials: which rows are one run, where it ended and how, what its dense twin is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.tables.declared import narrow_dtype
from analysis.tables.design import TARGET_FIELD
from analysis.tables.foreign.columns import list_names, quote_value
from analysis.tables.foreign.units import FRACTION_DECIMALS
from analysis.tables.selection import dense_arm_of
from sparsetune.errors import DeclarationError, Problem
from sparsetune.spec.columns import (
    FINAL_COLUMNS,
    HISTORY_COLUMNS,
    MEASURED_COLUMNS,
    PROGRESS_COLUMNS,
    TRIAL_COLUMNS,
    Column,
)
from sparsetune.spec.declaration import digest_of

ORDER_COLUMNS = ("step", "epoch", "progress")
"""The first of these that a table has tells the rows of a run apart."""
EPOCHS_FIELD = "schedule.epochs"
EPOCH_MULTIPLIER_FIELD = "schedule.epoch_multiplier"
STRETCH_FIELD = "schedule.stretch"
LOSS_COLUMNS = ("train_loss", "val_loss", "batch_loss", "test_loss")
RESULT_COLUMNS = tuple(
    c.name
    for c in (*MEASURED_COLUMNS, *FINAL_COLUMNS)
    if c.name.startswith(("train_l", "val_", "test_", "batch_"))
)
"""What a finished run has at least one of."""
_TEXT_COLUMNS = ("arm", "role", "config_id", "twin_id")


@dataclass(frozen=True)
class ForeignRuns:
    """Trials and their evaluations, with the contract's columns; ``cell`` and ``role`` are still open.

    Args:
        trials: One row per run.
        history: One row per run and evaluation, in order.
        notes: What was decided on the way, a sentence each.
    """

    trials: pd.DataFrame
    history: pd.DataFrame
    notes: tuple[str, ...]


def build_runs(rows: pd.DataFrame, name: str) -> ForeignRuns:
    """Trials from rows with our column names.

    Args:
        rows: One row per run, or several that `ORDER_COLUMNS` tells apart; see `columns.read_columns`.
        name: Of the table; of its one arm too where none is given.

    Raises:
        DeclarationError: with every reason why rows are no runs.
    """
    notes: list[str] = []
    rows, named = rows.assign(arm=_arms(rows, name)), "trial_id" in rows
    order = next(
        (column for column in ORDER_COLUMNS if column in rows and rows[column].notna().any()), None
    )
    rows, problems = _add_trial_ids(rows, order)
    problems = problems or [*_order_problems(rows, order), *_steady_problems(rows)]
    if not any(column in rows and rows[column].notna().any() for column in RESULT_COLUMNS):
        problems.append(
            Problem("", f"the table must give at least one result: {', '.join(RESULT_COLUMNS)}")
        )
    if not any(
        column in rows and rows[column].notna().any()
        for column in ("sparsity", "target", TARGET_FIELD)
    ):
        problems.append(
            Problem(
                TARGET_FIELD,
                "the table must say how sparse its runs are, in this column or in `sparsity`",
            )
        )
    if problems:
        raise DeclarationError(problems, f"the table {quote_value(name)}")
    rows = _add_scores(_sort_rows(rows, order), notes)
    trials = _final_rows(rows)
    if len(trials) < len(rows):
        notes.append(_run_count_note(rows, trials, order, named))
    trials[TARGET_FIELD] = _sparsity_targets(trials, notes)
    problems = [
        Problem(
            TARGET_FIELD,
            f"a run must have a sparsity; {_format_trials(trials, trials[TARGET_FIELD].isna())}",
        )
    ]
    problems = problems if trials[TARGET_FIELD].isna().any() else list(_length_problems(trials))
    if problems:
        raise DeclarationError(problems, f"the table {quote_value(name)}")
    trials = _add_configurations(trials, notes)
    trials = _drop_repeated_dense(_add_endings(trials), name, notes)
    trials = trials.assign(
        study=name, twin_id=_twin_ids(trials), target=trials.get("target", trials[TARGET_FIELD])
    )
    return ForeignRuns(conform_columns(trials, TRIAL_COLUMNS), _history(rows, trials), tuple(notes))


def conform_columns(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Exactly ``columns``, each with its declared dtype, then the dotted ones."""
    wanted = {column.name: column.dtype for column in columns}
    dotted = [str(name) for name in frame.columns if "." in str(name)]
    fields = {
        path: narrow_dtype(frame[path]) if frame[path].dtype == object else frame[path]
        for path in dotted
    }
    return (
        frame.reindex(columns=list(wanted)).astype(wanted).assign(**fields).reset_index(drop=True)
    )


def dotted_fields(frame: pd.DataFrame) -> list[str]:
    """The configuration's columns."""
    return [str(name) for name in frame.columns if "." in str(name)]


def _arms(rows: pd.DataFrame, name: str) -> pd.Series[Any]:
    """As given; else the method, as in a study without arms; else the table's name."""
    given = (
        rows["arm"] if "arm" in rows else rows.get("sparsity.method", pd.Series(pd.NA, rows.index))
    )
    return given.astype("string").fillna(name)


def _add_trial_ids(rows: pd.DataFrame, order: str | None) -> tuple[pd.DataFrame, list[Problem]]:
    """With ``trial_id``: as given; else of arm, configuration and seed where rows are evaluations; else of the row."""
    if "trial_id" in rows:
        unnamed = rows["trial_id"].isna()
        rule = "every row must name its run where this column is given"
        return rows, [
            Problem("trial_id", rule, f"none in {_rows(unnamed)}")
        ] if unnamed.any() else []
    keys = [
        "arm",
        *dotted_fields(rows),
        *(column for column in ("config_id", "seed", "role") if column in rows),
    ]
    group = rows.groupby(keys, sort=False, dropna=False).ngroup()
    single = rows.assign(
        trial_id=pd.Series([f"row-{row}" for row in range(len(rows))], rows.index, dtype="string")
    )
    if order is None or rows.groupby(group)[order].nunique(dropna=False).max() <= 1:
        return single, []
    if "seed" not in rows or rows["seed"].isna().any():
        many = rows[group.duplicated(keep=False)].index[:2]
        rule = f"rows {' and '.join(map(str, many))} differ in `{order}` but not in arm and configuration: if they are"
        rule += " evaluations of one run, name it here or give `seed`; if they are runs of their own length, map"
        return rows, [
            Problem("trial_id", f"{rule} that column to `{EPOCHS_FIELD}`, not to `{order}`")
        ]
    first = pd.Series(rows.index, rows.index).groupby(group).transform("min")
    return rows.assign(trial_id="row-" + first.astype("string")), []


def _order_problems(rows: pd.DataFrame, order: str | None) -> Iterator[Problem]:
    """Runs of several rows that cannot be put in order."""
    several = rows["trial_id"].duplicated(keep=False)
    if not several.any():
        return
    if order is None:
        names = f"{list_names(rows.loc[several, 'trial_id'].unique(), 3)}"
        rule = f"rows of one run must be told apart by {', '.join(ORDER_COLUMNS)}, of which the table gives none"
        yield Problem("trial_id", rule, f"several rows of {names}")
        return
    lost = several & (rows[order].isna() | ~np.isfinite(rows[order].astype("float64")))
    if lost.any():
        yield Problem(
            order, "every row of a run with several must have one", f"none in {_rows(lost)}"
        )
    double = rows.duplicated(["trial_id", order], keep=False) & several & ~lost
    if double.any():
        first = (
            rows.loc[double, ["trial_id", order]].drop_duplicates().head(3).itertuples(index=False)
        )
        got = ", ".join(f"{quote_value(trial)} at {value:g}" for trial, value in first)
        rule = f"a run must have one row at each `{order}`: drop or merge the others; if they are several runs, give"
        rule += f" what tells them apart, such as `trial_id` or `{TARGET_FIELD}`"
        yield Problem(order, rule, f"several of {got}, {int(double.sum())} rows in all")


def _steady_problems(rows: pd.DataFrame) -> Iterator[Problem]:
    """What a run must have one value of, and has several."""
    for column in [name for name in (*_TEXT_COLUMNS, "seed", *dotted_fields(rows)) if name in rows]:
        counts = rows.groupby("trial_id", sort=False)[column].nunique()
        changing = counts[counts > 1]
        if len(changing):
            values = rows.loc[rows["trial_id"] == changing.index[0], column].dropna().unique()[:3]
            got = f"{', '.join(quote_value(value) for value in values)} in run {quote_value(changing.index[0])}"
            yield Problem(
                column,
                "a run must have one value; what changes during training is another column",
                got,
            )


def _sort_rows(rows: pd.DataFrame, order: str | None) -> pd.DataFrame:
    """Runs as they first come, each in order, with what it has one value of in every row."""
    place = pd.Series(pd.factorize(rows["trial_id"])[0], rows.index)
    keys = {"place": place, **({"order": rows[order]} if order else {})}
    rows = rows.loc[pd.DataFrame(keys).sort_values(list(keys), kind="stable").index].reset_index(
        drop=True
    )
    if rows["trial_id"].is_unique:
        return rows
    steady = [column for column in (*_TEXT_COLUMNS, "seed", *dotted_fields(rows)) if column in rows]
    return rows.assign(
        **{c: rows.groupby("trial_id", sort=False)[c].transform("first") for c in steady}
    )


def _final_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The last row of each run; what is read once at the end may stand in any of its rows, the status in the last."""
    final = rows.drop_duplicates("trial_id", keep="last").set_index("trial_id")
    if len(final) < len(rows):
        groups = rows.groupby("trial_id", sort=False)
        for column in (c.name for c in FINAL_COLUMNS if c.name in rows):
            once = groups[column].first().where(groups[column].count() == 1)
            final[column] = final[column].where(final[column].notna(), once)
        if "status" in rows:
            final["status"] = groups["status"].last()
    return final.reset_index()


def _run_count_note(
    rows: pd.DataFrame, trials: pd.DataFrame, order: str | None, named: bool
) -> str:
    """That rows became fewer runs, and by what."""
    by = "`trial_id`" if named else "arm, configuration and seed"
    note = f"{len(rows)} rows are {len(trials)} runs by {by}, of which `{order}` tells the evaluations apart"
    return note + (
        "."
        if named
        else f"; if every row is a run of that length, map that column to `{EPOCHS_FIELD}`."
    )


def _add_scores(rows: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """With ``val_score`` = 1 - ``val_error`` where only the error is given."""
    error = rows.get("val_error", pd.Series(np.nan, rows.index)).astype("float64")
    score = rows.get("val_score", pd.Series(np.nan, rows.index)).astype("float64")
    derived = score.isna() & error.notna()
    if not derived.any():
        return rows
    where = (
        ""
        if derived.sum() == error.notna().sum()
        else f", in {int(derived.sum())} of {len(rows)} rows"
    )
    notes.append(f"`val_score` is taken to be 1 - `val_error`{where}.")
    return rows.assign(val_score=score.fillna((1 - error).round(FRACTION_DECIMALS)))


def _sparsity_targets(trials: pd.DataFrame, notes: list[str]) -> pd.Series[Any]:
    """The sparsity asked for: as given, else the last of ``target``, else the last one reached, rounded."""
    for column in (TARGET_FIELD, "target"):
        if column in trials and trials[column].notna().any():
            return trials[column].astype("float64")
    density = 1 - trials["sparsity"].to_numpy(dtype=np.float64)
    kept = np.array([float(f"{value:.3g}") for value in density])
    notes.append(
        "The sparsity asked for is taken to be the one reached, its density rounded to three digits."
    )
    return pd.Series((1 - kept).round(12), trials.index)


def _length_problems(trials: pd.DataFrame) -> Iterator[Problem]:
    """Evaluations after the end of training."""
    if "epoch" in trials:
        late = (trials["epoch"] > 1.01 * _total_epochs(trials) + 1).fillna(False)
        if late.any():
            rule = f"no run may go on after its `{EPOCHS_FIELD}` times `{EPOCH_MULTIPLIER_FIELD}`; are these epochs?"
            yield Problem("epoch", rule, _format_trials(trials, late))


def _total_epochs(trials: pd.DataFrame) -> pd.Series[Any]:
    """The whole training in epochs; NaN where it is not known."""
    unknown = pd.Series(np.nan, trials.index)
    factors = [
        trials[path].fillna(1.0)
        for path in (EPOCH_MULTIPLIER_FIELD, STRETCH_FIELD)
        if path in trials
    ]
    epochs = trials.get(EPOCHS_FIELD, unknown).astype("float64")
    for factor in factors:
        epochs = epochs * factor.astype("float64")
    return epochs


def _add_configurations(trials: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """With lengths, dense arms and ``config_id``: a target of 0 is the dense method, which has no sparsity fields."""
    trials = trials.assign(
        **{path: trials.get(path, np.nan) for path in (EPOCHS_FIELD, EPOCH_MULTIPLIER_FIELD)}
    )
    trials = trials.assign(**{EPOCH_MULTIPLIER_FIELD: trials[EPOCH_MULTIPLIER_FIELD].fillna(1.0)})
    dense = trials[TARGET_FIELD] == 0
    aside = is_auxiliary(trials)
    own = [
        path
        for path in dotted_fields(trials)
        if path.startswith("sparsity.") and path != TARGET_FIELD
    ]
    trials = trials.assign(
        **{path: trials[path].mask(dense) for path in own if path != "sparsity.method"}
    )
    both = sorted(set(trials.loc[dense & ~aside, "arm"]) & set(trials.loc[~dense, "arm"]))
    alone = trials["arm"].nunique() == 1
    renamed = {arm: "dense" if alone else f"dense-{arm}" for arm in both}
    if renamed:
        names = list_names(dict.fromkeys(renamed.values()), 5)
        notes.append(f"Runs of sparsity 0 stand under the arm{'s' * (len(renamed) > 1)} {names}.")
    trials["arm"] = (
        trials["arm"].where(~dense | aside, trials["arm"].replace(renamed)).astype("string")
    )
    if "config_id" not in trials or trials["config_id"].isna().any():
        trials["config_id"] = _digests(trials)
    return trials


def is_auxiliary(trials: pd.DataFrame) -> pd.Series[Any]:
    """Which runs only serve others, as dense twins or teachers, and open no cell."""
    role = trials["role"] if "role" in trials else pd.Series(pd.NA, trials.index, dtype="string")
    return role.isin(["twin", "teacher"]).fillna(False).astype(bool)


def _digests(trials: pd.DataFrame) -> pd.Series[Any]:
    """A name for every combination of arm and configuration."""
    keys = ["arm", *dotted_fields(trials)]
    group = trials.groupby(keys, sort=False, dropna=False).ngroup()
    first = trials.loc[~group.duplicated(), keys]
    records = first.astype("object").where(first.notna(), None).to_dict("records")
    return group.map({k: digest_of(record) for k, record in enumerate(records)}).astype("string")


def _add_endings(trials: pd.DataFrame) -> pd.DataFrame:
    """With ``status``, ``error``, ``progress`` and ``length``, the whole training in epochs.

    A run is COMPLETE unless the table says else, or it has no finite result or an infinite one, or no loss where others
    have one (DIVERGED: what a NaN leaves), or it ended more than an epoch before its schedule (PRUNED).
    """
    unknown = pd.Series(np.nan, trials.index)
    given = trials["status"] if "status" in trials else unknown.astype("string")
    results = trials[[column for column in RESULT_COLUMNS if column in trials]].astype("float64")
    infinite = results.isin([np.inf, -np.inf]).any(axis=1)
    losses = results[[column for column in LOSS_COLUMNS if column in results]]
    lost = losses.loc[:, losses.notna().any()].isna().any(axis=1) | results.isna().all(axis=1)
    diverged = (given.isna() & lost) | (infinite & (given.isna() | given.eq("COMPLETE")))
    status = given.fillna("COMPLETE").mask(diverged, "DIVERGED")
    epochs = _total_epochs(trials)
    reached = trials.get("epoch", unknown)
    short = (status == "COMPLETE") & (reached + 1 + 1e-6 < epochs)
    error = unknown.astype("string").mask(short, "ended before its schedule")
    error = error.mask(diverged, "no finite result at the end")
    status = status.mask(short, "PRUNED").astype("string")
    length = epochs.fillna(reached.where(status == "COMPLETE"))
    progress = trials["progress"] if "progress" in trials else (reached / length).clip(upper=1.0)
    values = [
        c.name
        for c in (*MEASURED_COLUMNS, *FINAL_COLUMNS)
        if c.name in trials and c.dtype == "float64"
    ]
    finite = trials[values].replace([np.inf, -np.inf], np.nan)
    return trials.assign(status=status, error=error, length=length, progress=progress, **finite)


def _drop_repeated_dense(trials: pd.DataFrame, name: str, notes: list[str]) -> pd.DataFrame:
    """Without dense runs that differ in sparsity fields alone, of which the first stays.

    Raises:
        DeclarationError: if other runs share configuration and seed.
    """
    if "seed" not in trials:
        return trials
    keys = ["arm", "config_id", "seed"]
    seeded = trials["seed"].notna() & (
        trials["status"] != "FAILED"
    )  # what failed may have been run again
    double = trials[seeded].duplicated(keys).reindex(trials.index, fill_value=False)
    dense = double & (trials[TARGET_FIELD] == 0)
    if dense.any():
        notes.append(
            f"{int(dense.sum())} dense runs repeat another one's recipe and seed and are left out."
        )
    if (double & ~dense).any():
        first = trials.loc[double & ~dense, keys].iloc[0]
        ids = list_names(trials.loc[(trials[keys] == first).all(axis=1), "trial_id"], 3)
        rule = "runs of one configuration must differ in their seed: name the columns that tell them apart, or no seed"
        problem = Problem(
            "seed",
            rule,
            f"{first['seed']} in runs {ids}, {int((double & ~dense).sum())} repeats in all",
        )
        raise DeclarationError([problem], f"the table {quote_value(name)}")
    return trials[~dense].reset_index(drop=True)


def _twin_ids(trials: pd.DataFrame) -> pd.Series[Any]:
    """The one dense run of a sparse one's seed and recipe, as far as it is given; NA where none or several match."""
    given = (
        trials["twin_id"] if "twin_id" in trials else pd.Series(pd.NA, trials.index, dtype="string")
    )
    given = given.where(given.isin(trials["trial_id"]))
    if "seed" not in trials:
        return given
    dense = trials["seed"].notna() & (trials[TARGET_FIELD] == 0)
    arms = list(dict.fromkeys(trials.loc[dense, "arm"]))
    shared = [
        p for p in dotted_fields(trials) if not p.startswith("sparsity.") and p != STRETCH_FIELD
    ]
    keys = ["mine", "seed", *shared]
    own = trials.assign(
        mine=trials["arm"].where(dense, trials["arm"].map(lambda arm: dense_arm_of(arm, arms)))
    )
    twins = (
        own[dense]
        .drop_duplicates(keys, keep=False)[[*keys, "trial_id"]]
        .rename(columns={"trial_id": "found"})
    )
    found = own[[*keys]].merge(twins, on=keys, how="left")["found"].set_axis(trials.index)
    sparse = (trials[TARGET_FIELD] > 0) & trials["seed"].notna()
    return given.fillna(found.where(sparse)).astype("string")


def _history(rows: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The evaluations of the trials; infinite values are missing, as after a divergence."""
    kept = [c.name for c in (*PROGRESS_COLUMNS, *MEASURED_COLUMNS) if c.name in rows]
    same = ["study", "arm", "config_id", "seed", "role", "status", *dotted_fields(trials), "length"]
    same = [column for column in same if column in trials]
    history = rows[["trial_id", *kept]].merge(
        trials[["trial_id", *same]], on="trial_id", how="inner"
    )
    if "progress" not in kept:
        history["progress"] = (
            (history["epoch"] / history["length"]).clip(upper=1.0) if "epoch" in kept else np.nan
        )
    if "target" not in kept:
        history["target"] = history[TARGET_FIELD]
    measured = [c.name for c in MEASURED_COLUMNS if c.name in kept]
    history[measured] = history[measured].replace([np.inf, -np.inf], np.nan)
    return conform_columns(history, HISTORY_COLUMNS)


def _rows(mask: pd.Series[Any]) -> str:
    rows = list(mask.index[mask])
    return f"rows {', '.join(map(str, rows[:3]))}" + (
        f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    )


def _format_trials(trials: pd.DataFrame, mask: pd.Series[Any]) -> str:
    return f"not so: {list_names(trials.loc[mask, 'trial_id'], 3)}, {int(mask.sum())} of {len(trials)} runs"
