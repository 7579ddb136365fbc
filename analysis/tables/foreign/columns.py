"""The columns that anybody's runs may give: their names, what they hold, and how they are read."""

from __future__ import annotations

import difflib
import types
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import pandas as pd
from pydantic import BaseModel

from analysis.tables.foreign.units import (
    OF_SPARSITY,
    SPARSITY_COLUMNS,
    UNIT_NAMES,
    parse_numbers,
    parse_whole_numbers,
    small_percents_note,
    to_fractions,
    to_text,
)
from sparsetune.durations import Length
from sparsetune.errors import Problem
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import TRIAL_COLUMNS, Phase, Role, Status

Kind = Literal["number", "whole", "fraction", "length", "boolean", "text"]
MAX_SUGGESTIONS = 10
"""Of our names in a message about an unknown one."""
MIN_NAME_SIMILARITY = 0.6
"""A ratio of `difflib` from which on two names differ by a slip."""
MAX_TEXT_CHARACTERS = 200
"""Characters of a name or another text."""
DERIVED_COLUMNS = ("study", "cell", "attempt", "error")
"""Columns that are worked out and cannot be given."""
_FRACTION_COLUMNS = ("progress", "target", "sparsity", "mask_iou", "ever_active", "inference_flops")
_STATUS_WORDS = {
    "COMPLETE": "complete completed finished terminated success succeeded done",
    "PRUNED": "pruned stopped early_stopped",
    "DIVERGED": "diverged",
    "INVALID": "invalid",
    "FAILED": "failed fail crashed error errored killed preempted",
    "RUNNING": "running paused",
    "WAITING": "waiting pending queued",
}
"""What Ray Tune, Optuna and Weights & Biases call an outcome, in any case."""
_WORD_TRANSLATIONS: dict[str, dict[str, str]] = {
    "status": {word: status for status, words in _STATUS_WORDS.items() for word in words.split()},
    "role": {role: role for role in get_args(Role)},
    "phase": {phase: phase for phase in get_args(Phase)},
}
COMMA_NUMBER_PATTERN = r"[+-]?(?:[0-9]+,[0-9]+|[0-9]{1,3}(?:[., '][0-9]{3})+(?:[.,][0-9]+)?)"
"""Decimal commas and thousands separators."""
_TRUTH_VALUES = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
assert set(_STATUS_WORDS) == set(get_args(Status))


@dataclass(frozen=True)
class KnownColumn:
    """A column that may be given: what it holds, and the range of its numbers, ends included."""

    kind: Kind
    low: float = -np.inf
    high: float = np.inf


@cache
def known_columns() -> dict[str, KnownColumn]:
    """Every name that `columns` may hold: those of `sparsetune.spec.columns.TRIAL_COLUMNS`, then the dotted fields of a trial."""
    tables = {
        column.name: _measured_column(column.name, column.dtype)
        for column in TRIAL_COLUMNS
        if column.name not in DERIVED_COLUMNS
    }
    return tables | {path: kind for path, kind in _fields(TrialSpec, "") if "." in path}


