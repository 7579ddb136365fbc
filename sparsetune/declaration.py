"""What every declared part has in common: frozen fields, every problem found at once, one canonical form.

Building a faulty part does not raise: it keeps what it was given, so that a study can name the faults of all its parts
together (`problems`). Nothing runs before that check (`checked`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from sparsetune.durations import Length
from sparsetune.errors import DeclarationError, Problem


class _Lenient(type(BaseModel)):  # type: ignore[misc]  # pydantic's metaclass is not public
    """Lets a faulty part exist, holding the raw values, until its declaration is checked as a whole."""

    def __call__(cls, *args: Any, **given: Any) -> Any:
        given |= dict(zip(cls.positional, args, strict=False))
        if len(args) > len(cls.positional):
            raise TypeError(f"{cls.__name__} takes {len(cls.positional)} positional arguments, got {len(args)}")
        try:
            return super().__call__(**given)
        except ValidationError:
            faulty = cls.__new__(cls)
            defaults = {n: f.get_default(call_default_factory=True) for n, f in cls.model_fields.items() if not f.is_required()}
            state = {"__dict__": defaults | given, "__pydantic_fields_set__": set(given)}
            for name, value in (state | {"__pydantic_extra__": None, "__pydantic_private__": None}).items():
                object.__setattr__(faulty, name, value)
            return faulty


class Declared(BaseModel, metaclass=_Lenient):
    """A frozen part of a declaration. Unknown fields are problems, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    positional: ClassVar[tuple[str, ...]] = ()
    """Fields that may be given without their name, in this order."""

    def given(self) -> dict[str, Any]:
        """What was set, as plain JSON values, defaults left out; a discriminating ``kind`` always stays."""
        kept = {}
        for name, value in self.__dict__.items():
            field = type(self).model_fields.get(name)
            if field is None or name == "kind" or value != field.get_default(call_default_factory=True):
                kept[name] = plain(value)
        return kept

    def problems(self) -> list[Problem]:
        """Every fault of this part and the parts inside it, with dotted paths; empty when there is none."""
        try:
            type(self).model_validate(self.given())
        except ValidationError as error:
            return [as_problem(type(self), details) for details in error.errors(include_url=False)]
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


def plain(value: Any) -> Any:
    """``value`` as JSON types: parts become dictionaries of what was set in them."""
    if isinstance(value, Declared):
        return value.given()
    if isinstance(value, Length):
        return value.declared()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def digest_of(values: Any) -> str:
    """The first twelve hexadecimal digits of SHA-256 over the sorted JSON of ``values``."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def as_problem(model: type[BaseModel], details: ErrorDetails) -> Problem:
    """One of pydantic's errors in our words, listing the valid names where a name is unknown."""
    path = ".".join(_named(model, details["loc"]))
    got, context = repr(details["input"]), details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            return Problem(path, f"unknown field; valid are {_names(_model_at(model, details['loc'][:-1]))}")
        case "missing":
            return Problem(path, "must be given")
        case "literal_error":
            return Problem(path, f"must be {context['expected']}", got)
        case "union_tag_invalid":
            return Problem(path, f"`kind` must be one of {context['expected_tags']}", f"'{context['tag']}'")
        case "value_error":
            return Problem(path, str(context["error"]), "" if isinstance(details["input"], dict) else got)
        case _:
            rule = details["msg"].replace("Input should be", "must be")
            return Problem(path, rule[:1].lower() + rule[1:], got if len(got) < 200 else got[:200] + "…")


def _names(model: type[BaseModel] | None) -> str:
    return ", ".join(f"`{name}`" for name in model.model_fields) if model else "none"


def _named(model: type[BaseModel], location: tuple[int | str, ...]) -> Iterator[str]:
    """The parts of ``location`` that a user wrote: without the tags that pydantic adds for a union."""
    for position, part in enumerate(location):
        before = _model_at(model, location[:position])
        tagged = position > 0 and before is not None and part not in before.model_fields
        if not (tagged and before.model_fields.get("kind") and before.model_fields["kind"].default == part):
            yield str(part)


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model whose fields stand at ``location``; None inside plain values."""
    found: type[BaseModel] | None = model
    for part in location:
        if found is None:
            return None
        field = found.model_fields.get(str(part))
        members = _models_in(field.annotation) if field else [found]
        found = next((m for m in members if "kind" in m.model_fields and m.model_fields["kind"].default == part), None) or (
            members[0] if members else None
        )
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models_in(argument)]
