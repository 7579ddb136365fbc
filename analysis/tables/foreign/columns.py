"""Columns that a table of runs may have: their names, what they hold, and how they are read."""

from __future__ import annotations

import difflib
import types
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pydantic import BaseModel

from sparsetune.durations import Length
from sparsetune.errors import Problem
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import TRIAL_COLUMNS, Phase, Role, Status

from .units import (
    MAX_LISTED_ROWS,
    OF_SPARSITY,
    SPARSITY_COLUMNS,
    UNIT_NAMES,
    parse_numbers,
    parse_whole_numbers,
    small_percents_note,
    to_fractions,
    to_text,
)

Kind = Literal["number", "whole", "fraction", "length", "boolean", "text"]
MAX_SUGGESTIONS = 10
"""Names of ours that a message about an unknown name suggests."""
MIN_NAME_SIMILARITY = 0.6
"""Ratio of `difflib` from which on a name counts as a misspelling of another."""
MAX_TEXT_CHARACTERS = 200
"""Characters of a name or another text."""
DERIVED_COLUMNS = ("study", "cell", "attempt", "error")
"""Columns that are derived from the runs and cannot be given."""
NON_NEGATIVE_COLUMNS = ("step", "epoch", "seconds", "seed")
_FRACTION_COLUMNS = ("progress", "target", "sparsity", "mask_iou", "ever_active", "inference_flops")
_COLUMN_KINDS: dict[str, Kind] = {
    "string": "text",
    "float64": "number",
    "Int64": "whole",
    "boolean": "boolean",
}
"""Kind of a column by its dtype, where it is no fraction."""
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
class KnownColumn:
    """Kind of a column that may be given, and the range of its numbers, ends included."""

    kind: Kind
    low: float = -np.inf
    high: float = np.inf


@cache
def known_columns() -> dict[str, KnownColumn]:
    """Every name that ``columns`` may hold, with what the column holds.

    Names of `sparsetune.spec.columns.TRIAL_COLUMNS` come first, then the dotted fields of a trial.
    """
    # Our tables' columns come first, so that suggestions name them before fields.
    known: dict[str, KnownColumn] = {}
    for column in TRIAL_COLUMNS:
        if column.name not in DERIVED_COLUMNS:
            known[column.name] = _measured_column(column.name, column.dtype)
    fields = dict(_spec_fields(TrialSpec, ""))
    return known | {path: field for path, field in fields.items() if "." in path}


def _measured_column(name: str, dtype: str) -> KnownColumn:
    if name in _FRACTION_COLUMNS or name.endswith("_accuracy"):
        return KnownColumn("fraction", 0, 1)
    if name.endswith("_score"):
        return KnownColumn("fraction", -1, 1)
    if name.endswith("_error"):
        return KnownColumn("fraction", 0, 2)
    low = 0 if name in NON_NEGATIVE_COLUMNS else -np.inf
    return KnownColumn(_COLUMN_KINDS[dtype], low)


def _spec_fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, KnownColumn]]:
    """Fields below ``model`` by their dotted paths, those of every variant of a part included.

    A teacher, which is a trial itself, counts as one field.
    """
    for name, field in model.model_fields.items():
        members = list(_allowed_types(field.annotation))
        parts = [member for member in members if _is_part(member)]
        for part in parts:
            yield from _spec_fields(part, f"{prefix}{name}.")
        if not parts:
            yield f"{prefix}{name}", _field_column(members, field.metadata)


def _is_part(member: Any) -> bool:
    is_model = isinstance(member, type) and issubclass(member, BaseModel)
    return is_model and member is not TrialSpec


def _allowed_types(annotation: Any) -> Iterator[Any]:
    """Types that an annotation allows."""
    if get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _allowed_types(member)
    elif hasattr(annotation, "__metadata__"):
        yield from _allowed_types(annotation.__origin__)
    else:
        yield annotation


def _field_column(members: list[Any], metadata: Iterable[Any]) -> KnownColumn:
    """Column of a field, by the types that it allows and its constraints."""
    bounds: dict[str, float] = {}
    for constraint in metadata:
        for name in ("ge", "gt", "le", "lt"):
            if hasattr(constraint, name):
                bounds[name] = getattr(constraint, name)
    low = bounds.get("ge", bounds.get("gt", -np.inf))
    high = bounds.get("le", bounds.get("lt", np.inf))
    # A length below 1 is a part of training; longer ones carry their unit.
    if Length in members:
        return KnownColumn("length", 0, 1)
    if bool in members:
        return KnownColumn("boolean")
    if float in members or int in members:
        kind: Kind = "number" if float in members else "whole"
        # A number within [0, 1] may be written in percent, unlike any other.
        if (low, high) == (0, 1):
            kind = "fraction"
        return KnownColumn(kind, low, high)
    return KnownColumn("text")


