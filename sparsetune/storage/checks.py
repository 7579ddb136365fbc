"""Bounds of what is read from a study directory: JSON texts, and the values of records."""

from __future__ import annotations

import hashlib
import json
import math
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from typing import Any, Literal, NamedTuple, TypeGuard, Union, get_args, get_origin, get_type_hints

from pydantic_core import from_json

from sparsetune.errors import StudyDirectoryError
from sparsetune.paths import Place, read_content
from sparsetune.spec import TrialSpec
from sparsetune.spec.declaration import DIGEST_VERSION
from sparsetune.storage.records import (
    Bracket,
    Ended,
    Proposed,
    Record,
    Report,
    UnknownRecord,
)

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
    *("step", "attempt", "epoch", "lr", "seconds"),
    *("train_flops", "extra_flops", "inference_flops"),
    *("pruned_weights", "prunable_weights", "parameters", "peak_memory"),
    "chance_loss",
)
"""Columns whose values are 0 or more."""
SIGNED_COLUMNS = ("zeros_in_mask",)
"""Other columns of numbers: records of before have counts below 0 for networks that diverged."""
ROUNDING = 1e-6
"""How far a value may lie outside its range, for sums that were rounded."""
FLAG_COLUMNS = ("at_target", "certified", "learned_nothing")
TEXT_COLUMNS = ("phase", "error", "study", "arm", "cell", "config_id", "role", "twin_id")


Test = Callable[[Any], bool]
"""True for a value that is allowed."""


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
    return _parse(text)


def _parse(text: bytes) -> Any:
    """Plain values of a JSON text that is nested no deeper than it may; see `parse_json`."""
    try:
        # As text: of bytes, json guesses other encodings too.
        values = _DECODER.decode(text.decode())
        if b"\\u" in text and SURROGATE_ESCAPE.search(text):
            json.dumps(values, ensure_ascii=False).encode()  # refuses half of a pair
    except UnicodeError as error:
        raise ValueError("its text is not UTF-8") from error
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from error
    return values


def parse_lines(lines: Sequence[bytes]) -> list[Any]:
    """Plain values of many lines at once; as many as there are lines, unless one holds several.

    Raises:
        ValueError: if any line is no JSON text within the bounds; see `parse_json`.
    """
    for line in lines:
        require_length(line)
    return join_and_parse(lines)


