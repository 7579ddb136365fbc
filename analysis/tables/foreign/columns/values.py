"""Values of a table's columns under our names, each read in its kind and unit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sparsetune.errors import Problem
from sparsetune.spec.columns import Phase, Role, Status

from .choices import Choices
from .given_means import GivenSpread, spread_problems
from .known import (
    COUNT_COLUMN,
    RESULT_COLUMNS,
    SPREAD_SUFFIXES,
    KnownColumn,
    column_forms,
    column_kind,
    known_columns,
)
from .lengths import LENGTHS, has_length_units
from .names import MAX_TEXT_CHARACTERS, naming_problems
from .numbers import (
    ParsedNumbers,
    broken_rule,
    parse_numbers,
    parse_whole_numbers,
    split_spreads,
    to_text,
)
from .quotes import quote_value
from .units import (
    UNIT_NAMES,
    may_have_unit,
    named_unit_rule,
    resolve_unit,
    small_percents_note,
    spread_factor,
    to_fractions,
    to_nats,
)

_STATUS_WORDS = {
    "COMPLETE": "complete completed finished terminated success succeeded done",
    "PRUNED": "pruned stopped early_stopped",
    "DIVERGED": "diverged",
    "INVALID": "invalid",
    "FAILED": "failed fail crashed error errored killed preempted",
    "RUNNING": "running paused",
    "WAITING": "waiting pending queued",
}
"""Words of Ray Tune, Optuna and Weights & Biases for each outcome, in any case."""
_WORD_TRANSLATIONS: dict[str, dict[str, str]] = {
    "status": {word: status for status, words in _STATUS_WORDS.items() for word in words.split()},
    "role": {role: role for role in get_args(Role)},
    "phase": {phase: phase for phase in get_args(Phase)},
}
COMMA_NUMBER_PATTERN = r"[+-]?(?:[0-9]+,[0-9]+|[0-9]{1,3}(?:[., '][0-9]{3})+(?:[.,][0-9]+)?)"
"""Numbers with a decimal comma or thousands separators."""
_TRUTH_VALUES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_MISSING_TRUTH_WORDS = ("", "nan", "none", "<na>", "null")
_MISSING_TEXT_WORDS = ("", "nan", "<na>")
assert set(_STATUS_WORDS) == set(get_args(Status))


@dataclass(frozen=True)
class ReadColumns:
    """Columns of a table under our names.

    Args:
        rows: Columns of numbers, text or booleans, with the table's index.
        theirs: The table's name by ours.
        units: Unit that each fraction or loss was read in, by our name.
        notes: Decisions that a reader should know, a sentence each.
    """

    rows: pd.DataFrame
    theirs: dict[str, Hashable]
    units: dict[str, str]
    notes: list[str]


@dataclass(frozen=True)
class ReadColumn:
    """One column, read.

    Args:
        values: Its values in our unit.
        rules: Rules that it breaks, with the rows that do.
        unit: Unit that it was read in; empty if it has none.
        note: Sentences on what looks odd; empty if nothing does.
    """

    values: pd.Series[Any]
    rules: list[str]
    unit: str = ""
    note: str = ""


def read_columns(
    table: pd.DataFrame, choices: Choices, units: Mapping[str, str], given: GivenSpread
) -> tuple[ReadColumns, list[Problem]]:
    """Read the table's columns under our names.

    Columns that have our names already are taken unless ``choices`` says otherwise. Infinite
    numbers stay.

    Args:
        table: Any rows, with an index from 0.
        choices: What the caller says of the columns.
        units: Unit by our name.
        given: What the caller says of means.

    Returns:
        The columns; everything that is wrong with them.
    """
    theirs = _taken_columns(table, choices)
    problems = list(naming_problems(table, theirs, choices.columns, units))
    read: dict[str, ReadColumn] = {}
    spreads: dict[str, pd.Series[Any]] = {}
    for ours, name in theirs.items():
        if column_kind(ours) is None or (table.columns == name).sum() != 1:
            continue  # a problem already
        column = table[name]
        split = split_spreads(column) if ours in RESULT_COLUMNS else None
        if split:
            column = split[0]
            problems += spread_problems(ours, str(name), given)
        read[ours] = _read_column(column, ours, str(name), units.get(ours))
        if split:
            factor = spread_factor(read[ours].unit)
            spreads[f"{ours}_{given.kind or 'sd'}"] = pd.Series(split[1] * factor, column.index)
        problems += [Problem(ours, f"column {quote_value(name)}: {r}") for r in read[ours].rules]
    values = {ours: column.values for ours, column in read.items()}
    for ours in values:
        measure = ours[:-3]
        if ours.endswith(SPREAD_SUFFIXES) and measure in read and not read[ours].unit:
            values[ours] = values[ours] * spread_factor(read[measure].unit)
    rows = pd.DataFrame(values | spreads, index=table.index)
    if given.n is not None and COUNT_COLUMN not in rows:
        rows = rows.assign(**{COUNT_COLUMN: pd.Series(given.n, rows.index, dtype="Int64")})
    read_units = {ours: column.unit for ours, column in read.items() if column.unit}
    notes = [column.note for column in read.values() if column.note]
    return ReadColumns(rows, theirs, read_units, notes), problems


def _taken_columns(table: pd.DataFrame, choices: Choices) -> dict[str, Hashable]:
    """The table's name by ours: columns that have our names, and those that the caller names."""
    known = {*known_columns(), *column_forms()}
    claimed = [*choices.columns.values(), *choices.ignored]
    theirs: dict[str, Hashable] = {}
    for label in table.columns:
        # `n` is none of these: it may count anything, and is taken only if the caller says so.
        if label in known and label not in claimed:
            theirs[str(label)] = label
    # What the caller names wins over a column that happens to have our name.
    return theirs | dict(choices.columns)