def read_columns(
    table: pd.DataFrame, columns: Mapping[str, Hashable], units: Mapping[str, str]
) -> tuple[pd.DataFrame, list[Problem], list[str]]:
    """Read the table's columns under our names.

    Columns that have our names already are taken unless ``columns`` says otherwise. Infinite
    numbers stay.

    Args:
        table: Any rows, with an index from 0.
        columns: The table's name by ours.
        units: Unit by our name.

    Returns:
        Columns of numbers, text or booleans; everything that is wrong; notes for the reader.
    """
    known = known_columns()
    theirs: dict[str, Hashable] = {}
    for label in table.columns:
        if label in known and label not in columns.values():
            theirs[str(label)] = label
    # What the caller names wins over a column that happens to have our name.
    theirs |= columns
    problems = list(_naming_problems(table, theirs, columns, units))
    read: dict[str, pd.Series[Any]] = {}
    notes: list[str] = []
    for ours, name in theirs.items():
        if ours not in known or (table.columns == name).sum() != 1:
            continue  # a problem already
        unit = units.get(ours)
        column = table[name]
        read[ours], rules = _read_column(column, ours, unit if unit in UNIT_NAMES else None)
        problems += [Problem(ours, f"column {quote_value(name)}: {rule}") for rule in rules]
        # Values that may be fractions among percents are legal, but worth a look.
        note = small_percents_note(parse_numbers(column), ours) if unit == "percent" else ""
        if note:
            notes.append(note)
    return pd.DataFrame(read, index=table.index), problems, notes


