"""Words for one field of a declaration: its type with its range, its default and its meaning."""

from __future__ import annotations

import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sparsetune.durations import Length

BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "min_length": "length ≥"}
"""Constraints of pydantic's fields, as they are shown."""
DOCSTRING_COLUMNS = 96
"""Width of the fields in a class's docstring; ``help()`` indents it by four columns."""


def public_fields(declaration: type[BaseModel]) -> dict[str, FieldInfo]:
    """Fields that a user sets, by name; ``kind`` is set by the class."""
    fields = declaration.model_fields.items()
    return {name: field for name, field in fields if name != "kind"}


def field_type(field: FieldInfo) -> str:
    """Type and range of a field, such as ``float, ≥ 0, < 1``."""
    bounds: list[str] = []
    for item in field.metadata:
        bounds += _constraints(item)
    return ", ".join([_type_text(field.annotation), *bounds])


def default_text(field: FieldInfo) -> str | None:
    """Default of a field as code; None if the field is required."""
    if field.is_required():
        return None
    return _value_text(field.get_default(call_default_factory=True))


def field_meaning(declaration: type[BaseModel], name: str) -> str:
    """Docstring below a field on one line, or that of a parent's field; empty if there is none."""
    for parent in declaration.__mro__:
        fields: Mapping[str, FieldInfo] = getattr(parent, "model_fields", {})
        if name in fields and fields[name].description:
            return " ".join(str(fields[name].description).split())
    return ""


def args_section(declaration: type[BaseModel]) -> str:
    """Google-style ``Args`` section with every field of a class; empty if it has none."""
    entries = []
    for name, field in public_fields(declaration).items():
        # A factory may make a part whose class does not exist yet when this one is defined.
        default = "" if field.default_factory else default_text(field)
        required = "Required." if field.is_required() else ""
        ending = f"Default: ``{default}``." if default else required
        words = f"{name} ({field_type(field)}): {field_meaning(declaration, name)} {ending}"
        entry = textwrap.fill(
            " ".join(words.split()),
            DOCSTRING_COLUMNS,
            initial_indent="    ",
            subsequent_indent="        ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        entries.append(entry)
    return "\n".join(["Args:", *entries]) if entries else ""


def _constraints(item: Any) -> Iterator[str]:
    """Numeric constraints in one item of a field's metadata, such as ``≥ 0``."""
    for name, sign in BOUNDS.items():
        bound = getattr(item, name, None)
        if isinstance(bound, int | float):
            yield f"{sign} {bound:g}"


def _type_text(annotation: Any) -> str:
    """A type as a user writes it: ``'step' | 'epoch'``, ``tuple[Length, …]``, ``float | None``."""
    origin = typing.get_origin(annotation)
    parts = typing.get_args(annotation)
    if annotation is type(None):
        return "None"
    if annotation is Ellipsis:
        return "…"
    if isinstance(annotation, typing.ForwardRef):
        return annotation.__forward_arg__
    if origin is typing.Annotated:
        return _type_text(parts[0])
    if origin is Literal:
        return " | ".join(repr(option) for option in parts)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_type_text(part) for part in parts)
    if origin in (tuple, dict):
        return f"{origin.__name__}[{', '.join(_type_text(part) for part in parts)}]"
    return str(getattr(annotation, "__name__", annotation))


def _value_text(value: Any) -> str:
    """A default as it would be declared: a length by its unit, a part by what was set in it."""
    if isinstance(value, Length):
        return repr(value.declared())
    if isinstance(value, BaseModel):
        given = sorted(value.model_fields_set - {"kind"})
        shown = [f"{name}={_value_text(getattr(value, name))}" for name in given]
        return f"{type(value).__name__}({', '.join(shown)})"
    return repr(value)
