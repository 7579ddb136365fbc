"""Trials from the rows of a table: what each run aimed at, how it ended, which is its twin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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

from ...catalogue import write
from ...catalogue.template import Sentence
from ..declared import narrow_dtype
from ..design import EPOCH_MULTIPLIER_FIELD, EPOCHS_FIELD, TARGET_FIELD
from ..selection import dense_arm_of
from .columns.known import (
    COUNT_COLUMN,
    EPOCH_PREFIX,
    LABEL_PREFIX,
    OWN_PREFIX,
    RESULT_COLUMNS,
    TEST_RESULTS,
)
from .columns.quotes import list_names, quote_value
from .rows import (
    METHOD_FIELD,
    ORDER_COLUMNS,
    add_scores,
    add_trial_ids,
    dotted_fields,
    final_rows,
    first_given_column,
    missing_column_problems,
    order_problems,
    run_arms,
    run_count_note,
    sort_rows,
    steady_problems,
)
from .targets import sparsity_targets

STRETCH_FIELD = "schedule.stretch"
LOSS_COLUMNS = ("train_loss", "val_loss", "batch_loss", "test_loss")
_INFINITIES = (np.inf, -np.inf)


@dataclass(frozen=True)
class ForeignRuns:
    """Trials and their evaluations, with the contract's columns; ``cell`` and ``role`` are open.

    Args:
        trials: One row per run.
        history: One row per run and evaluation, in order.
        notes: Decisions made on the way, a sentence each.
        means: ``n``, ``COLUMN_sd`` and ``dense_id``, the dense mean of the same recipe, of the runs
            that are means over several, by their ids.
        evaluations: ``trial_id`` and ``row``, the row of the table, in the order of evaluations.
    """

    trials: pd.DataFrame
    history: pd.DataFrame
    notes: tuple[str, ...]
    means: pd.DataFrame = field(default_factory=pd.DataFrame)
    evaluations: pd.DataFrame = field(default_factory=pd.DataFrame)


def build_runs(
    rows: pd.DataFrame, name: str, tolerance: float | None = None, hints: str = ""
) -> ForeignRuns:
    """Build trials from rows with our column names.

    Args:
        rows: One row per run, or several that one of `ORDER_COLUMNS` distinguishes, as
            `columns.read_columns` returns them.
        name: Name of the table; also of its one arm where none is given.
        tolerance: Distance within which sparsities count as one; None for that of their digits.
        hints: Columns that were not taken and may tell runs apart, for a message; may be empty.

    Raises:
        DeclarationError: naming every reason why the rows are no runs.
    """
    notes: list[str] = []
    is_named = "trial_id" in rows
    rows = rows.assign(arm=run_arms(rows, name))
    order = first_given_column(rows, ORDER_COLUMNS)
    rows, problems = add_trial_ids(rows, order)
    if not problems:
        problems = [*order_problems(rows, order), *steady_problems(rows)]
    problems += missing_column_problems(rows, hints)
    if problems:
        raise DeclarationError(problems, f"the table {quote_value(name)}")
    rows = add_scores(sort_rows(rows.assign(row=np.arange(len(rows))), order), notes)
    trials = final_rows(rows)
    if len(trials) < len(rows):
        notes.append(run_count_note(rows, trials, order, is_named))
    # Targets make the cells: everything below needs them, even where none was given.
    given = first_given_column(trials, (TARGET_FIELD, "target"))
    trials[TARGET_FIELD], problems = sparsity_targets(trials, given, tolerance)
    if given is None:
        notes.append(str(_targets_sentence(tolerance)))
    problems += list(_target_problems(trials)) or list(_length_problems(trials))
    if problems:
        raise DeclarationError(problems, f"the table {quote_value(name)}")
    trials = _add_configurations(trials, notes)
    trials = _drop_repeated_dense(_add_endings(trials), name, notes, hints)
    means = _given_means(trials)
    problems = list(_repeated_mean_problems(trials, means))
    if problems:
        raise DeclarationError(problems, f"the table {quote_value(name)}")
    target = trials.get("target", trials[TARGET_FIELD])
    trials = trials.assign(study=name, twin_id=_twin_ids(trials), target=target)
    history = _history(rows, trials)
    conformed = conform_columns(trials, TRIAL_COLUMNS)
    labels = [name for name in map(str, trials.columns) if name.startswith(LABEL_PREFIX)]
    conformed = conformed.assign(**{name: trials[name].to_numpy() for name in labels})
    return ForeignRuns(conformed, history, tuple(notes), means, rows[["trial_id", "row"]])


def _given_means(trials: pd.DataFrame) -> pd.DataFrame:
    """``n``, ``COLUMN_sd`` and ``dense_id`` of runs that are means, by their ids.

    The dense mean of a sparse one has its recipe: means have no seeds by which runs are paired.
    """
    if COUNT_COLUMN not in trials:
        return pd.DataFrame()
    spreads = [f"{name}_sd" for name in RESULT_COLUMNS if f"{name}_sd" in trials]
    means = trials.set_index("trial_id")[[COUNT_COLUMN, *spreads]].astype("float64")
    means = means[means[COUNT_COLUMN] > 1]
    own = trials[trials["trial_id"].isin(means.index)].assign(seed=0)
    return means.assign(dense_id=_twin_ids(own).set_axis(means.index))


def _repeated_mean_problems(trials: pd.DataFrame, means: pd.DataFrame) -> Iterator[Problem]:
    """Problem of configurations with several means, which no formula here joins."""
    own = trials[trials["trial_id"].isin(means.index)]
    is_repeat = own.duplicated(["arm", "config_id"])
    if is_repeat.any():
        rule = (
            "a configuration has one mean: name the columns that tell these apart, in `columns`,"
            " `search` or `sweep`, or join them"
        )
        names = list_names(own.loc[is_repeat, "trial_id"], 3)
        yield Problem(COUNT_COLUMN, rule, f"several of one configuration: {names}")


def _targets_sentence(tolerance: float | None) -> Sentence:
    """Sentence on sparsities that are taken from those that were reached."""
    if tolerance is None:
        return write("reading_targets")
    return write("reading_tolerance", tolerance=f"{100 * tolerance:.4g}")


def conform_columns(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Exactly ``columns``, each with its declared dtype, then the dotted fields of ``frame``."""
    wanted = {column.name: column.dtype for column in columns}
    fields: dict[str, pd.Series[Any]] = {}
    for path in dotted_fields(frame):
        values = frame[path]
        fields[path] = narrow_dtype(values) if values.dtype == object else values
    conformed = frame.reindex(columns=list(wanted)).astype(wanted)
    return conformed.assign(**fields).reset_index(drop=True)


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
    # Twins and teachers serve an arm and stay in it.
    dense_arms = set(trials.loc[dense & ~auxiliary, "arm"])
    mixed = sorted(dense_arms & set(trials.loc[~dense, "arm"]))
    is_alone = trials["arm"].nunique() == 1
    renamed = {arm: "dense" if is_alone else f"dense-{arm}" for arm in mixed}
    if renamed:
        names = list_names(dict.fromkeys(renamed.values()), 5)
        plural = "s" if len(renamed) > 1 else ""
        notes.append(str(write("reading_dense_arms", arms=f"the arm{plural} {names}")))
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
    # A digest needs plain values; None is the only missing one that JSON has.
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
    # Without a schedule, a complete run is as long as its last epoch.
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
    # A column without any value says nothing about divergence.
    measured_losses = losses.loc[:, losses.notna().any()]
    is_lost = measured_losses.isna().any(axis=1) | results.isna().all(axis=1)
    is_open = status.isna()
    return (is_open & is_lost) | (is_infinite & (is_open | status.eq("COMPLETE")))


