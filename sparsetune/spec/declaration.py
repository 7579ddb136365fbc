"""Base of every declared part: frozen fields, all problems found together, one canonical form.

Building a faulty part does not raise: it keeps what it was given, so that a study can name the
faults of all its parts together (`problems`). Nothing runs before that check (`checked`).
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from sparsetune.durations import Length
from sparsetune.errors import DeclarationError, Problem
from sparsetune.spec.fields.words import args_section

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # not public under its own name

SCHEMA_VERSION = 1
"""Version of the file formats: study directory, checkpoint, exported model. Raised when old files
can no longer be read as they are."""
DIGEST_VERSION = 1
"""Version in every digest. It stays: another one would rename every finished trial."""
MAX_COUNT = 1_000_000_000
"""Largest count of a field: examples, updates, batches."""
MAX_SIDE = 4096
"""Most pixels of an image's side."""
MAX_SEED = 2**53 - 1
"""Largest seed: every program reads it from JSON as it is."""
MAX_DEPTH = 50
"""Most mappings and lists around a value; one that holds itself has no end."""
TOO_DEEP = "… (nested too deeply)"
"""Text that stands for what lies deeper."""
UNNAMED_FIELDS = frozenset({"prunable_by", "method_choices"})
"""Fields that take no part in digests: a directory sets them, and trials keep their names."""
RESOLVED_FIELD = "resolved"
"""Field of a part with a ``kind`` that holds what a launch found in a user's data."""

Result = TypeVar("Result")


def remembered(method: Callable[[Any], Result]) -> Callable[[Any], Result]:
    """Work out a method of a frozen part once for each object.

    Results lie in a slot of the object. Pydantic neither copies, compares, hashes, pickles nor
    dumps slots, so that a copy with other values starts without results.
    """

    @wraps(method)
    def remembering(self: Any) -> Result:
        try:
            results: dict[str, Any] = object.__getattribute__(self, "_results")
        except AttributeError:
            results = {}
            object.__setattr__(self, "_results", results)
        if method.__name__ not in results:
            results[method.__name__] = method(self)
        result: Result = results[method.__name__]
        return result

    return remembering


class _LenientMeta(ModelMetaclass):
    """Metaclass that lets a faulty part exist, with raw values, until it is checked."""

    positional: tuple[str, ...]
    model_fields: dict[str, FieldInfo]

    def __call__(cls, *args: Any, **given: Any) -> Any:
        if len(args) > len(cls.positional):
            raise TypeError(
                f"{cls.__name__} takes {len(cls.positional)} positional arguments, got {len(args)}"
            )
        given |= dict(zip(cls.positional, args, strict=False))
        # A rule between fields may raise anything where a part inside is faulty.
        with suppress(Exception):
            return super().__call__(**given)
        # Plain values are what is judged and stored: keys are texts, arrays are lists.
        with suppress(Exception):
            return super().__call__(**{name: to_plain(value) for name, value in given.items()})
        # Raising here would name the faults of this part alone, and hide those of others.
        return cls._faulty(given)

    def _faulty(cls, given: dict[str, Any]) -> Any:
        """An object that holds ``given`` unchecked, and defaults where nothing was given."""
        defaults = {}
        for name, field in cls.model_fields.items():
            if not field.is_required():
                defaults[name] = _default_of(field)
        # `model_construct` would drop unknown fields, which are faults to be named.
        state = {
            "__dict__": defaults | given,
            "__pydantic_fields_set__": set(given),
            "__pydantic_extra__": None,
            "__pydantic_private__": None,
        }
        faulty: Any = object.__new__(cls)  # type: ignore[arg-type]
        for name, value in state.items():
            object.__setattr__(faulty, name, value)
        return faulty