def _read_column(column: pd.Series[Any], ours: str, theirs: str, unit: str | None) -> ReadColumn:
    """One column in its kind.

    Args:
        column: What the table holds.
        ours: Our name of it.
        theirs: The table's.
        unit: Unit that the caller states; None where nothing is stated.
    """
    known = column_kind(ours) or KnownColumn("own")
    match known.kind:
        case "text":
            return ReadColumn(*_read_text(column, ours))
        case "boolean":
            return ReadColumn(*_read_truth(column))
        case "whole":
            return ReadColumn(*_read_whole_numbers(column, known.low))
        case "own":
            return ReadColumn(*_read_own(column, ours))
        case "length" if unit is None and has_length_units(column):
            return ReadColumn(to_text(column).str.strip(), [])
    found = parse_numbers(column)
    rule = f"must hold {LENGTHS if known.kind == 'length' else 'numbers'}"
    rules = broken_rule(found.bad, column, rule + _comma_advice(column, found.bad))
    unit = unit if unit in UNIT_NAMES and not may_have_unit(ours, unit) else None
    doubt = "" if unit else named_unit_rule(ours, theirs)
    if doubt and not rules:
        return ReadColumn(pd.Series(found.values, column.index), [doubt])
    if known.kind in ("fraction", "length"):
        return _read_fractions(found, column, ours, known, unit, rules)
    is_outside = (found.values < known.low) | (found.values > known.high)
    limits = f"must hold numbers in [{known.low:g}, {known.high:g}]"
    if known.kind == "spread" and found.percent.any():
        return ReadColumn(pd.Series(found.values / 100, column.index), rules, "percent")
    rules += broken_rule(found.percent, column, "takes no percent sign")
    rules += broken_rule(is_outside, column, limits)
    if known.kind == "loss":
        loss_unit = unit or "nats"
        return ReadColumn(
            pd.Series(to_nats(found.values, loss_unit), column.index), rules, loss_unit
        )
    return ReadColumn(pd.Series(found.values, column.index), rules)


