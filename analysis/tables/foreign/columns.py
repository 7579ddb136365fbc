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
    SPARSITIES,
    UNITS,
    as_text,
    fractions,
    numbers,
    small_percents,
    whole_numbers,
)
from sparsetune.durations import Length
from sparsetune.errors import Problem
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import TRIALS, Phase, Role, Status

Kind = Literal["number", "whole", "fraction", "length", "boolean", "text"]
NEAREST = 10
"""Of our names in a message about an unknown one."""
LIKE = 0.6
"""A ratio of `difflib` from which on two names differ by a slip."""
LONGEST = 200
"""Characters of a name or another text."""
MADE = ("study", "cell", "attempt", "error")
"""Columns that are worked out and cannot be given."""
_FRACTIONS = ("progress", "target", "sparsity", "mask_iou", "ever_active", "inference_flops")
_STATUS = {
    "COMPLETE": "complete completed finished terminated success succeeded done",
    "PRUNED": "pruned stopped early_stopped",
    "DIVERGED": "diverged",
    "INVALID": "invalid",
    "FAILED": "failed fail crashed error errored killed preempted",
    "RUNNING": "running paused",
    "WAITING": "waiting pending queued",
}
"""What Ray Tune, Optuna and Weights & Biases call an outcome, in any case."""
_WORDS: dict[str, dict[str, str]] = {
    "status": {word: status for status, words in _STATUS.items() for word in words.split()},
    "role": {role: role for role in get_args(Role)},
    "phase": {phase: phase for phase in get_args(Phase)},
}
COMMAS = r"[+-]?(?:[0-9]+,[0-9]+|[0-9]{1,3}(?:[., '][0-9]{3})+(?:[.,][0-9]+)?)"
"""Decimal commas and thousands separators."""
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
assert set(_STATUS) == set(get_args(Status))


@dataclass(frozen=True)
class Known:
    """A column that may be given: what it holds, and the range of its numbers, ends included."""

    kind: Kind
    low: float = -np.inf
    high: float = np.inf


@cache
def known() -> dict[str, Known]:
    """Every name that `columns` may hold: those of `sparsetune.spec.columns.TRIALS`, then the dotted fields of a trial."""
    tables = {
        column.name: _measured(column.name, column.dtype)
        for column in TRIALS
        if column.name not in MADE
    }
    return tables | {path: kind for path, kind in _fields(TrialSpec, "") if "." in path}


def _measured(name: str, dtype: str) -> Known:
    if name in _FRACTIONS or name.endswith("_accuracy"):
        return Known("fraction", 0, 1)
    if name.endswith(("_score", "_error")):
        return Known(
            "fraction", -1 if name.endswith("_score") else 0, 1 if name.endswith("_score") else 2
        )
    kinds: dict[str, Kind] = {
        "string": "text",
        "float64": "number",
        "Int64": "whole",
        "boolean": "boolean",
    }
    return Known(kinds[dtype], 0 if name in ("step", "epoch", "seconds", "seed") else -np.inf)


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, Known]]:
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


def _kind(members: list[Any], metadata: Iterable[Any]) -> Known:
    bounds = {
        name: getattr(m, name)
        for m in metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(m, name)
    }
    low = bounds.get("ge", bounds.get("gt", -np.inf))
    high = bounds.get("le", bounds.get("lt", np.inf))
    if Length in members:
        return Known("length", 0, 1)
    if bool in members:
        return Known("boolean")
    if float in members or int in members:
        kind: Kind = (
            "fraction" if (low, high) == (0, 1) else "number" if float in members else "whole"
        )
        return Known(kind, low, high)
    return Known("text")


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
    names = {str(name): name for name in table.columns if name in known()}
    theirs = {
        **{ours: name for ours, name in names.items() if name not in columns.values()},
        **columns,
    }
    problems = list(_naming(table, theirs, columns, units))
    good = {
        ours: name
        for ours, name in theirs.items()
        if ours in known() and (table.columns == name).sum() == 1
    }
    read = {}
    notes = []
    for ours, name in good.items():
        unit = units.get(ours)
        read[ours], rules = _read(table[name], ours, unit if unit in UNITS else None)
        problems += [Problem(ours, f"column {shown(name)}: {rule}") for rule in rules]
        if unit == "percent" and (told := small_percents(numbers(table[name]), ours)):
            notes.append(told)
    return pd.DataFrame(read, index=table.index), problems, notes


