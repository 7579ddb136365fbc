"""Bounds of what is read from a study directory: JSON texts, and the values of records."""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, Literal, TypeGuard, Union, get_args, get_origin, get_type_hints

from sparsetune.errors import StudyDirectoryError
from sparsetune.paths import Place, read_content
from sparsetune.storage.records import Bracket, Ended, Record, Report, UnknownRecord

MAX_DEPTH = 40
"""Objects and lists that may lie in each other in a JSON text."""
MAX_LINE_BYTES = 1_000_000
"""Longest line of a ledger; what sparsetune writes has less than a tenth of it."""
MAX_LEDGER_BYTES = 4 * 2**30
"""Largest ledger that is read. Reading one takes at most about ten times its size in memory."""
MAX_JSON_BYTES = 64 * 2**20
"""Largest JSON file that is read: a declaration, the launches, a certificate."""
MAX_COUNT = 2**63
"""Whole numbers are below it: a table holds no larger ones."""

NAME_PATTERN = re.compile(r"(?!\.\.?\Z)[^/\\\x00-\x1f\x7f]{0,64}")
"""Ids of trials, which name folders too: they lead to no other folder."""
FRACTION_COLUMNS = (
    *("progress", "target", "sparsity", "mask_iou", "ever_active"),
    *("train_accuracy", "val_accuracy", "test_accuracy"),
)
"""Columns whose values lie in [0, 1]."""
NON_NEGATIVE_COLUMNS = (
    *("step", "attempt", "epoch", "lr", "zeros_in_mask", "seconds"),
    *("train_flops", "extra_flops", "inference_flops"),
    *("pruned_weights", "prunable_weights", "parameters", "peak_memory"),
)
"""Columns whose values are 0 or more."""
ROUNDING = 1e-6
"""How far a value may lie outside its range, for sums that were rounded."""
FLAG_COLUMNS = ("at_target", "certified")
TEXT_COLUMNS = ("phase", "error", "study", "arm", "cell", "config_id", "role", "twin_id")


class LineFault(ValueError):
    """A line of several that does not hold what it must.

    Args:
        index: Its position, from 0.
        reason: What is wrong, a clause.
    """

    def __init__(self, index: int, reason: str) -> None:
        self.index = index
        self.reason = reason
        super().__init__(reason)


def read_json(path: Place, limit: int = MAX_JSON_BYTES) -> Any:
    """Contents of a JSON file of a study; None where there is none.

    Raises:
        StudyDirectoryError: naming the file, if it is no JSON text within the bounds.
        StorageError: if it cannot be read, or is larger than ``limit`` bytes.
    """
    text = read_content(path, limit)
    if text is None:
        return None
    try:
        return parse_json(text)
    except ValueError as error:
        raise StudyDirectoryError(f"`{path}` is damaged: {error}") from error


def parse_json(text: bytes) -> Any:
    """Plain values of a JSON text.

    Raises:
        ValueError: if it is no JSON in UTF-8, is nested deeper than `MAX_DEPTH`, or holds a number
            that is not finite or a text that cannot be printed; a clause.
    """
    if text.count(b"{") + text.count(b"[") > MAX_DEPTH:
        _require_depth(text)
    try:
        # As text: of bytes, json guesses other encodings too.
        values = _DECODER.decode(text.decode())
        if b"\\u" in text or not text.isascii():
            json.dumps(values, ensure_ascii=False).encode()  # half of a surrogate pair
    except UnicodeError as error:
        raise ValueError("its text is not UTF-8") from error
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from error
    return values


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def require_length(line: bytes) -> None:
    """Refuse a line that is too long, or too deeply nested, to be read as a table.

    Raises:
        ValueError: saying so, a clause.
    """
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"it must have at most {MAX_LINE_BYTES:,} bytes, and has {len(line):,}")
    if line.count(b"{") + line.count(b"[") > MAX_DEPTH:
        _require_depth(line)