def join_and_parse(lines: Sequence[bytes]) -> list[Any]:
    """Plain values of lines whose lengths were checked; see `parse_lines`."""
    # One call of the parser for all lines is faster than one for each.
    text = b"[" + b",".join(lines) + b"]"
    try:
        # Twice as fast as the standard library's.
        values: list[Any] = from_json(text, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        values = _parse(text)  # which says what is wrong
    return values


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number")


SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
"""Half of a surrogate pair; text in UTF-8 has none that is not escaped."""
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
    record_class: Any = type(record)
    if record_class in (UnknownRecord, Report):
        return
    for name, kinds, holds, text in _rules_of(record_class):
        value = getattr(record, name)
        if type(value) not in kinds and not holds(value):
            raise ValueError(f"`{name}` must be {text}, got {_shown(value)}")
    if isinstance(record, Ended):
        for name, value in record.columns.items():
            if broken := column_rule(name, value):
                raise ValueError(f"`{name}` must be {broken}, got {_shown(value)}")


def require_named_record(record: Record | Bracket) -> None:
    """Refuse what `require_record` refuses, and a trial that is not named by its declaration.

    Raises:
        ValueError: a clause.
    """
    require_record(record)
    if not isinstance(record, Proposed):
        return
    if _digests_as_written(record.spec) == (record.trial_id, record.config_id):
        return
    # A declaration that is not written in its shortest form has the name of that form.
    trial = TrialSpec.model_validate(record.spec)
    if (trial.trial_id(), trial.config_id()) != (record.trial_id, record.config_id):
        raise ValueError(
            f"`trial_id` and `config_id` must be those of its `spec`, {trial.trial_id()} and"
            f" {trial.config_id()}, got {record.trial_id} and {record.config_id}"
        )


# The literal comes first, which a search finds fastest.
WHOLE_FLOAT_PATTERN = re.compile(r"\.0(?<=[0-9]\.0)(?=[,}\]])")
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def _digests_as_written(spec: Mapping[str, Any]) -> tuple[str, str]:
    """What `digest_of` gives for a declaration in its shortest form, with its seed and without,
    several times faster.

    For another declaration they may differ: only equality with a name says something.
    """
    whole = _shortest_text(spec)
    if "seed" not in spec:
        digest = _digest_of_text(whole)
        return digest, digest
    # Only a key is a text with quotes of its own, and the schema's comes before it.
    seed = f',"seed":{spec["seed"]}'
    if whole.count(seed) == 1:
        rest = whole.replace(seed, "")
    else:  # a network to start from may have that seed too
        rest = _shortest_text({key: spec[key] for key in spec if key != "seed"})
    return _digest_of_text(whole), _digest_of_text(rest)


def _shortest_text(spec: Mapping[str, Any]) -> str:
    """JSON of a declaration as digests take it: whole numbers have no fraction."""
    return WHOLE_FLOAT_PATTERN.sub("", _ENCODER.encode({"schema": DIGEST_VERSION, **spec}))


def _digest_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def column_rule(name: str, value: Any) -> str | None:
    """The rule that a value of a column breaks, in words; None where it keeps it.

    A column that this version does not know may hold any plain value.
    """
    rule = _column_rule(name)
    return None if type(value) in rule.types or rule.holds(value) else rule.text


@cache
def _column_rule(name: str) -> Rule:
    """What a value of a column must be; any may be missing."""
    missing = type(None)
    if name in FLAG_COLUMNS:
        return Rule(name, frozenset([missing, bool]), _never, "true, false or null")
    if name in TEXT_COLUMNS:
        return Rule(name, frozenset([missing, str]), _never, "a text")
    is_measured = name in (*FRACTION_COLUMNS, *NON_NEGATIVE_COLUMNS, *SIGNED_COLUMNS)
    if not is_measured and not name.startswith(("train_", "val_", "test_")):
        return Rule(name, frozenset(), lambda value: True, "anything")
    low, high = column_range(name)

    def in_range(value: Any) -> bool:
        return type(value) in (int, float) and low <= value <= high

    return Rule(name, frozenset([missing]), in_range, f"a number {range_text(name)}")


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


class Rule(NamedTuple):
    """What a field must be.

    Args:
        name: Its name.
        types: Types of which every value will do.
        holds: The test of a value of any other type.
        text: The rule in words.
    """

    name: str
    types: frozenset[type]
    holds: Test
    text: str


@cache
def _rules_of(record_class: Any) -> tuple[Rule, ...]:
    """Rules of a class's fields but ``extra`` and ``columns``."""
    hints = get_type_hints(record_class)
    named = [one.name for one in fields(record_class)]
    kept = [name for name in named if name not in ("extra", "columns")]
    # The time comes last: a wrong one says less than a wrong field.
    return tuple(_rule_of(name, hints[name]) for name in sorted(kept, key="time".__eq__))


def _rule_of(name: str, hint: Any) -> Rule:
    if name == "time":
        return Rule(name, frozenset([int]), _is_time, "a number of seconds")
    if name in ("trial_id", "config_id"):
        return Rule(name, frozenset(), is_id, "the digits of an id")
    if name == "twin_id":
        return Rule(name, frozenset([type(None)]), is_id, "the digits of an id or null")
    parts = set(_parts(hint))
    options = list(_options(hint))
    text = " or ".join(dict.fromkeys(words for words, _ in options))
    return Rule(name, UNBOUNDED_TYPES & parts, _any_of([holds for _, holds in options]), text)


def _parts(hint: Any) -> Iterator[Any]:
    """The types of a union; of any other type, that one."""
    if get_origin(hint) in (Union, types.UnionType):
        for part in get_args(hint):
            yield from _parts(part)
    else:
        yield hint


def _any_of(tests: Sequence[Test]) -> Test:
    """A test that holds where one of several does."""
    first, *others = tests
    if not others:
        return first
    rest = _any_of(others)
    return lambda value: first(value) or rest(value)


def _options(hint: Any) -> Iterator[tuple[str, Test]]:
    """What a value of a type may be, in words, with a test for each."""
    for part in _parts(hint):
        yield _option(part)


def _option(hint: Any) -> tuple[str, Test]:
    origin = get_origin(hint)
    if origin is Literal:
        names = get_args(hint)
        return f"one of {', '.join(names)}", lambda value: type(value) is str and value in names
    if origin is not None and issubclass(origin, Mapping):
        return "an object", _object_test(get_args(hint)[1])
    if origin is not None and issubclass(origin, Sequence):
        return "a list", _list_test(get_args(hint)[0])
    return _PLAIN_TESTS.get(hint, ("anything", lambda value: True))


def _object_test(hint: Any) -> Test:
    if hint is Any:
        return lambda value: isinstance(value, Mapping)
    holds = _any_of([test for _, test in _options(hint)])
    return lambda value: isinstance(value, Mapping) and all(map(holds, value.values()))


def _list_test(hint: Any) -> Test:
    holds = _any_of([test for _, test in _options(hint)])
    return lambda value: isinstance(value, list | tuple) and all(map(holds, value))


def is_id(value: Any) -> bool:
    """True for a text that may be a trial's id."""
    return type(value) is str and NAME_PATTERN.fullmatch(value) is not None


def _is_time(value: Any) -> bool:
    return type(value) is float and not math.isinf(value)


def _never(value: Any) -> bool:
    return False


def is_count(value: Any) -> TypeGuard[int]:
    """True for a whole number in [0, 2^63)."""
    return type(value) is int and 0 <= value < MAX_COUNT


def is_number(value: Any) -> TypeGuard[float]:
    """True for a finite number that is no boolean."""
    return type(value) in (int, float) and math.isfinite(value)


UNBOUNDED_TYPES = frozenset([type(None), bool, str])
"""Types whose values have no range."""
_PLAIN_TESTS: dict[Any, tuple[str, Test]] = {
    type(None): ("null", lambda value: value is None),
    bool: ("true or false", lambda value: type(value) is bool),
    int: ("a whole number, 0 or more", is_count),
    float: ("a number", is_number),
    str: ("a text", lambda value: type(value) is str),
}


def _shown(value: Any) -> str:
    """A value in a message, cut."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