class Declaration(BaseModel, metaclass=_LenientMeta):
    """A frozen part of a declaration. Unknown fields are problems, never ignored."""

    __slots__ = ("_results",)

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,  # a field's docstring is its `description`
    )
    positional: ClassVar[tuple[str, ...]] = ()
    """Fields that may be given without their name, in this order."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """List the fields in the class's docstring, where ``help()`` and notebooks look."""
        summary = inspect.cleandoc(vars(cls).get("__doc__") or "")
        cls.__doc__ = f"{summary}\n\n{args_section(cls)}".strip()

    def given(self) -> dict[str, Any]:
        """Fields that differ from their defaults, as plain JSON values.

        A ``kind``, which says which class a part is of, is always kept.
        """
        cls = type(self)
        fields = cls.model_fields
        kept = {}
        for name, value in self.__dict__.items():
            # Without its kind, what is stored could not tell which class to read it as.
            if name == "kind":
                kept[name] = value
                continue
            if name not in self.__pydantic_fields_set__:
                continue
            field = fields.get(name)
            if field is not None and value is field.default:
                continue  # the common case, without making plain values
            # As plain values: pydantic's own equality overlooks unknown fields.
            plain = to_plain(value)
            if field is None or not _are_equal(plain, _plain_default(cls, name)):
                kept[name] = plain
        return kept

    def fields_set(self) -> dict[str, Any]:
        """Fields that were set, also to their defaults, with their values as they are."""
        return {
            name: value for name, value in self.__dict__.items() if name in self.model_fields_set
        }

    def written(self) -> dict[str, Any]:
        """Fields that were set, also to their defaults, as plain JSON values."""
        kept = {name: as_written(value) for name, value in self.fields_set().items()}
        if "kind" in self.__dict__:
            kept["kind"] = self.__dict__["kind"]
        return kept

    def problems(self) -> list[Problem]:
        """Every fault of this part and the parts inside it, with dotted paths."""
        cls = type(self)
        try:
            cls.model_validate(self.given())
        except ValidationError as error:
            return [problem_from_error(cls, details) for details in error.errors(include_url=False)]
        return []

    def checked(self) -> Self:
        """This part, proved valid.

        Raises:
            DeclarationError: naming every problem.
        """
        problems = self.problems()
        if problems:
            raise DeclarationError(problems, f"the {type(self).__name__}")
        return type(self).model_validate(self.given())

    def digest(self) -> str:
        """Name of the declared values, twelve hexadecimal digits; equal declarations have equal
        ones.
        """
        return digest_of(self.given())


def _default_of(field: FieldInfo) -> Any:
    if field.default_factory is None:
        return field.default
    return field.get_default(call_default_factory=True)


@cache
def _plain_default(model: type[BaseModel], name: str) -> Any:
    return to_plain(_default_of(model.model_fields[name]))


def _are_equal(one: Any, other: Any) -> bool:
    """True if two values are equal; arrays, which answer for each element, equal nothing."""
    try:
        return bool(one == other)
    except Exception:
        return False


def all_positive(*values: Any) -> bool:
    """True if all values are numbers above 0.

    Rules between fields ask first: a faulty part inside another one holds what it was given.
    """
    return all(isinstance(value, int | float) and value > 0 for value in values)


def to_plain(value: Any, depth: int = 0) -> Any:
    """A value as JSON types: parts become dictionaries of the fields that differ from defaults.

    Args:
        value: The value.
        depth: Mappings and lists around it; what lies deeper than `MAX_DEPTH` becomes `TOO_DEEP`.
    """
    if isinstance(value, str | int | float | None):
        return value
    if isinstance(value, Declaration):
        return value.given()
    if isinstance(value, Length):
        return value.declared()
    if depth > MAX_DEPTH:
        return TOO_DEEP
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item, depth + 1) for item in value]
    if hasattr(value, "tolist") and not isinstance(value, type):
        return to_plain(value.tolist(), depth + 1)  # an array of numpy or torch
    return value


