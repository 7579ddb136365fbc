"""Every field of a trial by the dotted name that ``--set``, arms and axes take."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

from sparsetune.errors import SparsetuneError
from sparsetune.spec.declaration import Declaration
from sparsetune.spec.fields.words import default_text, field_meaning, field_type, public_fields
from sparsetune.spec.trial import TrialSpec

MAX_NEAR_NAMES = 5
"""Names that the message about an unknown one suggests."""
NEAR_RATIO = 0.6
"""Similarity from which a name is near, as `difflib` measures it; its default."""


class TrialField(NamedTuple):
    """One field of a trial.

    Args:
        name: Dotted name, such as ``optim.lr``.
        kind: The ``kind`` of the part that has it, where there are several; empty elsewhere.
        type: Type with its range, such as ``float, > 0``.
        default: Default as code; None if the field is required.
        meaning: What it is, in one or two sentences.
    """

    name: str
    kind: str
    type: str
    default: str | None
    meaning: str


def trial_fields() -> list[TrialField]:
    """Every field of a trial; parts in order, each before its own fields.

    Fields of the task are listed once for every kind of task that has them.
    """
    return list(_fields_of(TrialSpec, "", ""))


def find_fields(name: str) -> list[TrialField]:
    """The field of a dotted name, with the fields of the part that it names.

    Raises:
        SparsetuneError: if there is none, with the names that are near.
    """
    fields = trial_fields()
    found = [one for one in fields if one.name == name or one.name.startswith(f"{name}.")]
    if found:
        return found
    near = _near_names(name, list(dict.fromkeys(one.name for one in fields)))
    advice = f"near are {', '.join(f'`{one}`' for one in near)}" if near else "none is near"
    raise SparsetuneError(f"no field is named `{name}`; {advice}; `sparsetune fields` lists all")


def _fields_of(part: type[Declaration], prefix: str, kind: str) -> Iterator[TrialField]:
    for name, field in public_fields(part).items():
        path = f"{prefix}{name}"
        meaning = field_meaning(part, name)
        yield TrialField(path, kind, field_type(field), default_text(field), meaning)
        parts = _parts_in(field.annotation)
        for inner in parts:
            # A teacher is a whole trial, whose fields are listed already.
            if inner is not TrialSpec:
                inner_kind = str(inner.model_fields["kind"].default) if len(parts) > 1 else kind
                yield from _fields_of(inner, f"{path}.", inner_kind)


def _parts_in(annotation: Any) -> list[type[Declaration]]:
    """Parts that a field may hold, directly or as one of several types; not those of a tuple."""
    if typing.get_origin(annotation) is tuple:
        return []
    if isinstance(annotation, type) and issubclass(annotation, Declaration):
        return [annotation]
    parts: list[type[Declaration]] = []
    for argument in typing.get_args(annotation):
        parts += _parts_in(argument)
    return parts


def _near_names(name: str, names: list[str]) -> list[str]:
    """Names that are spelled alike as a whole or in their last part, the nearest first."""
    last = name.rpartition(".")[2]

    def likeness(other: str) -> float:
        whole = difflib.SequenceMatcher(None, name, other).ratio()
        end = difflib.SequenceMatcher(None, last, other.rpartition(".")[2]).ratio()
        return max(whole, end)

    near = sorted(names, key=likeness, reverse=True)
    return [one for one in near if likeness(one) >= NEAR_RATIO][:MAX_NEAR_NAMES]