def _read_fractions(
    found: ParsedNumbers,
    column: pd.Series[Any],
    ours: str,
    known: KnownColumn,
    unit: str | None,
    rules: list[str],
) -> ReadColumn:
    """A column of fractions, in whatever unit.

    Args:
        found: Its numbers.
        column: What the table holds.
        ours: Our name of it.
        known: Range of the fractions.
        unit: Unit that the caller states; None where nothing is stated.
        rules: Rules that are broken already.
    """
    fractions, rule = to_fractions(found, unit, ours, known.low, known.high)
    resolved, _ = resolve_unit(found, unit, ours)
    note = small_percents_note(found, ours) if unit == "percent" else ""
    rules = [*rules, rule] if rule else rules
    return ReadColumn(pd.Series(fractions, column.index), rules, resolved or "fraction", note)


def _read_own(column: pd.Series[Any], ours: str) -> tuple[pd.Series[Any], list[str]]:
    """A column of the caller's own: numbers, true and false, or text, by what it holds."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.astype("boolean"), []
    found = parse_numbers(column)
    is_given = ~np.isnan(found.values)
    if found.bad.any() or (found.percent.any() and not found.percent[is_given].all()):
        return _read_text(column, ours)
    values = found.values / 100 if found.percent.any() else found.values
    return pd.Series(values, column.index), []


def _read_whole_numbers(column: pd.Series[Any], low: float) -> tuple[pd.Series[Any], list[str]]:
    values, bad = parse_whole_numbers(column)
    rules = broken_rule(bad, column, "must hold whole numbers" + _comma_advice(column, bad))
    is_below = (values < low).fillna(False).to_numpy(dtype=bool)
    rules += broken_rule(is_below, column, f"must hold numbers of at least {low:g}")
    return values, rules


def _comma_advice(column: pd.Series[Any], bad: ArrayLike) -> str:
    """Advice on numbers written with commas; empty where none of the ``bad`` rows has one."""
    texts = to_text(column[np.asarray(bad, dtype=bool)])
    texts = texts.str.strip().str.removesuffix("%").str.strip()
    if not texts.str.fullmatch(COMMA_NUMBER_PATTERN).any():
        return ""
    call = 'pandas.read_csv(path, sep=None, engine="python", decimal=",", thousands=".")'
    return (
        f" without commas or thousands separators (`{call}` gives a frame of such a file;"
        " adapt both marks)"
    )


def _read_truth(column: pd.Series[Any]) -> tuple[pd.Series[Any], list[str]]:
    texts = to_text(column).str.strip().str.lower()
    bad = ~texts.isin([*_TRUTH_VALUES, *_MISSING_TRUTH_WORDS])
    truth = texts.map(_TRUTH_VALUES).astype("boolean")
    return truth, broken_rule(bad.to_numpy(dtype=bool), column, "must hold true or false")


def _read_text(column: pd.Series[Any], ours: str) -> tuple[pd.Series[Any], list[str]]:
    texts = to_text(column).str.strip()
    texts = texts.mask(texts.str.lower().isin(_MISSING_TEXT_WORDS)).astype("string")
    is_long = (texts.str.len().fillna(0) > MAX_TEXT_CHARACTERS).to_numpy(dtype=bool)
    length_rule = f"must hold texts of at most {MAX_TEXT_CHARACTERS} characters"
    rules = broken_rule(is_long, column, length_rule)
    if pd.api.types.is_object_dtype(column.dtype):
        # Lists and dictionaries have a text too, which would pass for a name.
        odd = [not isinstance(value, str | int | float | np.generic | None) for value in column]
        is_odd = np.array(odd, dtype=bool) & texts.notna().to_numpy()
        rules += broken_rule(is_odd, column, "must hold text")
    if ours in _WORD_TRANSLATIONS:
        words = _WORD_TRANSLATIONS[ours]
        lower = texts.str.lower()
        is_unknown = (texts.notna() & ~lower.isin(words)).to_numpy(dtype=bool)
        rules += broken_rule(is_unknown, column, f"must hold one of {', '.join(words)}")
        texts = lower.map(words).astype("string")
    return texts, rules