def _naming_problems(
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
    known = known_columns()
    ours_of = {str(name): ours for ours, name in theirs.items()}
    for unknown in {*columns, *units}:
        if unknown in known:
            continue
        if str(unknown) in ours_of and unknown not in columns:
            ours = ours_of[str(unknown)]
            yield Problem(str(unknown), f"`units` takes our names, here `{ours}`")
        else:
            yield _unknown_name_problem(unknown)
    counts = table.columns.value_counts()
    for ours, name in theirs.items():
        if ours not in known:
            continue
        if not isinstance(name, Hashable):
            yield Problem(ours, "`columns` maps our name to one of the table's", quote_value(name))
        elif counts.get(name, 0) != 1:
            times = int(counts.get(name, 0))
            names = list_names(map(str, table.columns))
            rule = f"the table must have one column {quote_value(name)}; it has {names}"
            yield Problem(ours, rule, f"{times} columns of that name" if times else "none")
    for ours, unit in units.items():
        if ours in known:
            yield from _unit_problems(ours, unit, ours in theirs)


def _unknown_name_problem(name: str) -> Problem:
    """Problem of a name that is none of ours, with suggestions."""
    rule = "is worked out from the runs" if name in DERIVED_COLUMNS else "is no column of ours"
    near = list_names(_suggest_names(str(name)[:MAX_TEXT_CHARACTERS]))
    total = len(known_columns())
    every = f"of {total} names, all in `list(analysis.tables.foreign.columns.known_columns())`"
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
    if unit not in UNIT_NAMES:
        yield Problem(ours, f"a unit must be one of {', '.join(UNIT_NAMES)}", quote_value(unit))
    elif unit in OF_SPARSITY and ours not in SPARSITY_COLUMNS:
        yield Problem(ours, f"only a sparsity can be in {unit}: {', '.join(SPARSITY_COLUMNS)}")
    elif known_columns()[ours].kind not in ("fraction", "length"):
        yield Problem(ours, "only a fraction has a unit; this column is taken as it is", unit)


def _read_column(
    column: pd.Series[Any], ours: str, unit: str | None
) -> tuple[pd.Series[Any], list[str]]:
    """One column in its kind, and the rules that it breaks."""
    known = known_columns()[ours]
    if known.kind == "text":
        return _read_text(column, ours)
    if known.kind == "boolean":
        return _read_truth(column)
    if known.kind == "whole":
        return _read_whole_numbers(column, known.low)
    if known.kind == "length" and unit is None:
        lengths = _lengths_as_text(column)
        if lengths is not None:
            return lengths, []
    found = parse_numbers(column)
    rules = _broken_rule(found.bad, column, "must hold numbers" + _comma_advice(column, found.bad))
    if known.kind == "number":
        is_outside = (found.values < known.low) | (found.values > known.high)
        limits = f"must hold numbers in [{known.low:g}, {known.high:g}]"
        rules += _broken_rule(found.percent, column, "takes no percent sign")
        rules += _broken_rule(is_outside, column, limits)
        return pd.Series(found.values, column.index), rules
    if unit in OF_SPARSITY and ours not in SPARSITY_COLUMNS:
        unit = None
    fractions, rule = to_fractions(found, unit, ours, known.low, known.high)
    if rule:
        rules.append(rule)
    return pd.Series(fractions, column.index), rules


def _read_whole_numbers(column: pd.Series[Any], low: float) -> tuple[pd.Series[Any], list[str]]:
    values, bad = parse_whole_numbers(column)
    rules = _broken_rule(bad, column, "must hold whole numbers" + _comma_advice(column, bad))
    is_below = (values < low).fillna(False).to_numpy(dtype=bool)
    rules += _broken_rule(is_below, column, f"must hold numbers of at least {low:g}")
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


def _lengths_as_text(column: pd.Series[Any]) -> pd.Series[Any] | None:
    """Column with lengths such as ``2 epochs`` as text.

    Returns:
        None where all values are plain numbers, or one is neither a number nor a length.
    """
    texts = to_text(column).str.strip()
    if not texts.str.contains("[a-z]$").any():
        return None
    lengths: dict[str, Any] = {}
    try:
        # Lengths are parsed once each: a column of thousands of rows has a few.
        for text in texts.unique():
            lengths[text] = Length.parse(_number_or_text(text)).declared() if text else None
    except (ValueError, OverflowError):
        return None
    declared = texts.map(lambda text: lengths[text])
    return declared.map(str, na_action="ignore").astype("string")


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _read_truth(column: pd.Series[Any]) -> tuple[pd.Series[Any], list[str]]:
    texts = to_text(column).str.strip().str.lower()
    bad = ~texts.isin([*_TRUTH_VALUES, *_MISSING_TRUTH_WORDS])
    truth = texts.map(_TRUTH_VALUES).astype("boolean")
    return truth, _broken_rule(bad.to_numpy(dtype=bool), column, "must hold true or false")


def _read_text(column: pd.Series[Any], ours: str) -> tuple[pd.Series[Any], list[str]]:
    texts = to_text(column).str.strip()
    texts = texts.mask(texts.str.lower().isin(_MISSING_TEXT_WORDS)).astype("string")
    is_long = (texts.str.len().fillna(0) > MAX_TEXT_CHARACTERS).to_numpy(dtype=bool)
    length_rule = f"must hold texts of at most {MAX_TEXT_CHARACTERS} characters"
    rules = _broken_rule(is_long, column, length_rule)
    if pd.api.types.is_object_dtype(column.dtype):
        # Lists and dictionaries have a text too, which would pass for a name.
        odd = [not isinstance(value, str | int | float | np.generic | None) for value in column]
        is_odd = np.array(odd, dtype=bool) & texts.notna().to_numpy()
        rules += _broken_rule(is_odd, column, "must hold text")
    if ours in _WORD_TRANSLATIONS:
        words = _WORD_TRANSLATIONS[ours]
        lower = texts.str.lower()
        is_unknown = (texts.notna() & ~lower.isin(words)).to_numpy(dtype=bool)
        rules += _broken_rule(is_unknown, column, f"must hold one of {', '.join(words)}")
        texts = lower.map(words).astype("string")
    return texts, rules


def _broken_rule(bad: ArrayLike, column: pd.Series[Any], rule: str) -> list[str]:
    """The rule with the first rows that break it, counted from 0; nothing where none does."""
    rows = np.flatnonzero(bad)
    if not len(rows):
        return []
    examples: list[str] = []
    for row in rows[:MAX_LISTED_ROWS]:
        text = to_text(column.iloc[[row]]).iloc[0]
        examples.append(f"{quote_value(text)} in row {row}")
    rest = len(rows) - MAX_LISTED_ROWS
    more = f" and {rest} more" if rest > 0 else ""
    return [f"{rule}, got {', '.join(examples)}{more} (rows counted from 0)"]


def quote_value(value: object, longest: int = 40) -> str:
    """A value for a message, quoted, and cut after ``longest`` characters."""
    try:
        text = str(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return f"`{text[:longest]}…`" if len(text) > longest else f"`{text}`"


def list_names(names: Iterable[str], most: int = 40) -> str:
    """Quoted names for a message, at most ``most``; ``none`` where there are none."""
    names = list(names)
    quoted = ", ".join(quote_value(name) for name in names[:most])
    rest = len(names) - most
    return (quoted + (f" and {rest} more" if rest > 0 else "")) or "none"
