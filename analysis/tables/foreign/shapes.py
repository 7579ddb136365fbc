"""Shapes of tables that hold a run in several rows or columns: turned to one row per run."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from sparsetune.errors import Problem

from ...catalogue import write
from ..design import TARGET_FIELD
from .columns.known import RESULT_COLUMNS, known_columns
from .columns.quotes import list_names, quote_value

MAX_MEASURES = 50
"""Different texts up to which a column may hold names of measures."""
VALUE_COLUMN = "value"
"""Column of the values in a melted table, as pandas names it."""
RUN_COLUMNS = ("seed", "trial_id")
"""Columns that tell runs apart, without which equal rows may be runs with equal results."""
_NUMBERED_NAME = re.compile(r"(.*?)(?:[ _.\-/]*(?:seed|run|rep|trial|fold)|[ _.\-/])[ _.\-/]*(\d+)")

ColumnName = Hashable | Sequence[Hashable] | Mapping[Any, Hashable]
"""What stands for one of our columns: a column of the table; a list, a column for each seed; or a
mapping, a column for each sparsity."""


@dataclass(frozen=True)
class Shaped:
    """A table with one row per run or evaluation.

    Args:
        frame: The rows, with an index from 0.
        columns: The table's name by ours, one column each.
        notes: What was done, a sentence each.
        problems: What is wrong.
    """

    frame: pd.DataFrame
    columns: dict[str, Hashable]
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def reshape(frame: pd.DataFrame, columns: Mapping[str, ColumnName]) -> Shaped:
    """Turn a table to one row per run or evaluation.

    A melted table, which has a row for each measure, gets a column for each of them. Columns that
    the caller lists for one of ours become rows. Rows that repeat another one in every column are
    left out where a column tells runs apart.

    Args:
        frame: The rows, with an index from 0.
        columns: The table's columns by our names, as the caller gave them.
    """
    single = {ours: name for ours, name in columns.items() if not _is_several(name)}
    several = {ours: name for ours, name in columns.items() if _is_several(name)}
    shaped = _without_repeats(_unmelt(Shaped(frame, dict(single))))
    if shaped.problems or not several:
        return shaped
    return _stack(shaped, several)


def _is_several(name: object) -> bool:
    # A tuple may be the name of one column.
    return isinstance(name, list | Mapping)


def _unmelt(shaped: Shaped) -> Shaped:
    """The table with a column for each measure; as it is where it is not melted."""
    frame = shaped.frame
    found = _measure_column(frame, shaped.columns)
    if found is None:
        return shaped
    values = _value_column(frame, found, shaped.columns)
    if values is None:
        rule = (
            f"names measures of which each row holds one: call the column of their values"
            f" `{VALUE_COLUMN}`"
        )
        problem = Problem(quote_value(found)[1:-1], rule)
        return replace(shaped, problems=(problem,))
    keys = [name for name in frame.columns if name not in (found, values)]
    if not keys:
        return shaped
    run = frame.groupby(keys, dropna=False, sort=False).ngroup()
    cells = pd.DataFrame({"run": run, "measure": frame[found], "value": frame[values]})
    cells = cells.drop_duplicates()
    is_double = cells.duplicated(["run", "measure"], keep=False)
    if is_double.any():
        first = cells[is_double].iloc[0]
        rule = (
            f"has several values of {quote_value(first['measure'])} for what seems one run: add a"
            " column that tells the runs apart, such as `seed`"
        )
        problem = Problem(quote_value(found)[1:-1], rule, f"row {cells.index[is_double][0]}")
        return replace(shaped, problems=(problem,))
    wide = cells.pivot(index="run", columns="measure", values="value").rename_axis(columns=None)
    rows = frame.loc[~run.duplicated(), keys].reset_index(drop=True)
    note = write("reading_melted", measures=quote_value(found), values=quote_value(values))
    joined = pd.concat([rows, wide.reset_index(drop=True)], axis=1)
    return replace(shaped, frame=joined, notes=(*shaped.notes, str(note)))


def _measure_column(frame: pd.DataFrame, columns: Mapping[str, Hashable]) -> Hashable | None:
    """Column of a melted table that names measures; None where the table has none.

    It is one if it holds the name of a column that the caller asks for and the table lacks, or
    results under our names alone.
    """
    missing = {name for name in columns.values() if name not in frame.columns}
    results = set(RESULT_COLUMNS) - set(map(str, frame.columns))
    for name in frame.columns:
        column = frame[name]
        if isinstance(column, pd.DataFrame) or pd.api.types.is_numeric_dtype(column.dtype):
            continue
        known = column.dropna()
        try:
            # Most columns need not be read: those of a CSV file are all text.
            if not missing and (known.empty or known.iloc[0] not in results):
                continue
            texts = set(known.unique()[: MAX_MEASURES + 1])
        except TypeError:  # lists have no hash
            continue
        if not 0 < len(texts) <= MAX_MEASURES:
            continue
        # Our names also name columns of tables that are not melted.
        if texts & missing or texts <= results:
            return name
    return None


def _value_column(
    frame: pd.DataFrame, measures: Hashable, columns: Mapping[str, Hashable]
) -> Hashable | None:
    """Column with the values of a melted table; None where several may be it."""
    if VALUE_COLUMN in frame.columns:
        return VALUE_COLUMN
    taken = {measures, *columns.values(), *known_columns()}
    others = [name for name in frame.columns if name not in taken]
    fractional = [name for name in others if _has_fractions(frame[name])]
    return fractional[0] if len(fractional) == 1 else None


def _has_fractions(column: Any) -> bool:
    """True for a column of numbers that are not all whole."""
    if not isinstance(column, pd.Series):
        return False
    numbers = pd.to_numeric(column, errors="coerce")
    is_number = numbers.notna() | column.isna()
    return bool(is_number.all() and (numbers.dropna() % 1 != 0).any())


def _without_repeats(shaped: Shaped) -> Shaped:
    """The table without rows that equal an earlier one in every column."""
    frame = shaped.frame
    try:
        is_repeat = frame.duplicated()
    except TypeError:  # lists have no hash
        return shaped
    count = int(is_repeat.sum())
    if not count:
        return shaped
    if any(name in shaped.columns or name in frame.columns for name in RUN_COLUMNS):
        kept = frame[~is_repeat].reset_index(drop=True)
        note = write("reading_repeats", count=count, rows=len(frame))
        return replace(shaped, frame=kept, notes=(*shaped.notes, str(note)))
    times = frame.value_counts(dropna=False)
    if len(times) > 1 and (times == times.iloc[0]).all():
        rule = (
            f"every row stands {times.iloc[0]} times, as if the table was joined with itself: give"
            " `frame.drop_duplicates()`, or a column `seed` if they are runs of equal result"
        )
        return replace(shaped, problems=(Problem("", rule),))
    return shaped


def _stack(shaped: Shaped, several: Mapping[str, Any]) -> Shaped:
    """The table with a row for each of the columns that stand for one of ours."""
    problems = list(_several_problems(shaped, several))
    if problems:
        return replace(shaped, problems=tuple(problems))
    frame = shaped.frame
    by_sparsity = isinstance(next(iter(several.values())), Mapping)
    axis = TARGET_FIELD if by_sparsity else "seed"
    first = next(iter(several.values()))
    marks = [*first] if by_sparsity else [*range(len(first))]
    stacked = [name for names in several.values() for name in _listed(names)]
    kept = frame.drop(columns=stacked)
    names = {ours: _joint_name(ours, given) for ours, given in several.items()}
    parts = []
    for place, mark in enumerate(marks):
        values = {names[ours]: frame[_listed(given)[place]] for ours, given in several.items()}
        parts.append(kept.assign(**{axis: mark}).join(pd.DataFrame(values)))
    rows = pd.concat(parts)
    # By the table's rows, each with its columns in order.
    rows = rows.sort_index(kind="stable")
    is_empty = rows[[*names.values()]].isna().all(axis=1)
    notes = shaped.notes
    if is_empty.any():
        notes = (*notes, str(write("reading_empty_runs", count=int(is_empty.sum()))))
    rows = rows[~is_empty].reset_index(drop=True)
    columns: dict[str, Hashable] = {**shaped.columns, **names, axis: axis}
    return Shaped(rows, columns, notes)


def _listed(given: Sequence[Hashable] | Mapping[Any, Hashable]) -> list[Hashable]:
    return [*given.values()] if isinstance(given, Mapping) else [*given]


def _joint_name(ours: str, given: Sequence[Hashable] | Mapping[Any, Hashable]) -> str:
    """Name of the column that several become; that of a seed's column may tell the unit."""
    if isinstance(given, Mapping):
        return f"{ours} by sparsity"
    return f"{given[0]} … {given[-1]}"