def _drop_repeated_dense(
    trials: pd.DataFrame, name: str, notes: list[str], hints: str
) -> pd.DataFrame:
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
        notes.append(str(write("reading_repeated_dense", count=int(dense.sum()))))
    if sparse.any():
        first = trials.loc[sparse, keys].iloc[0]
        same = (trials[keys] == first).all(axis=1)
        ids = list_names(trials.loc[same, "trial_id"], 3)
        rule = (
            "runs of one configuration must differ in their seed: name the columns that tell them"
            f" apart, in `columns`, `search` or `sweep`{hints}"
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
    if given.notna().any():
        # A twin that the table lacks cannot be compared with.
        given = given.where(given.isin(trials["trial_id"]))
    if "seed" not in trials:
        return given
    dense = trials["seed"].notna() & (trials[TARGET_FIELD] == 0)
    arms = list(dict.fromkeys(trials.loc[dense, "arm"]))
    fields = [path for path in dotted_fields(trials) if path != STRETCH_FIELD]
    is_own = [path for path in fields if path.startswith(OWN_PREFIX)]
    # A field that no dense run has is one of the sparse method.
    sparse_only = [path for path in is_own if trials.loc[dense, path].isna().all()]
    shared = [path for path in fields if not path.startswith("sparsity.")]
    shared = [path for path in shared if path not in sparse_only]
    keys = ["dense_arm", "seed", *shared]
    dense_arm = trials["arm"].map(lambda arm: dense_arm_of(arm, arms))
    keyed = trials.assign(dense_arm=trials["arm"].where(dense, dense_arm))
    # Of several matches none is the twin: to pick one would be a guess.
    twins = keyed[dense].drop_duplicates(keys, keep=False)[[*keys, "trial_id"]]
    twins = twins.rename(columns={"trial_id": "found"})
    found = keyed[keys].merge(twins, on=keys, how="left")["found"].set_axis(trials.index)
    sparse = (trials[TARGET_FIELD] > 0) & trials["seed"].notna()
    return given.fillna(found.where(sparse)).astype("string")


def _history(rows: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Evaluations of the trials; infinite values become missing, as after a divergence."""
    rows = _with_epoch_tests(rows)
    tests = [name for name in TEST_RESULTS if name in rows]
    own = [column.name for column in (*PROGRESS_COLUMNS, *MEASURED_COLUMNS) if column.name in rows]
    own += tests
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
    columns = [*HISTORY_COLUMNS, *(c for c in FINAL_COLUMNS if c.name in tests)]
    return conform_columns(history, columns)


def _with_epoch_tests(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the test metrics of every evaluation, where a run has several of them.

    They are those that the table names so, else the results themselves where they vary in a run.
    """
    runs = rows["trial_id"]
    found: dict[str, pd.Series[Any]] = {}
    for name in TEST_RESULTS:
        by_epoch = rows.get(f"{EPOCH_PREFIX}{name}")
        if by_epoch is None and name in rows and (rows[name].groupby(runs).count() > 1).any():
            by_epoch = rows[name]
        if by_epoch is not None:
            found[name] = by_epoch
    return rows.drop(columns=[name for name in TEST_RESULTS if name in rows]).assign(**found)


def _list_trials(trials: pd.DataFrame, mask: pd.Series[Any]) -> str:
    names = list_names(trials.loc[mask, "trial_id"], 3)
    return f"not so: {names}, {int(mask.sum())} of {len(trials)} runs"
