"""Trials from the rows of a table: which rows are one run, how it ended, which is its twin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

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

from ..declared import narrow_dtype
from ..design import TARGET_FIELD
from ..selection import dense_arm_of
from .columns import list_names, quote_value
from .units import FRACTION_DECIMALS, MAX_LISTED_ROWS

ORDER_COLUMNS = ("step", "epoch", "progress")
"""Columns that may distinguish the rows of a run; the first that the table has does."""
EPOCHS_FIELD = "schedule.epochs"
EPOCH_MULTIPLIER_FIELD = "schedule.epoch_multiplier"
STRETCH_FIELD = "schedule.stretch"
METHOD_FIELD = "sparsity.method"
LOSS_COLUMNS = ("train_loss", "val_loss", "batch_loss", "test_loss")
_RESULT_PREFIXES = ("train_l", "val_", "test_", "batch_")
RESULT_COLUMNS = tuple(
    column.name
    for column in (*MEASURED_COLUMNS, *FINAL_COLUMNS)
    if column.name.startswith(_RESULT_PREFIXES)
)
"""Columns of which a finished run has at least one."""
SPARSITY_SOURCES = ("sparsity", "target", TARGET_FIELD)
"""Columns of which a table must have one, since they say how sparse its runs are."""
DENSITY_DIGITS = 3
"""Significant digits of the density that a run is taken to have aimed at."""
_TEXT_COLUMNS = ("arm", "role", "config_id", "twin_id")
_INFINITIES = (np.inf, -np.inf)


@dataclass(frozen=True)
class ForeignRuns:
    """Trials and their evaluations, with the contract's columns; ``cell`` and ``role`` are open.

    Args:
        trials: One row per run.
        history: One row per run and evaluation, in order.
        notes: Decisions made on the way, a sentence each.
    """

    trials: pd.DataFrame
    history: pd.DataFrame
    notes: tuple[str, ...]


def build_runs(rows: pd.DataFrame, name: str) -> ForeignRuns:
    """Build trials from rows with our column names.

    Args:
        rows: One row per run, or several that one of `ORDER_COLUMNS` distinguishes, as
            `columns.read_columns` returns them.
        name: Name of the table; also of its one arm where none is given.

    Raises:
        DeclarationError: naming every reason why the rows are no runs.
    """
    notes: list[str] = []
    is_named = "trial_id" in rows
    rows = rows.assign(arm=_arms(rows, name))
    order = _first_given(rows, ORDER_COLUMNS)
    rows, problems = _add_trial_ids(rows, order)
    if not problems:
        problems = [*_order_problems(rows, order), *_steady_problems(rows)]
    problems += _missing_column_problems(rows)
    if problems:
        raise DeclarationError(problems, f"the table {quote_value(name)}")
    rows = _add_scores(_sort_rows(rows, order), notes)
    trials = _final_rows(rows)
    if len(trials) < len(rows):
        notes.append(_run_count_note(rows, trials, order, is_named))
    trials[TARGET_FIELD] = _sparsity_targets(trials, notes)
    problems = list(_target_problems(trials)) or list(_length_problems(trials))
    if problems:
        raise DeclarationError(problems, f"the table {quote_value(name)}")
    trials = _add_configurations(trials, notes)
    trials = _drop_repeated_dense(_add_endings(trials), name, notes)
    target = trials.get("target", trials[TARGET_FIELD])
    trials = trials.assign(study=name, twin_id=_twin_ids(trials), target=target)
    history = _history(rows, trials)
    return ForeignRuns(conform_columns(trials, TRIAL_COLUMNS), history, tuple(notes))


def conform_columns(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Exactly ``columns``, each with its declared dtype, then the dotted fields of ``frame``."""
    wanted = {column.name: column.dtype for column in columns}
    fields: dict[str, pd.Series[Any]] = {}
    for path in dotted_fields(frame):
        values = frame[path]
        fields[path] = narrow_dtype(values) if values.dtype == object else values
    conformed = frame.reindex(columns=list(wanted)).astype(wanted)
    return conformed.assign(**fields).reset_index(drop=True)