def _require_depth(text: bytes) -> None:
    """Refuse a text that is nested too deep; brackets in strings do not count."""
    depth = 0
    for token in re.finditer(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', text):
        if token[0] in b"{[":
            depth += 1
        elif token[0] in b"}]":
            depth -= 1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def require_record(record: Record | Bracket) -> None:
    """Refuse a record whose values are not of the types and ranges of its fields.

    Fields are judged by the annotations of their class: whole numbers are counts, 0 or more.

    Raises:
        ValueError: naming the field and its value, a clause.
    """
    if isinstance(record, UnknownRecord | Report):
        return
    record_class: Any = type(record)
    for name, rule, holds in _rules_of(record_class):
        value = getattr(record, name)
        if not holds(value):
            raise ValueError(f"`{name}` must be {rule}, got {_shown(value)}")
    when = record.time
    if isinstance(when, bool) or not isinstance(when, int | float) or math.isinf(when):
        raise ValueError(f"`time` must be a number of seconds, got {_shown(when)}")
    if isinstance(record, Ended):
        for name, value in record.columns.items():
            if broken := column_rule(name, value):
                raise ValueError(f"`{name}` must be {broken}, got {_shown(value)}")


def column_rule(name: str, value: Any) -> str | None:
    """The rule that a value of a column breaks, in words; None where it keeps it.

    A column that this version does not know may hold any plain value.
    """
    if value is None:
        return None
    if name in FLAG_COLUMNS:
        return None if isinstance(value, bool) else "true, false or null"
    if name in TEXT_COLUMNS:
        return None if isinstance(value, str) else "a text"
    is_measured = name in FRACTION_COLUMNS or name in NON_NEGATIVE_COLUMNS
    if not is_measured and not name.startswith(("train_", "val_", "test_")):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "a number"
    low, high = column_range(name)
    return None if low <= value <= high else range_text(name)


def column_range(name: str) -> tuple[float, float]:
    """Smallest and largest value that a numeric column may have; all are finite."""
    if name in FRACTION_COLUMNS:
        return -ROUNDING, 1 + ROUNDING
    if name in NON_NEGATIVE_COLUMNS:
        return 0, MAX_FLOAT
    return -MAX_FLOAT, MAX_FLOAT


MAX_FLOAT = 1.7976931348623157e308


def range_text(name: str) -> str:
    """The range of a numeric column, in words."""
    if name in FRACTION_COLUMNS:
        return "in [0, 1]"
    return "0 or more, and finite" if name in NON_NEGATIVE_COLUMNS else "finite"


Rule = tuple[str, str, Callable[[Any], bool]]
"""Name of a field, what it must be in words, and the test of a value."""


@cache
def _rules_of(record_class: Any) -> tuple[Rule, ...]:
    """Rules of a class's fields but ``time``, ``extra`` and ``columns``."""
    hints = get_type_hints(record_class)
    named = [one.name for one in fields(record_class)]
    kept = [name for name in named if name not in ("time", "extra", "columns")]
    return tuple(_rule_of(name, hints[name]) for name in kept)


def _rule_of(name: str, hint: Any) -> Rule:
    if name in ("trial_id", "config_id", "twin_id"):
        optional = name == "twin_id"
        return (
            name,
            "the digits of an id",
            lambda value: (
                (optional and value is None)
                or (isinstance(value, str) and bool(NAME_PATTERN.fullmatch(value)))
            ),
        )
    options = list(_options(hint))
    rule = " or ".join(dict.fromkeys(words for words, _ in options))
    return name, rule, lambda value: any(holds(value) for _, holds in options)


def _options(hint: Any) -> Iterator[tuple[str, Callable[[Any], bool]]]:
    """What a value of a type may be, in words, with a test for each."""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        for part in get_args(hint):
            yield from _options(part)
    elif origin is Literal:
        names = get_args(hint)
        yield f"one of {', '.join(names)}", lambda value: isinstance(value, str) and value in names
    elif hint is type(None):
        yield "null", lambda value: value is None
    elif hint is bool:
        yield "true or false", lambda value: isinstance(value, bool)
    elif hint is int:
        yield "a whole number, 0 or more", is_count
    elif hint is float:
        yield "a number", lambda value: is_number(value)
    elif hint is str:
        yield "a text", lambda value: isinstance(value, str)
    elif origin is not None and issubclass(origin, Mapping):
        inner = [holds for _, holds in _options(get_args(hint)[1])]
        yield (
            "an object",
            lambda value: (
                isinstance(value, Mapping)
                and all(any(holds(item) for holds in inner) for item in value.values())
            ),
        )
    elif origin is not None and issubclass(origin, Sequence):
        inner = [holds for _, holds in _options(get_args(hint)[0])]
        yield (
            "a list",
            lambda value: (
                isinstance(value, list | tuple)
                and all(any(holds(item) for holds in inner) for item in value)
            ),
        )
    else:
        yield "anything", lambda value: True


def is_count(value: Any) -> TypeGuard[int]:
    """True for a whole number in [0, 2^63)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_COUNT


def is_number(value: Any) -> TypeGuard[float]:
    """True for a finite number that is no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: Any) -> str:
    """A value in a message, cut."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
