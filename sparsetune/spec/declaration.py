"""What every declared part has in common: frozen fields, every problem found at once, one canonical form.

Building a faulty part does not raise: it keeps what it was given, so that a study can name the faults of all its parts
together (`problems`). Nothing runs before that check (`checked`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from sparsetune.durations import Length
from sparsetune.errors import DeclarationError, Problem

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # not public under its own name


class _LenientMeta(ModelMetaclass):
    """Lets a faulty part exist, holding the raw values, until its declaration is checked as a whole."""

    positional: tuple[str, ...]
    model_fields: dict[str, FieldInfo]

    def __call__(cls, *args: Any, **given: Any) -> Any:
        if len(args) > len(cls.positional):
            raise TypeError(
                f"{cls.__name__} takes {len(cls.positional)} positional arguments, got {len(args)}"
            )
        given |= dict(zip(cls.positional, args, strict=False))
        try:
            return super().__call__(**given)
        except ValidationError:
            faulty: Any = object.__new__(cls)  # type: ignore[arg-type]
            fields = cls.model_fields.items()
            defaults = {
                name: _default_of(field) for name, field in fields if not field.is_required()
            }
            state = {"__dict__": defaults | given, "__pydantic_fields_set__": set(given)}
            for name, value in (
                state | {"__pydantic_extra__": None, "__pydantic_private__": None}
            ).items():
                object.__setattr__(faulty, name, value)
            return faulty


class Declaration(BaseModel, metaclass=_LenientMeta):
    """A frozen part of a declaration. Unknown fields are problems, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    positional: ClassVar[tuple[str, ...]] = ()
    """Fields that may be given without their name, in this order."""

    def given(self) -> dict[str, Any]:
        """What was set, as plain JSON values, defaults left out; a discriminating ``kind`` always stays."""
        kept = {}
        for name, value in self.__dict__.items():
            if name not in self.__pydantic_fields_set__ and name != "kind":
                continue  # its default
            field = type(self).model_fields.get(name)
            default = None if field is None else _default_of(field)
            # As plain values: pydantic's own equality overlooks unknown fields.
            if (
                field is None
                or name == "kind"
                or (value is not default and to_plain(value) != to_plain(default))
            ):
                kept[name] = to_plain(value)
        return kept

    def problems(self) -> list[Problem]:
        """Every fault of this part and the parts inside it, with dotted paths; empty when there is none."""
        try:
            type(self).model_validate(self.given())
        except ValidationError as error:
            return [
                problem_from_error(type(self), details)
                for details in error.errors(include_url=False)
            ]
        return []

    def checked(self) -> Self:
        """This part, proved valid.

        Raises:
            DeclarationError: naming every problem.
        """
        if problems := self.problems():
            raise DeclarationError(problems, f"the {type(self).__name__}")
        return type(self).model_validate(self.given())

    def digest(self) -> str:
        """Twelve hexadecimal digits that name the declared values; equal declarations have equal digests."""
        return digest_of(self.given())


def _default_of(field: FieldInfo) -> Any:
    return (
        field.default
        if field.default_factory is None
        else field.get_default(call_default_factory=True)
    )


def all_positive(*values: Any) -> bool:
    """Whether all are numbers above 0: a faulty part that is checked in another holds what it was given."""
    return all(isinstance(value, int | float) and value > 0 for value in values)


def to_plain(value: Any) -> Any:
    """``value`` as JSON types: parts become dictionaries of what was set in them."""
    if isinstance(value, Declaration):
        return value.given()
    if isinstance(value, Length):
        return value.declared()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def digest_of(values: Any) -> str:
    """The first twelve hexadecimal digits of SHA-256 over the sorted JSON of ``values``; 1.0 counts as 1."""
    text = json.dumps(_whole_numbers(values), sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _whole_numbers(value: Any) -> Any:
    """Plain values with whole floats as integers, so that equal numbers have equal digests."""
    if isinstance(value, Mapping):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def problem_from_error(model: type[BaseModel], details: ErrorDetails) -> Problem:
    """One of pydantic's errors in our words, listing the valid names where a name is unknown."""
    path = ".".join(_user_path(details["loc"]))
    got = repr(details["input"])
    context = details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            return Problem(
                path,
                f"unknown field; valid are {_field_names(_model_at(model, details['loc'][:-1]))}",
            )
        case "missing":
            return Problem(path, "must be given")
        case "literal_error":
            return Problem(path, f"must be {context['expected']}", got)
        case "too_short":
            return Problem(path, "must not be empty")
        case "union_tag_invalid":
            return Problem(
                path, f"`kind` must be one of {context['expected_tags']}", f"'{context['tag']}'"
            )
        case "value_error":
            return Problem(
                path, str(context["error"]), "" if isinstance(details["input"], dict) else got
            )
        case _:
            rule = details["msg"].replace("Input should be", "must be")
            return Problem(
                path, rule[:1].lower() + rule[1:], got if len(got) < 200 else got[:200] + "…"
            )


def _field_names(model: type[BaseModel] | None) -> str:
    return ", ".join(f"`{name}`" for name in model.model_fields) if model else "none"


def _user_path(location: tuple[int | str, ...]) -> Iterator[str]:
    """The parts of ``location`` that a user wrote: without the tags that pydantic adds for a union."""
    tags = {
        model.model_fields["kind"].default
        for model in _descendants(Declaration)
        if "kind" in model.model_fields
    }
    for before, part in zip(("", *location), location, strict=False):
        if part not in tags or before in ("", "arms"):
            yield str(part)


def _descendants(model: type[Declaration]) -> Iterator[type[Declaration]]:
    for child in model.__subclasses__():
        yield child
        yield from _descendants(child)


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model whose fields stand at ``location``; None inside plain values."""
    members: list[type[BaseModel]] = [model]
    for part in location:
        tagged = [
            m
            for m in members
            if "kind" in m.model_fields and m.model_fields["kind"].default == part
        ]
        field = members[0].model_fields.get(str(part)) if members else None
        members = tagged or (_models_in(field.annotation) if field else members)
    return members[0] if members else None


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [
        model for argument in getattr(annotation, "__args__", ()) for model in _models_in(argument)
    ]