def as_written(value: Any, depth: int = 0) -> Any:
    """A value as JSON types: parts become dictionaries of the fields that were set.

    Arguments as for `to_plain`.
    """
    if isinstance(value, Declaration):
        return value.written()
    if depth > MAX_DEPTH:
        return TOO_DEEP
    if isinstance(value, Mapping):
        return {str(key): as_written(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_written(item, depth + 1) for item in value]
    return to_plain(value)


def digest_of(values: Any) -> str:
    """First twelve hexadecimal digits of SHA-256 over the sorted JSON of plain values.

    Equal numbers have equal digests: 1.0 counts as 1. What a launch found in a user's data
    (`RESOLVED_FIELD`) takes no part: a trial has its name before its data are read.
    """
    text = json.dumps(_digested(values), sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _digested(value: Any) -> Any:
    """Plain values with whole floats as integers, without what was resolved."""
    if isinstance(value, Mapping):
        # Only a part with a kind has the field; an arm may have its name.
        is_part = isinstance(value.get("kind"), str)
        named = {key: item for key, item in value.items() if key not in UNNAMED_FIELDS}
        digested = {key: _digested(item) for key, item in named.items()}
        # A part that held nothing else is one that was left out.
        for key, item in value.items():
            if isinstance(item, Mapping) and item and digested.get(key) == {}:
                del digested[key]
        if is_part:
            digested.pop(RESOLVED_FIELD, None)
        return digested
    if isinstance(value, list | tuple):
        return [_digested(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


MAX_SHOWN_CHARACTERS = 200
"""Longer values are cut in a problem's text."""


def problem_from_error(model: type[BaseModel], details: ErrorDetails) -> Problem:
    """One of pydantic's errors in our words, with the valid names where a name is unknown."""
    path = ".".join(_user_path(details["loc"]))
    got = repr(details["input"])
    context = details.get("ctx", {})
    match details["type"]:
        case "extra_forbidden":
            valid = _field_names(_model_at(model, details["loc"][:-1]))
            return Problem(path, f"unknown field; valid are {valid}")
        case "missing":
            return Problem(path, "must be given")
        case "literal_error":
            return Problem(path, f"must be {context['expected']}", got)
        case "too_short":
            return Problem(path, "must not be empty")
        case "too_long":
            limit = context["max_length"]
            count = len(details["input"])
            return Problem(path, f"must have at most {limit:,} values", f"{count:,}")
        case "model_attributes_type" | "model_type" | "dataclass_type" | "union_tag_not_found":
            rule = _shape_rule(_models_at(model, details["loc"]), details["input"])
            return Problem(path, rule, _shortened(got))
        case "tuple_type" | "list_type":
            return Problem(path, "must be a list, as in `[0.1, 0.2]`", _shortened(got))
        case "dict_type":
            rule = 'must be a dictionary by name, as in `{"optim.lr": 0.1}`'
            return Problem(path, rule, _shortened(got))
        case "union_tag_invalid":
            rule = f"`kind` must be one of {context['expected_tags']}"
            return Problem(path, rule, f"'{context['tag']}'")
        case "value_error":
            is_whole_part = isinstance(details["input"], dict)
            # A rule between fields names its own values; the whole part would say too much.
            return Problem(path, str(context["error"]), "" if is_whole_part else got)
        case _:
            rule = details["msg"].replace("Input should be", "must be")
            return Problem(path, rule[:1].lower() + rule[1:], _shortened(got))


def _shortened(text: str) -> str:
    return f"{text[:MAX_SHOWN_CHARACTERS]}…" if len(text) >= MAX_SHOWN_CHARACTERS else text


def _shape_rule(models: list[type[BaseModel]], given: Any) -> str:
    """What must be written where a part is to stand; a list may be the argument of one."""
    written = " or ".join(f"`{model.__name__}(…)`" for model in models) or "a part"
    takes_list = [model for model in models if _takes_list(model)]
    if isinstance(given, list | tuple) and takes_list:
        return f"must be {written}; of these values, write `{takes_list[0].__name__}({given!r})`"
    return f"must be {written}"


def _takes_list(model: type[BaseModel]) -> bool:
    """True for a part whose only positional field is a tuple of values."""
    names: tuple[str, ...] = getattr(model, "positional", ())
    return len(names) == 1 and get_origin(model.model_fields[names[0]].annotation) is tuple


def _field_names(model: type[BaseModel] | None) -> str:
    if model is None:
        return "none"
    return ", ".join(f"`{name}`" for name in model.model_fields)


def _user_path(location: tuple[int | str, ...]) -> Iterator[str]:
    """The parts of ``location`` that a user wrote, without the tags that pydantic adds for a
    union.
    """
    tags = set()
    for model in _descendants(Declaration):
        if "kind" in model.model_fields:
            tags.add(model.model_fields["kind"].default)
    # A tag never comes first, and an arm may have the name of one.
    for before, part in zip(("", *location), location, strict=False):
        if part not in tags or before in ("", "arms"):
            yield str(part)


def _descendants(model: type[Declaration]) -> Iterator[type[Declaration]]:
    for child in model.__subclasses__():
        yield child
        yield from _descendants(child)


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model whose fields stand at ``location``; None inside plain values."""
    members = _models_at(model, location)
    return members[0] if members else None


def _models_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """The models that may stand at ``location``; none inside plain values."""
    members: list[type[BaseModel]] = [model]
    for part in location:
        tagged = [member for member in members if _has_tag(member, part)]
        field = members[0].model_fields.get(str(part)) if members else None
        if tagged:
            members = tagged
        elif field:
            members = _models_in(field.annotation)
    return members


def _has_tag(model: type[BaseModel], tag: int | str) -> bool:
    """True if ``tag`` is the model's ``kind``."""
    kind = model.model_fields.get("kind")
    return kind is not None and kind.default == tag


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, in order."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    for argument in getattr(annotation, "__args__", ()):
        found.extend(_models_in(argument))
    return found