def dotted_fields(frame: pd.DataFrame) -> list[str]:
    """Names of the configuration's columns."""
    return [str(name) for name in frame.columns if "." in str(name)]


def _has_values(rows: pd.DataFrame, column: str) -> bool:
    return column in rows and bool(rows[column].notna().any())


def _first_given(rows: pd.DataFrame, columns: Sequence[str]) -> str | None:
    """First of the columns that holds a value; None where none does."""
    return next((column for column in columns if _has_values(rows, column)), None)


def _arms(rows: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Arm as given, else the method, as in a study without arms, else the table's name."""
    unknown = pd.Series(pd.NA, rows.index)
    given = rows["arm"] if "arm" in rows else rows.get(METHOD_FIELD, unknown)
    return given.astype("string").fillna(name)


def _missing_column_problems(rows: pd.DataFrame) -> list[Problem]:
    """Problems of a table that lacks every result, or every column on sparsity."""
    problems: list[Problem] = []
    if _first_given(rows, RESULT_COLUMNS) is None:
        rule = f"the table must give at least one result: {', '.join(RESULT_COLUMNS)}"
        problems.append(Problem("", rule))
    if _first_given(rows, SPARSITY_SOURCES) is None:
        rule = "the table must say how sparse its runs are, in this column or in `sparsity`"
        problems.append(Problem(TARGET_FIELD, rule))
    return problems


def _add_trial_ids(rows: pd.DataFrame, order: str | None) -> tuple[pd.DataFrame, list[Problem]]:
    """Rows with ``trial_id``, and what prevents it.

    The id is the given one; else one for each arm, configuration and seed where rows are
    evaluations; else one for each row.
    """
    if "trial_id" in rows:
        is_unnamed = rows["trial_id"].isna()
        if not is_unnamed.any():
            return rows, []
        rule = "every row must name its run where this column is given"
        return rows, [Problem("trial_id", rule, f"none in {_list_rows(is_unnamed)}")]
    named = [column for column in ("config_id", "seed", "role") if column in rows]
    keys = ["arm", *dotted_fields(rows), *named]
    group = rows.groupby(keys, sort=False, dropna=False).ngroup()
    if order is None or rows.groupby(group)[order].nunique(dropna=False).max() <= 1:
        ids = [f"row-{row}" for row in range(len(rows))]
        return rows.assign(trial_id=pd.Series(ids, rows.index, dtype="string")), []
    if "seed" not in rows or rows["seed"].isna().any():
        return rows, [_ambiguous_rows_problem(rows[group.duplicated(keep=False)], order)]
    first = pd.Series(rows.index, rows.index).groupby(group).transform("min")
    return rows.assign(trial_id="row-" + first.astype("string")), []


def _ambiguous_rows_problem(repeated: pd.DataFrame, order: str) -> Problem:
    """Problem of rows that may be evaluations of one run or runs of several lengths."""
    rule = (
        f"rows {' and '.join(map(str, repeated.index[:2]))} differ in `{order}` but not in arm and"
        " configuration: if they are evaluations of one run, name it here or give `seed`; if they"
        f" are runs of their own length, map that column to `{EPOCHS_FIELD}`, not to `{order}`"
    )
    return Problem("trial_id", rule)


def _order_problems(rows: pd.DataFrame, order: str | None) -> Iterator[Problem]:
    """Problems of runs with several rows that cannot be put in order."""
    is_repeated = rows["trial_id"].duplicated(keep=False)
    if not is_repeated.any():
        return
    if order is None:
        names = list_names(rows.loc[is_repeated, "trial_id"].unique(), 3)
        rule = (
            f"rows of one run must be told apart by {', '.join(ORDER_COLUMNS)},"
            " of which the table gives none"
        )
        yield Problem("trial_id", rule, f"several rows of {names}")
        return
    has_no_order = rows[order].isna() | ~np.isfinite(rows[order].astype("float64"))
    lost = is_repeated & has_no_order
    if lost.any():
        got = f"none in {_list_rows(lost)}"
        yield Problem(order, "every row of a run with several must have one", got)
    is_double = rows.duplicated(["trial_id", order], keep=False) & is_repeated & ~lost
    if is_double.any():
        distinct = rows.loc[is_double, ["trial_id", order]].drop_duplicates()
        first = distinct.head(3).itertuples(index=False)
        where = ", ".join(f"{quote_value(trial)} at {value:g}" for trial, value in first)
        rule = (
            f"a run must have one row at each `{order}`: drop or merge the others; if they are"
            " several runs, give what tells them apart, such as `trial_id` or"
            f" `{TARGET_FIELD}`"
        )
        yield Problem(order, rule, f"several of {where}, {int(is_double.sum())} rows in all")


def _steady_columns(rows: pd.DataFrame) -> list[str]:
    """Columns of which a run has one value."""
    columns = (*_TEXT_COLUMNS, "seed", *dotted_fields(rows))
    return [column for column in columns if column in rows]


def _steady_problems(rows: pd.DataFrame) -> Iterator[Problem]:
    """Problems of columns that must be constant in a run, and vary."""
    for column in _steady_columns(rows):
        counts = rows.groupby("trial_id", sort=False)[column].nunique()
        changing = counts[counts > 1]
        if changing.empty:
            continue
        trial = changing.index[0]
        values = rows.loc[rows["trial_id"] == trial, column].dropna().unique()
        examples = ", ".join(quote_value(value) for value in values[:3])
        rule = "a run must have one value; what changes during training is another column"
        yield Problem(column, rule, f"{examples} in run {quote_value(trial)}")


def _sort_rows(rows: pd.DataFrame, order: str | None) -> pd.DataFrame:
    """Rows by run as it first comes, each run in order, with its constant values in every row."""
    place = pd.Series(pd.factorize(rows["trial_id"])[0], rows.index)
    keys = pd.DataFrame({"place": place})
    if order:
        keys["order"] = rows[order]
    sorted_index = keys.sort_values(list(keys), kind="stable").index
    rows = rows.loc[sorted_index].reset_index(drop=True)
    if rows["trial_id"].is_unique:
        return rows
    groups = rows.groupby("trial_id", sort=False)
    steady = {column: groups[column].transform("first") for column in _steady_columns(rows)}
    return rows.assign(**steady)


def _final_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Last row of each run.

    A value that is measured once, at the end, may stand in any row of the run; the status is the
    last one given.
    """
    final = rows.drop_duplicates("trial_id", keep="last").set_index("trial_id")
    if len(final) < len(rows):
        groups = rows.groupby("trial_id", sort=False)
        for column in (column.name for column in FINAL_COLUMNS if column.name in rows):
            only_value = groups[column].first().where(groups[column].count() == 1)
            final[column] = final[column].where(final[column].notna(), only_value)
        if "status" in rows:
            final["status"] = groups["status"].last()
    return final.reset_index()


def _run_count_note(
    rows: pd.DataFrame, trials: pd.DataFrame, order: str | None, named: bool
) -> str:
    """Sentence on how rows became fewer runs."""
    by = "`trial_id`" if named else "arm, configuration and seed"
    note = (
        f"{len(rows)} rows are {len(trials)} runs by {by}, of which `{order}` tells the evaluations"
        " apart"
    )
    if named:
        return f"{note}."
    return f"{note}; if every row is a run of that length, map that column to `{EPOCHS_FIELD}`."


def _add_scores(rows: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Rows with ``val_score`` = 1 - ``val_error`` where only the error is given."""
    unknown = pd.Series(np.nan, rows.index)
    error = rows.get("val_error", unknown).astype("float64")
    score = rows.get("val_score", unknown).astype("float64")
    is_derived = score.isna() & error.notna()
    if not is_derived.any():
        return rows
    count = int(is_derived.sum())
    where = "" if count == error.notna().sum() else f", in {count} of {len(rows)} rows"
    notes.append(f"`val_score` is taken to be 1 - `val_error`{where}.")
    return rows.assign(val_score=score.fillna((1 - error).round(FRACTION_DECIMALS)))


def _sparsity_targets(trials: pd.DataFrame, notes: list[str]) -> pd.Series[Any]:
    """Sparsity asked for, by run: as given, else the last ``target``, else the last one reached.

    One that was reached is rounded, since a mask never keeps exactly the share asked for.
    """
    given = _first_given(trials, (TARGET_FIELD, "target"))
    if given is not None:
        return trials[given].astype("float64")
    density = 1 - trials["sparsity"].to_numpy(dtype=np.float64)
    rounded = np.array([float(f"{value:.{DENSITY_DIGITS}g}") for value in density])
    notes.append(
        "The sparsity asked for is taken to be the one reached,"
        " its density rounded to three digits."
    )
    return pd.Series((1 - rounded).round(FRACTION_DECIMALS), trials.index)


def _target_problems(trials: pd.DataFrame) -> Iterator[Problem]:
    """Problem of runs without a sparsity."""
    is_unknown = trials[TARGET_FIELD].isna()
    if is_unknown.any():
        rule = f"a run must have a sparsity; {_list_trials(trials, is_unknown)}"
        yield Problem(TARGET_FIELD, rule)


def _length_problems(trials: pd.DataFrame) -> Iterator[Problem]:
    """Problem of runs with evaluations after the end of training."""
    if "epoch" not in trials:
        return
    # One epoch and a hundredth of tolerance: schedules count from 0 or 1 and round to steps.
    is_late = (trials["epoch"] > 1.01 * _total_epochs(trials) + 1).fillna(False)
    if is_late.any():
        rule = (
            f"no run may go on after its `{EPOCHS_FIELD}` times `{EPOCH_MULTIPLIER_FIELD}`;"
            " are these epochs?"
        )
        yield Problem("epoch", rule, _list_trials(trials, is_late))


def _total_epochs(trials: pd.DataFrame) -> pd.Series[Any]:
    """Length of the whole training in epochs; NaN where it is not known."""
    unknown = pd.Series(np.nan, trials.index)
    epochs = trials.get(EPOCHS_FIELD, unknown).astype("float64")
    for path in (EPOCH_MULTIPLIER_FIELD, STRETCH_FIELD):
        if path in trials:
            epochs = epochs * trials[path].fillna(1.0).astype("float64")
    return epochs


def _add_configurations(trials: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Trials with lengths, dense arms and ``config_id``.

    A target of 0 is the dense method, to which no other field of the sparsity applies.
    """
    multiplier = trials.get(EPOCH_MULTIPLIER_FIELD, pd.Series(np.nan, trials.index))
    lengths = {
        EPOCHS_FIELD: trials.get(EPOCHS_FIELD, np.nan),
        EPOCH_MULTIPLIER_FIELD: multiplier.fillna(1.0),
    }
    trials = trials.assign(**lengths)
    dense = trials[TARGET_FIELD] == 0
    inapplicable: dict[str, pd.Series[Any]] = {}
    for path in dotted_fields(trials):
        if path.startswith("sparsity.") and path not in (TARGET_FIELD, METHOD_FIELD):
            inapplicable[path] = trials[path].mask(dense)
    trials = trials.assign(**inapplicable)
    trials["arm"] = _arms_without_dense(trials, notes)
    if "config_id" not in trials or trials["config_id"].isna().any():
        trials["config_id"] = _config_ids(trials)
    return trials


def _arms_without_dense(trials: pd.DataFrame, notes: list[str]) -> pd.Series[Any]:
    """Arm of each trial; dense trials of an arm with sparse ones move to a dense arm of their own.

    That arm is ``dense`` where the table has one arm, else ``dense-ARM``.
    """
    dense = trials[TARGET_FIELD] == 0
    auxiliary = is_auxiliary(trials)
    dense_arms = set(trials.loc[dense & ~auxiliary, "arm"])
    mixed = sorted(dense_arms & set(trials.loc[~dense, "arm"]))
    is_alone = trials["arm"].nunique() == 1
    renamed = {arm: "dense" if is_alone else f"dense-{arm}" for arm in mixed}
    if renamed:
        names = list_names(dict.fromkeys(renamed.values()), 5)
        plural = "s" if len(renamed) > 1 else ""
        notes.append(f"Runs of sparsity 0 stand under the arm{plural} {names}.")
    moved = trials["arm"].replace(renamed)
    return trials["arm"].where(~dense | auxiliary, moved).astype("string")


def is_auxiliary(trials: pd.DataFrame) -> pd.Series[Any]:
    """Trials that only serve others, as dense twins or teachers, and belong to no cell."""
    unknown = pd.Series(pd.NA, trials.index, dtype="string")
    role = trials.get("role", unknown)
    return role.isin(["twin", "teacher"]).fillna(False).astype(bool)


def _config_ids(trials: pd.DataFrame) -> pd.Series[Any]:
    """Digest of each trial's arm and configuration."""
    keys = ["arm", *dotted_fields(trials)]
    group = trials.groupby(keys, sort=False, dropna=False).ngroup()
    first = trials.loc[~group.duplicated(), keys]
    records = first.astype("object").where(first.notna(), None).to_dict("records")
    digests = [digest_of(record) for record in records]
    return group.map(dict(enumerate(digests))).astype("string")


def _add_endings(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials with ``status``, ``error``, ``progress`` and ``length``, the whole training in epochs.

    A run is COMPLETE unless the table says otherwise, or it has no finite result or an infinite
    one, or no loss where others have one (DIVERGED, since loggers drop a NaN), or it ended more
    than an epoch before its schedule (PRUNED).
    """
    unknown = pd.Series(np.nan, trials.index)
    given = trials["status"] if "status" in trials else unknown.astype("string")
    diverged = _is_diverged(trials, given)
    status = given.fillna("COMPLETE").mask(diverged, "DIVERGED")
    epochs = _total_epochs(trials)
    reached = trials.get("epoch", unknown)
    short = (status == "COMPLETE") & (reached + 1 + 1e-6 < epochs)
    error = unknown.astype("string").mask(short, "ended before its schedule")
    error = error.mask(diverged, "no finite result at the end")
    status = status.mask(short, "PRUNED").astype("string")
    length = epochs.fillna(reached.where(status == "COMPLETE"))
    progress = trials["progress"] if "progress" in trials else (reached / length).clip(upper=1.0)
    floats = [c.name for c in (*MEASURED_COLUMNS, *FINAL_COLUMNS) if c.dtype == "float64"]
    numbers = [name for name in floats if name in trials]
    finite = trials[numbers].replace([*_INFINITIES], np.nan)
    return trials.assign(status=status, error=error, length=length, progress=progress, **finite)


def _is_diverged(trials: pd.DataFrame, status: pd.Series[Any]) -> pd.Series[Any]:
    """Trials whose results show a divergence, unless their given status excludes it."""
    given = [column for column in RESULT_COLUMNS if column in trials]
    results = trials[given].astype("float64")
    is_infinite = results.isin([*_INFINITIES]).any(axis=1)
    losses = results[[column for column in LOSS_COLUMNS if column in results]]
    measured_losses = losses.loc[:, losses.notna().any()]
    is_lost = measured_losses.isna().any(axis=1) | results.isna().all(axis=1)
    is_open = status.isna()
    return (is_open & is_lost) | (is_infinite & (is_open | status.eq("COMPLETE")))


def _drop_repeated_dense(trials: pd.DataFrame, name: str, notes: list[str]) -> pd.DataFrame:
    """Trials without dense ones that repeat a recipe and seed, of which the first stays.

    A table with one dense run per sparse one repeats it, since it differs in sparsity fields alone.

    Raises:
        DeclarationError: if sparse runs share configuration and seed.
    """
    if "seed" not in trials:
        return trials
    keys = ["arm", "config_id", "seed"]
    # A failed run may have been run again with its seed.
    is_seeded = trials["seed"].notna() & (trials["status"] != "FAILED")
    is_repeat = trials[is_seeded].duplicated(keys).reindex(trials.index, fill_value=False)
    dense = is_repeat & (trials[TARGET_FIELD] == 0)
    sparse = is_repeat & ~dense
    if dense.any():
        notes.append(
            f"{int(dense.sum())} dense runs repeat another one's recipe and seed and are left out."
        )
    if sparse.any():
        first = trials.loc[sparse, keys].iloc[0]
        same = (trials[keys] == first).all(axis=1)
        ids = list_names(trials.loc[same, "trial_id"], 3)
        rule = (
            "runs of one configuration must differ in their seed:"
            " name the columns that tell them apart, or no seed"
        )
        got = f"{first['seed']} in runs {ids}, {int(sparse.sum())} repeats in all"
        raise DeclarationError([Problem("seed", rule, got)], f"the table {quote_value(name)}")
    return trials[~dense].reset_index(drop=True)


def _twin_ids(trials: pd.DataFrame) -> pd.Series[Any]:
    """Id of each sparse run's twin: as given, else the one dense run of its seed and recipe.

    NA where none or several match.
    """
    unknown = pd.Series(pd.NA, trials.index, dtype="string")
    given = trials.get("twin_id", unknown)
    given = given.where(given.isin(trials["trial_id"]))
    if "seed" not in trials:
        return given
    dense = trials["seed"].notna() & (trials[TARGET_FIELD] == 0)
    arms = list(dict.fromkeys(trials.loc[dense, "arm"]))
    fields = [path for path in dotted_fields(trials) if path != STRETCH_FIELD]
    shared = [path for path in fields if not path.startswith("sparsity.")]
    keys = ["dense_arm", "seed", *shared]
    dense_arm = trials["arm"].map(lambda arm: dense_arm_of(arm, arms))
    keyed = trials.assign(dense_arm=trials["arm"].where(dense, dense_arm))
    twins = keyed[dense].drop_duplicates(keys, keep=False)[[*keys, "trial_id"]]
    twins = twins.rename(columns={"trial_id": "found"})
    found = keyed[keys].merge(twins, on=keys, how="left")["found"].set_axis(trials.index)
    sparse = (trials[TARGET_FIELD] > 0) & trials["seed"].notna()
    return given.fillna(found.where(sparse)).astype("string")


def _history(rows: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Evaluations of the trials; infinite values become missing, as after a divergence."""
    own = [column.name for column in (*PROGRESS_COLUMNS, *MEASURED_COLUMNS) if column.name in rows]
    names = ["study", "arm", "config_id", "seed", "role", "status", *dotted_fields(trials)]
    repeated = [name for name in (*names, "length") if name in trials]
    history = rows[["trial_id", *own]].merge(
        trials[["trial_id", *repeated]], on="trial_id", how="inner"
    )
    if "progress" not in own and "epoch" in own:
        history["progress"] = (history["epoch"] / history["length"]).clip(upper=1.0)
    elif "progress" not in own:
        history["progress"] = np.nan
    if "target" not in own:
        history["target"] = history[TARGET_FIELD]
    measured = [column.name for column in MEASURED_COLUMNS if column.name in own]
    history[measured] = history[measured].replace([*_INFINITIES], np.nan)
    return conform_columns(history, HISTORY_COLUMNS)


def _list_rows(mask: pd.Series[Any]) -> str:
    """Numbers of the first rows: ``rows 0, 1, 2 and 4 more``."""
    rows = list(mask.index[mask])
    rest = len(rows) - MAX_LISTED_ROWS
    more = f" and {rest} more" if rest > 0 else ""
    return f"rows {', '.join(map(str, rows[:MAX_LISTED_ROWS]))}{more}"


def _list_trials(trials: pd.DataFrame, mask: pd.Series[Any]) -> str:
    names = list_names(trials.loc[mask, "trial_id"], 3)
    return f"not so: {names}, {int(mask.sum())} of {len(trials)} runs"
