"""Names of columns: which of ours was meant, and what is wrong with those that were given."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterator, Mapping

import pandas as pd

from sparsetune.errors import Problem

from .known import DERIVED_COLUMNS, column_kind, known_columns
from .quotes import list_names, quote_value
from .units import LOSS_SUFFIXES, OF_LOSS, UNIT_NAMES, may_have_unit

MAX_SUGGESTIONS = 10
"""Names of ours that a message about an unknown name suggests."""
MIN_NAME_SIMILARITY = 0.6
"""Ratio of `difflib` from which on a name counts as a misspelling of another."""
MAX_TEXT_CHARACTERS = 200
"""Characters of a name or another text."""


def naming_problems(
    table: pd.DataFrame,
    theirs: Mapping[str, Hashable],
    columns: Mapping[str, Hashable],
    units: Mapping[str, str],
) -> Iterator[Problem]:
    """Problems with names and units, found before any column is read.

    Args:
        table: The rows.
        theirs: The table's name by ours, of all columns to be taken.
        columns: The same for those that the caller named.
        units: Unit by our name.
    """
    ours_of = {str(name): ours for ours, name in theirs.items()}
    for unknown in {*columns, *units}:
        if column_kind(str(unknown)):
            continue
        if str(unknown) in ours_of and unknown not in columns:
            ours = ours_of[str(unknown)]
            yield Problem(str(unknown), f"`units` takes our names, here `{ours}`")
        else:
            yield _unknown_name_problem(unknown)
    counts = table.columns.value_counts()
    for ours, name in theirs.items():
        if not column_kind(ours):
            continue
        if not isinstance(name, Hashable):
            yield Problem(ours, "`columns` maps our name to one of the table's", quote_value(name))
        elif counts.get(name, 0) != 1:
            times = int(counts.get(name, 0))
            names = list_names(map(str, table.columns))
            rule = f"the table must have one column {quote_value(name)}; it has {names}"
            yield Problem(ours, rule, f"{times} columns of that name" if times else "none")
    for ours, unit in units.items():
        if column_kind(ours):
            yield from _unit_problems(ours, unit, ours in theirs)


def _unknown_name_problem(name: str) -> Problem:
    """Problem of a name that is none of ours, with suggestions."""
    rule = "is worked out from the runs" if name in DERIVED_COLUMNS else "is no column of ours"
    near = list_names(_suggest_names(str(name)[:MAX_TEXT_CHARACTERS]))
    total = len(known_columns())
    every = (
        f"of {total} names, all in `list(analysis.tables.foreign.columns.known.known_columns())`"
    )
    return Problem(quote_value(name)[1:-1], f"{rule}; near: {near}, {every}")


def _suggest_names(mistaken: str) -> list[str]:
    """Names of ours that are most similar, at most `MAX_SUGGESTIONS`.

    Likely misspellings come first, then names that contain it, as ``test_accuracy`` contains
    ``acc``.
    """
    known = known_columns()
    word = mistaken.lower().rpartition(".")[2]
    containing = [name for name in known if word and word in name.rpartition(".")[2]]
    # A cutoff of 0 fills the list up: even a far name shows what names look like.
    similar = difflib.get_close_matches(mistaken, known, MAX_SUGGESTIONS, 0.0)
    misspelt: list[str] = []
    for name in similar:
        ratio = difflib.SequenceMatcher(None, name, mistaken).ratio()
        if ratio > MIN_NAME_SIMILARITY:
            misspelt.append(name)
    return list(dict.fromkeys([*misspelt, *containing, *similar]))[:MAX_SUGGESTIONS]


def _unit_problems(ours: str, unit: str, given: bool) -> Iterator[Problem]:
    """Problems with the unit of a column of ours; ``given`` is True if the table has the column."""
    if not given:
        yield Problem(
            ours,
            "`units` says what it is in, but the table gives no such column; name it in `columns`",
        )
    known = column_kind(ours)
    has_unit = known is not None and known.kind in ("fraction", "length", "loss")
    if unit not in UNIT_NAMES:
        yield Problem(ours, f"a unit must be one of {', '.join(UNIT_NAMES)}", quote_value(unit))
    elif not has_unit or (ours.endswith(LOSS_SUFFIXES) and unit not in OF_LOSS):
        rule = "only a fraction has a unit, and a loss (nats or bits); this is taken as it is"
        yield Problem(ours, rule, unit)
    elif may_have_unit(ours, unit):
        yield Problem(ours, may_have_unit(ours, unit))