def _measured_column(name: str, dtype: str) -> KnownColumn:
    if name in _FRACTION_COLUMNS or name.endswith("_accuracy"):
        return KnownColumn("fraction", 0, 1)
    if name.endswith(("_score", "_error")):
        return KnownColumn(
            "fraction", -1 if name.endswith("_score") else 0, 1 if name.endswith("_score") else 2
        )
    kinds: dict[str, Kind] = {
        "string": "text",
        "float64": "number",
        "Int64": "whole",
        "boolean": "boolean",
    }
    return KnownColumn(kinds[dtype], 0 if name in ("step", "epoch", "seconds", "seed") else -np.inf)


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, KnownColumn]]:
    """Every field below ``model`` by its dotted path; those of all variants of a part; a teacher is one name."""
    for name, field in model.model_fields.items():
        members = list(_members(field.annotation))
        parts = [
            m
            for m in members
            if isinstance(m, type) and issubclass(m, BaseModel) and m is not TrialSpec
        ]
        if parts:
            for part in parts:
                yield from _fields(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _kind(members, field.metadata)


def _members(annotation: Any) -> Iterator[Any]:
    """The types that an annotation allows."""
    if get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    elif hasattr(annotation, "__metadata__"):
        yield from _members(annotation.__origin__)
    else:
        yield annotation


def _kind(members: list[Any], metadata: Iterable[Any]) -> KnownColumn:
    bounds = {
        name: getattr(m, name)
        for m in metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(m, name)
    }
    low = bounds.get("ge", bounds.get("gt", -np.inf))
    high = bounds.get("le", bounds.get("lt", np.inf))
    if Length in members:
        return KnownColumn("length", 0, 1)
    if bool in members:
        return KnownColumn("boolean")
    if float in members or int in members:
        kind: Kind = (
            "fraction" if (low, high) == (0, 1) else "number" if float in members else "whole"
        )
        return KnownColumn(kind, low, high)
    return KnownColumn("text")


def read_columns(
    table: pd.DataFrame, columns: Mapping[str, Hashable], units: Mapping[str, str]
) -> tuple[pd.DataFrame, list[Problem], list[str]]:
    """The table's columns under our names, each as its numbers, text or truth; all that is wrong; what to know.

    Columns that have our names already are taken where ``columns`` says nothing else. Infinite numbers stay.

    Args:
        table: Any rows, with an index from 0.
        columns: Theirs by ours.
        units: Of columns, by our names.
    """
    names = {str(name): name for name in table.columns if name in known_columns()}
    theirs = {
        **{ours: name for ours, name in names.items() if name not in columns.values()},
        **columns,
    }
    problems = list(_naming_problems(table, theirs, columns, units))
    good = {
        ours: name
        for ours, name in theirs.items()
        if ours in known_columns() and (table.columns == name).sum() == 1
    }
    read = {}
    notes = []
    for ours, name in good.items():
        unit = units.get(ours)
        read[ours], rules = _read_column(table[name], ours, unit if unit in UNIT_NAMES else None)
        problems += [Problem(ours, f"column {quote_value(name)}: {rule}") for rule in rules]
        if unit == "percent" and (told := small_percents_note(parse_numbers(table[name]), ours)):
            notes.append(told)
    return pd.DataFrame(read, index=table.index), problems, notes


def _naming_problems(
    table: pd.DataFrame,
    theirs: Mapping[str, Hashable],
    columns: Mapping[str, Hashable],
    units: Mapping[str, str],
) -> Iterator[Problem]:
    """What is wrong with names and units before anything is read."""
    ours_of = {str(name): ours for ours, name in theirs.items()}
    for mistaken in [name for name in {*columns, *units} if name not in known_columns()]:
        rule = (
            "is worked out from the runs" if mistaken in DERIVED_COLUMNS else "is no column of ours"
        )
        if str(mistaken) in ours_of and mistaken not in columns:
            yield Problem(
                str(mistaken), f"`units` takes our names, here `{ours_of[str(mistaken)]}`"
            )
            continue
        near = list_names(_suggest_names(str(mistaken)[:MAX_TEXT_CHARACTERS]))
        every = f"of {len(known_columns())} names, all in `list(analysis.tables.foreign.columns.known_columns())`"
        yield Problem(quote_value(mistaken)[1:-1], f"{rule}; near: {near}, {every}")
    counts = table.columns.value_counts()
    for ours, name in theirs.items():
        if ours in known_columns() and not isinstance(name, Hashable):
            yield Problem(ours, "`columns` maps our name to one of the table's", quote_value(name))
        elif ours in known_columns() and counts.get(name, 0) != 1:
            times = int(counts.get(name, 0))
            rule = f"the table must have one column {quote_value(name)}; it has {list_names(map(str, table.columns))}"
            yield Problem(ours, rule, f"{times} columns of that name" if times else "none")
    for ours, unit in units.items():
        if ours in known_columns():
            yield from _unit_problems(ours, unit, ours in theirs)


def _suggest_names(mistaken: str) -> list[str]:
    """Our names most like it, at most `MAX_SUGGESTIONS`: first those that hold it, as ``test_accuracy`` holds ``acc``."""
    word = mistaken.lower().rpartition(".")[2]
    holding = [name for name in known_columns() if word and word in name.rpartition(".")[2]]
    like = difflib.get_close_matches(mistaken, known_columns(), MAX_SUGGESTIONS, 0.0)
    first = [
        name
        for name in like
        if difflib.SequenceMatcher(None, name, mistaken).ratio() > MIN_NAME_SIMILARITY
    ]
    return list(dict.fromkeys([*first, *holding, *like]))[:MAX_SUGGESTIONS]


def _unit_problems(ours: str, unit: str, given: bool) -> Iterator[Problem]:
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
    """One column, and the rules that it breaks."""
    what = known_columns()[ours]
    if what.kind == "text":
        return _text(column, ours)
    if what.kind == "boolean":
        return _read_truth(column)
    if what.kind == "length" and unit is None:
        lengths = _lengths_as_text(column)
        if lengths is not None:
            return lengths, []
    if what.kind == "whole":
        values, bad = parse_whole_numbers(column)
        rules = _refusal(bad, column, "must hold whole numbers" + _comma_advice(column, bad))
        low = (values < what.low).fillna(False)
        return values, rules + _refusal(
            low.to_numpy(dtype=bool), column, f"must hold numbers of at least {what.low:g}"
        )
    found = parse_numbers(column)
    rules = _refusal(found.bad, column, "must hold numbers" + _comma_advice(column, found.bad))
    if what.kind == "number":
        outside = (found.values < what.low) | (found.values > what.high)
        rules += _refusal(found.percent, column, "takes no percent sign")
        rules += _refusal(outside, column, f"must hold numbers in [{what.low:g}, {what.high:g}]")
        return pd.Series(found.values, column.index), rules
    unit = unit if ours in SPARSITY_COLUMNS or unit not in OF_SPARSITY else None
    fraction, rule = to_fractions(found, unit, ours, what.low, what.high)
    return pd.Series(fraction, column.index), rules + ([rule] if rule else [])


def _comma_advice(column: pd.Series[Any], bad: Any) -> str:
    """What to do about numbers that people write with commas; empty where there are none."""
    texts = (
        to_text(column[np.asarray(bad, dtype=bool)]).str.strip().str.removesuffix("%").str.strip()
    )
    if not texts.str.fullmatch(COMMA_NUMBER_PATTERN).any():
        return ""
    read = 'pandas.read_csv(path, sep=None, engine="python", decimal=",", thousands=".")'
    return f" without commas or thousands separators (`{read}` gives a frame of such a file; adapt both marks)"


def _lengths_as_text(column: pd.Series[Any]) -> pd.Series[Any] | None:
    """A column with lengths such as ``2 epochs`` as text; None where all are plain numbers, or one is neither."""
    texts = to_text(column).str.strip()
    if not texts.str.contains("[a-z]$").any():
        return None
    try:
        lengths = {
            text: Length.parse(_number_or_text(text)).declared() if text else None
            for text in texts.unique()
        }
    except (ValueError, OverflowError):
        return None
    return texts.map(lambda text: lengths[text]).map(str, na_action="ignore").astype("string")


def _number_or_text(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _read_truth(column: pd.Series[Any]) -> tuple[pd.Series[Any], list[str]]:
    texts = to_text(column).str.strip().str.lower()
    bad = ~(texts.isin([*_TRUTH_VALUES, ""]) | texts.isin(["nan", "none", "<na>", "null"]))
    truth = texts.map(_TRUTH_VALUES).astype("boolean")
    return truth, _refusal(bad.to_numpy(dtype=bool), column, "must hold true or false")


def _text(column: pd.Series[Any], ours: str) -> tuple[pd.Series[Any], list[str]]:
    texts = to_text(column).str.strip()
    texts = texts.mask(texts.str.lower().isin(["", "nan", "<na>"])).astype("string")
    long = (texts.str.len().fillna(0) > MAX_TEXT_CHARACTERS).to_numpy(dtype=bool)
    rules = _refusal(long, column, f"must hold texts of at most {MAX_TEXT_CHARACTERS} characters")
    if pd.api.types.is_object_dtype(column.dtype):
        odd = [not isinstance(value, str | int | float | np.generic | None) for value in column]
        rules += _refusal(
            np.array(odd, dtype=bool) & texts.notna().to_numpy(), column, "must hold text"
        )
    if ours in _WORD_TRANSLATIONS:
        words = _WORD_TRANSLATIONS[ours]
        lower = texts.str.lower()
        bad = (texts.notna() & ~lower.isin(words)).to_numpy(dtype=bool)
        rules += _refusal(bad, column, f"must hold one of {', '.join(words)}")
        texts = lower.map(words).astype("string")
    return texts, rules


def _refusal(bad: Any, column: pd.Series[Any], rule: str) -> list[str]:
    """The rule with the first rows that break it, counted from 0; nothing where none does."""
    rows = np.flatnonzero(bad)
    if not len(rows):
        return []
    first = ", ".join(
        f"{quote_value(to_text(column.iloc[[row]]).iloc[0])} in row {row}" for row in rows[:3]
    )
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return [f"{rule}, got {first}{more} (rows counted from 0)"]


def quote_value(value: object, longest: int = 40) -> str:
    """A value in a message: quoted, and cut where it is long."""
    try:
        text = str(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return f"`{text[:longest]}…`" if len(text) > longest else f"`{text}`"


def list_names(names: Iterable[str], most: int = 40) -> str:
    """Names in a message."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(quote_value(name) for name in names[:most]) + more) or "none"