def _naming(
    table: pd.DataFrame,
    theirs: Mapping[str, Hashable],
    columns: Mapping[str, Hashable],
    units: Mapping[str, str],
) -> Iterator[Problem]:
    """What is wrong with names and units before anything is read."""
    ours_of = {str(name): ours for ours, name in theirs.items()}
    for mistaken in [name for name in {*columns, *units} if name not in known()]:
        rule = "is worked out from the runs" if mistaken in MADE else "is no column of ours"
        if str(mistaken) in ours_of and mistaken not in columns:
            yield Problem(
                str(mistaken), f"`units` takes our names, here `{ours_of[str(mistaken)]}`"
            )
            continue
        near = listed(_nearest(str(mistaken)[:LONGEST]))
        every = f"of {len(known())} names, all in `list(analysis.tables.foreign.columns.known())`"
        yield Problem(shown(mistaken)[1:-1], f"{rule}; near: {near}, {every}")
    counts = table.columns.value_counts()
    for ours, name in theirs.items():
        if ours in known() and not isinstance(name, Hashable):
            yield Problem(ours, "`columns` maps our name to one of the table's", shown(name))
        elif ours in known() and counts.get(name, 0) != 1:
            times = int(counts.get(name, 0))
            rule = f"the table must have one column {shown(name)}; it has {listed(map(str, table.columns))}"
            yield Problem(ours, rule, f"{times} columns of that name" if times else "none")
    for ours, unit in units.items():
        if ours in known():
            yield from _unit_problems(ours, unit, ours in theirs)


def _nearest(mistaken: str) -> list[str]:
    """Our names most like it, at most `NEAREST`: first those that hold it, as ``test_accuracy`` holds ``acc``."""
    word = mistaken.lower().rpartition(".")[2]
    holding = [name for name in known() if word and word in name.rpartition(".")[2]]
    like = difflib.get_close_matches(mistaken, known(), NEAREST, 0.0)
    first = [name for name in like if difflib.SequenceMatcher(None, name, mistaken).ratio() > LIKE]
    return list(dict.fromkeys([*first, *holding, *like]))[:NEAREST]


def _unit_problems(ours: str, unit: str, given: bool) -> Iterator[Problem]:
    if not given:
        yield Problem(
            ours,
            "`units` says what it is in, but the table gives no such column; name it in `columns`",
        )
    if unit not in UNITS:
        yield Problem(ours, f"a unit must be one of {', '.join(UNITS)}", shown(unit))
    elif unit in OF_SPARSITY and ours not in SPARSITIES:
        yield Problem(ours, f"only a sparsity can be in {unit}: {', '.join(SPARSITIES)}")
    elif known()[ours].kind not in ("fraction", "length"):
        yield Problem(ours, "only a fraction has a unit; this column is taken as it is", unit)


