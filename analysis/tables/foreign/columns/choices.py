"""Choices of the caller about a table's columns: axes, labels, and columns that are left out."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from sparsetune.errors import Problem

from ...design import TARGET_FIELD
from .known import LABEL_PREFIX, OWN_PREFIX, RESULT_COLUMNS, known_columns
from .quotes import list_names, quote_value

AXIS_FIELDS = {"lr": "optim.lr"}
"""Field of the configuration that a column of another meaning and this name is as an axis."""
NAMING_COLUMNS = ("arm", "config_id", "trial_id", "twin_id", "role", "seed", "status")
"""Columns that name a run, or say how it ended, and are no axis."""
_SPARSITY_NAMES = ("sparsity", "target", TARGET_FIELD)


@dataclass(frozen=True)
class Choices:
    """Columns of the table by our names, and what the caller says that they are.

    Args:
        columns: The table's name by ours, of all columns that the caller named in any way.
        search: Our fields of the columns that were searched.
        sweep: Our fields of the columns that were crossed on purpose.
        ignored: Columns of the table that are left out.
    """

    columns: dict[str, Hashable] = field(default_factory=dict)
    search: tuple[str, ...] = ()
    sweep: tuple[str, ...] = ()
    ignored: tuple[Hashable, ...] = ()


@dataclass(frozen=True)
class ColumnLists:
    """Arguments of `load_table` that list columns, each by the table's name or ours.

    Args:
        search: Columns whose values were optimised.
        sweep: Columns whose values were crossed on purpose.
        label: Columns that are carried along.
        ignore: Columns that are left out, by the table's name.
    """

    search: Sequence[Hashable] = ()
    sweep: Sequence[Hashable] = ()
    label: Sequence[Hashable] = ()
    ignore: Sequence[Hashable] = ()

    def named(self) -> Iterator[tuple[str, Hashable]]:
        """Pairs of an argument's name and a column in it."""
        for argument in ("search", "sweep", "label", "ignore"):
            for name in getattr(self, argument):
                yield argument, name


def list_problems(lists: ColumnLists) -> Iterator[Problem]:
    """Problems of arguments that are no lists of names."""
    for argument in ("search", "sweep", "label", "ignore"):
        given = getattr(lists, argument)
        is_list = isinstance(given, Sequence) and not isinstance(given, str)
        if not is_list or not all(isinstance(name, Hashable) for name in given):
            yield Problem(argument, "must be a list of columns", quote_value(given))


def resolve_choices(
    table: pd.DataFrame, columns: Mapping[str, Hashable], lists: ColumnLists
) -> tuple[Choices, list[Problem]]:
    """Find which column each choice is about.

    A column that has none of our names becomes the field ``own.NAME`` where it is an axis.

    Args:
        table: The rows.
        columns: The table's name by ours, as the caller gave it.
        lists: The caller's lists of columns.

    Returns:
        The choices; problems with names that are unknown, or chosen as two things.
    """
    problems = list(_repeated_choices(columns, lists))
    taken: dict[str, Hashable] = dict(columns)
    axes: dict[str, list[str]] = {"search": [], "sweep": []}
    for argument, name in lists.named():
        if name not in table.columns and name not in columns:
            problems.append(_unknown_column_problem(argument, name, table))
        elif argument == "label":
            taken[f"{LABEL_PREFIX}{str(name).replace('.', '_')}"] = columns.get(str(name), name)
        elif argument in axes:
            ours = _axis_field(name, taken)
            problems += _axis_problems(argument, name, ours)
            taken.setdefault(ours, name)
            axes[argument].append(ours)
    ignored = tuple(name for name in lists.ignore if name in table.columns)
    search, sweep = (tuple(dict.fromkeys(axes[argument])) for argument in ("search", "sweep"))
    return Choices(taken, search, sweep, ignored), problems


def _axis_field(name: Hashable, taken: Mapping[str, Hashable]) -> str:
    """Our field of an axis that is given by our name or by the table's."""
    known = known_columns()
    if str(name) in taken:
        return str(name)
    for ours, theirs in taken.items():
        if theirs == name and not ours.startswith(LABEL_PREFIX):
            return ours
    if name in RESULT_COLUMNS or name in NAMING_COLUMNS:
        return str(name)
    field_name = AXIS_FIELDS.get(str(name), str(name))
    is_field = field_name in known and "." in field_name
    if (is_field and field_name not in taken) or name in _SPARSITY_NAMES:
        return field_name
    return f"{OWN_PREFIX}{name}"


def _axis_problems(argument: str, name: Hashable, ours: str) -> Iterator[Problem]:
    """Problems of a column that cannot be an axis."""
    if ours in _SPARSITY_NAMES:
        if argument == "search":
            rule = "the sparsity is crossed, never searched: leave it out of `search`"
            yield Problem(str(name), rule)
    elif "." not in ours:
        rule = f"`{argument}` takes columns of the recipe; this one is taken as `{ours}`"
        yield Problem(quote_value(name)[1:-1], rule)


def _repeated_choices(columns: Mapping[str, Hashable], lists: ColumnLists) -> Iterator[Problem]:
    """Problems of columns that are chosen as two things."""
    chosen: dict[Hashable, str] = {}
    for argument, name in lists.named():
        first = chosen.setdefault(name, argument)
        if first != argument:
            rule = f"a column is one of `search`, `sweep`, `label` and `ignore`; it is in `{first}`"
            yield Problem(quote_value(name)[1:-1], rule, f"`{argument}` too")
        if argument == "ignore" and name in columns.values():
            rule = "a column that is taken in `columns` cannot be in `ignore`: keep one of the two"
            yield Problem(quote_value(name)[1:-1], rule)


def _unknown_column_problem(argument: str, name: Hashable, table: pd.DataFrame) -> Problem:
    names = list_names(map(str, table.columns))
    rule = f"`{argument}` takes fields that the table gives: {names}"
    return Problem(quote_value(name)[1:-1], rule)
