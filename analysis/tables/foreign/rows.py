"""Rows of a table that are evaluations of one run: their order, and the run's last row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sparsetune.errors import Problem
from sparsetune.spec.columns import FINAL_COLUMNS

from ...catalogue import paragraph, write
from ..design import EPOCHS_FIELD, TARGET_FIELD
from .columns.known import EPOCH_PREFIX, RESULT_COLUMNS
from .columns.numbers import MAX_LISTED_ROWS
from .columns.quotes import list_names, quote_value
from .columns.units import FRACTION_DECIMALS

ORDER_COLUMNS = ("step", "epoch", "progress")
"""Columns that may distinguish the rows of a run; the first that the table has does."""
METHOD_FIELD = "sparsity.method"
SPARSITY_SOURCES = ("sparsity", "target", TARGET_FIELD)
"""Columns of which a table must have one, since they say how sparse its runs are."""
_TEXT_COLUMNS = ("arm", "role", "config_id", "twin_id")


def dotted_fields(frame: pd.DataFrame) -> list[str]:
    """Names of the configuration's columns."""
    return [str(name) for name in frame.columns if "." in str(name)]


def _has_values(rows: pd.DataFrame, column: str) -> bool:
    return column in rows and bool(rows[column].notna().any())


def first_given_column(rows: pd.DataFrame, columns: Sequence[str]) -> str | None:
    """First of the columns that holds a value; None where none does."""
    return next((column for column in columns if _has_values(rows, column)), None)


def run_arms(rows: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Arm as given, else the method, as in a study without arms, else the table's name."""
    unknown = pd.Series(pd.NA, rows.index)
    given = rows["arm"] if "arm" in rows else rows.get(METHOD_FIELD, unknown)
    return given.astype("string").fillna(name)


def missing_column_problems(rows: pd.DataFrame, hints: str = "") -> list[Problem]:
    """Problems of a table that lacks every result, or every column on sparsity.

    Args:
        rows: Columns under our names.
        hints: Columns that were not taken, as the end of a message.
    """
    problems: list[Problem] = []
    if first_given_column(rows, RESULT_COLUMNS) is None:
        rule = f"the table must give at least one result: {', '.join(RESULT_COLUMNS)}{hints}"
        problems.append(Problem("", rule))
    if first_given_column(rows, SPARSITY_SOURCES) is None:
        rule = (
            "the table must say how sparse its runs are, in this column or in `sparsity`, where"
            f" `units` takes weights left too ('density'){hints}"
        )
        problems.append(Problem(TARGET_FIELD, rule))
    return problems


def add_trial_ids(rows: pd.DataFrame, order: str | None) -> tuple[pd.DataFrame, list[Problem]]:
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
    # Rows that agree in all of these are runs of their own unless steps distinguish them.
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


def order_problems(rows: pd.DataFrame, order: str | None) -> Iterator[Problem]:
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
    # Of two rows at one step, nothing tells which one counts.
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


def steady_problems(rows: pd.DataFrame) -> Iterator[Problem]:
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


def sort_rows(rows: pd.DataFrame, order: str | None) -> pd.DataFrame:
    """Rows by run as it first comes, each run in order, with its constant values in every row."""
    # Runs stay in their order of appearance, which later breaks ties between configurations.
    place = pd.Series(pd.factorize(rows["trial_id"])[0], rows.index)
    keys = pd.DataFrame({"place": place})
    if order:
        keys["order"] = rows[order]
    sorted_index = keys.sort_values([*map(str, keys)], kind="stable").index
    rows = rows.loc[sorted_index].reset_index(drop=True)
    if rows["trial_id"].is_unique:
        return rows
    groups = rows.groupby("trial_id", sort=False)
    steady = {column: groups[column].transform("first") for column in _steady_columns(rows)}
    return rows.assign(**steady)


def final_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Last row of each run.

    A value that is measured once, at the end, may stand in any row of the run; the status is the
    last one given.
    """
    final = rows.drop_duplicates("trial_id", keep="last").set_index("trial_id")
    # With one row per run there is nothing to collect from other rows.
    if len(final) < len(rows):
        groups = rows.groupby("trial_id", sort=False)
        for column in (column.name for column in FINAL_COLUMNS if column.name in rows):
            # A result that is repeated in every row, beside the curve that it came from, is one.
            counts = groups[column].nunique() if f"{EPOCH_PREFIX}{column}" in rows else None
            counts = groups[column].count() if counts is None else counts
            only_value = groups[column].first().where(counts == 1)
            final[column] = final[column].where(final[column].notna(), only_value)
        if "status" in rows:
            final["status"] = groups["status"].last()
    return final.reset_index()


def run_count_note(rows: pd.DataFrame, trials: pd.DataFrame, order: str | None, named: bool) -> str:
    """How rows became fewer runs."""
    by = "`trial_id`" if named else "arm, configuration and seed"
    said = [write("reading_rows", rows=len(rows), runs=len(trials), by=by, order=order)]
    if not named:
        said.append(write("reading_lengths", field=EPOCHS_FIELD))
    return paragraph(said)


def add_scores(rows: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Rows with ``val_score`` = 1 - ``val_error`` where only the error is given."""
    unknown = pd.Series(np.nan, rows.index)
    error = rows.get("val_error", unknown).astype("float64")
    score = rows.get("val_score", unknown).astype("float64")
    is_derived = score.isna() & error.notna()
    if not is_derived.any():
        return rows
    count = int(is_derived.sum())
    if count == error.notna().sum():
        notes.append(str(write("reading_scores")))
    else:
        notes.append(str(write("reading_some_scores", count=count, rows=len(rows))))
    return rows.assign(val_score=score.fillna((1 - error).round(FRACTION_DECIMALS)))


def _list_rows(mask: pd.Series[Any]) -> str:
    """Numbers of the first rows: ``rows 0, 1, 2 and 4 more``."""
    rows = list(mask.index[mask])
    rest = len(rows) - MAX_LISTED_ROWS
    more = f" and {rest} more" if rest > 0 else ""
    return f"rows {', '.join(map(str, rows[:MAX_LISTED_ROWS]))}{more}"