def _read(column: pd.Series[Any], ours: str, unit: str | None) -> tuple[pd.Series[Any], list[str]]:
    """One column, and the rules that it breaks."""
    what = known()[ours]
    if what.kind == "text":
        return _text(column, ours)
    if what.kind == "boolean":
        return _truth(column)
    if what.kind == "length" and unit is None:
        lengths = _lengths(column)
        if lengths is not None:
            return lengths, []
    if what.kind == "whole":
        values, bad = whole_numbers(column)
        rules = _refused(bad, column, "must hold whole numbers" + _commas(column, bad))
        low = (values < what.low).fillna(False)
        return values, rules + _refused(
            low.to_numpy(dtype=bool), column, f"must hold numbers of at least {what.low:g}"
        )
    found = numbers(column)
    rules = _refused(found.bad, column, "must hold numbers" + _commas(column, found.bad))
    if what.kind == "number":
        outside = (found.values < what.low) | (found.values > what.high)
        rules += _refused(found.percent, column, "takes no percent sign")
        rules += _refused(outside, column, f"must hold numbers in [{what.low:g}, {what.high:g}]")
        return pd.Series(found.values, column.index), rules
    unit = unit if ours in SPARSITIES or unit not in OF_SPARSITY else None
    fraction, rule = fractions(found, unit, ours, what.low, what.high)
    return pd.Series(fraction, column.index), rules + ([rule] if rule else [])


def _commas(column: pd.Series[Any], bad: Any) -> str:
    """What to do about numbers that people write with commas; empty where there are none."""
    texts = (
        as_text(column[np.asarray(bad, dtype=bool)]).str.strip().str.removesuffix("%").str.strip()
    )
    if not texts.str.fullmatch(COMMAS).any():
        return ""
    read = 'pandas.read_csv(path, sep=None, engine="python", decimal=",", thousands=".")'
    return f" without commas or thousands separators (`{read}` gives a frame of such a file; adapt both marks)"


def _lengths(column: pd.Series[Any]) -> pd.Series[Any] | None:
    """A column with lengths such as ``2 epochs`` as text; None where all are plain numbers, or one is neither."""
    texts = as_text(column).str.strip()
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


def _truth(column: pd.Series[Any]) -> tuple[pd.Series[Any], list[str]]:
    texts = as_text(column).str.strip().str.lower()
    bad = ~(texts.isin([*_TRUTH, ""]) | texts.isin(["nan", "none", "<na>", "null"]))
    truth = texts.map(_TRUTH).astype("boolean")
    return truth, _refused(bad.to_numpy(dtype=bool), column, "must hold true or false")


def _text(column: pd.Series[Any], ours: str) -> tuple[pd.Series[Any], list[str]]:
    texts = as_text(column).str.strip()
    texts = texts.mask(texts.str.lower().isin(["", "nan", "<na>"])).astype("string")
    long = (texts.str.len().fillna(0) > LONGEST).to_numpy(dtype=bool)
    rules = _refused(long, column, f"must hold texts of at most {LONGEST} characters")
    if pd.api.types.is_object_dtype(column.dtype):
        odd = [not isinstance(value, str | int | float | np.generic | None) for value in column]
        rules += _refused(
            np.array(odd, dtype=bool) & texts.notna().to_numpy(), column, "must hold text"
        )
    if ours in _WORDS:
        words = _WORDS[ours]
        lower = texts.str.lower()
        bad = (texts.notna() & ~lower.isin(words)).to_numpy(dtype=bool)
        rules += _refused(bad, column, f"must hold one of {', '.join(words)}")
        texts = lower.map(words).astype("string")
    return texts, rules


def _refused(bad: Any, column: pd.Series[Any], rule: str) -> list[str]:
    """The rule with the first rows that break it, counted from 0; nothing where none does."""
    rows = np.flatnonzero(bad)
    if not len(rows):
        return []
    first = ", ".join(
        f"{shown(as_text(column.iloc[[row]]).iloc[0])} in row {row}" for row in rows[:3]
    )
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return [f"{rule}, got {first}{more} (rows counted from 0)"]


def shown(value: object, longest: int = 40) -> str:
    """A value in a message: quoted, and cut where it is long."""
    try:
        text = str(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return f"`{text[:longest]}…`" if len(text) > longest else f"`{text}`"


def listed(names: Iterable[str], most: int = 40) -> str:
    """Names in a message."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(shown(name) for name in names[:most]) + more) or "none"