def _several_problems(shaped: Shaped, several: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with columns of which several stand for one of ours."""
    frame = shaped.frame
    forms = {
        tuple(given) if isinstance(given, Mapping) else len(given) for given in several.values()
    }
    if len(forms) > 1:
        rule = "must list as many columns each, for the same seeds or sparsities in one order"
        yield Problem("columns", rule, list_names(several))
        return
    axis = TARGET_FIELD if isinstance(next(iter(forms)), tuple) else "seed"
    if axis in shaped.columns or axis in frame.columns:
        rule = f"takes several columns, one for each {_AXIS_WORDS[axis]}, but the table has them"
        yield Problem(next(iter(several)), f"{rule} in a column of their own")
    for ours, given in several.items():
        names = _listed(given)
        if len(names) < 2 or not all(isinstance(name, Hashable) for name in names):
            yield Problem(ours, "a list of columns must name two or more", quote_value(given))
            continue
        if ours not in RESULT_COLUMNS:
            rule = f"only results may stand in several columns: {', '.join(RESULT_COLUMNS)}"
            yield Problem(ours, rule)
        missing = [name for name in names if (frame.columns == name).sum() != 1]
        if missing or len(set(names)) < len(names):
            rule = f"the table must have each of its columns once; it has {_names_of(frame)}"
            yield Problem(ours, rule, list_names(map(str, missing or names)))


_AXIS_WORDS = {TARGET_FIELD: "sparsity", "seed": "seed"}


def _names_of(frame: pd.DataFrame) -> str:
    return list_names(map(str, frame.columns))


def further_seed_problems(
    theirs: Mapping[str, Hashable], untaken: Sequence[Hashable]
) -> Iterator[Problem]:
    """Problem of a result in ``acc_0`` beside ``acc_1`` and ``acc_2``, which were not taken.

    Numbers of further seeds follow on each other from 0 or 1, unlike those of ``top1`` and
    ``top5``.

    Args:
        theirs: The table's name by ours.
        untaken: Columns of the table that were not taken.
    """
    numbered: dict[str, dict[int, Hashable]] = {}
    for name in untaken:
        if match := _NUMBERED_NAME.fullmatch(str(name)):
            numbered.setdefault(match[1], {})[int(match[2])] = name
    for ours, name in theirs.items():
        match = _NUMBERED_NAME.fullmatch(str(name))
        if ours not in RESULT_COLUMNS or not match or match[1] not in numbered:
            continue
        columns = {**numbered[match[1]], int(match[2]): name}
        numbers = sorted(columns)
        if numbers not in ([*range(len(numbers))], [*range(1, len(numbers) + 1)]):
            continue
        names = [str(columns[number]) for number in numbers]
        rest = [other for other in names if other != str(name)]
        rule = (
            f"{quote_value(name)} is one of several such columns: list them, a column for each"
            f" seed, columns={{'{ours}': {names}}}, or leave the others out, ignore={rest}"
        )
        yield Problem(ours, rule)


def sparsity_column_advice(untaken: Sequence[Hashable]) -> str:
    """Advice for a table of which several columns are named by sparsities; else empty."""
    by_sparsity: dict[float, Hashable] = {}
    for name in untaken:
        with suppress(ValueError):
            by_sparsity[float(str(name).strip().removesuffix("%"))] = name
    if len(by_sparsity) < 2 or not all(0 <= value < 100 for value in by_sparsity):
        return ""
    shown = ", ".join(f"{value:g}: {name!r}" for value, name in by_sparsity.items())
    mapping = f"columns={{'test_accuracy': {{{shown}}}}}"
    return f"; where each sparsity has a column of its own, say so: {mapping}"
