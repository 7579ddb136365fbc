"""A user's own code, named by import path: ``package.module:name``."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from sparsetune.errors import DeclarationError, OwnCodeError, Problem, first_line
from sparsetune.seeds import IMPORT_SEED, seeded_generators

_NAMES = r"[^\W\d]\w*(\.[^\W\d]\w*)*"
IMPORT_PATH = re.compile(f"{_NAMES}:{_NAMES}")
"""Form of an import path: a dotted module, a colon, a name in it."""
_IS_CLOSED = ContextVar("_IS_CLOSED", default=False)


@contextmanager
def without_own_code() -> Iterator[None]:
    """Refuse to import what a study names, while open: what reads a study's directory runs none of
    its code, whatever its fields say.
    """
    before = _IS_CLOSED.set(True)
    try:
        yield
    finally:
        _IS_CLOSED.reset(before)


def is_import_path(name: str) -> bool:
    """True if a name means something of the user's own: only import paths have a colon."""
    return ":" in name


def name_or_import_path(names: Sequence[str]) -> Callable[[Any], str]:
    """Check of a field that takes one of some names, or an import path; it imports nothing."""

    def checked(value: Any) -> str:
        if isinstance(value, str) and (value in names or IMPORT_PATH.fullmatch(value)):
            return value
        quoted = ", ".join(repr(name) for name in names)
        raise ValueError(f"must be {quoted} or your own `package.module:name`")

    return checked


def import_named(path: str, field: str) -> Any:
    """Object that an import path names.

    Args:
        path: ``package.module:name``; the name may be dotted.
        field: Dotted field that declares it, for messages.

    Raises:
        DeclarationError: if the path has another form, the module cannot be imported, or has no
            such name.
        OwnCodeError: within `without_own_code`.
    """
    if _IS_CLOSED.get():
        raise OwnCodeError(
            f"`{field}` names code of a study's own, {path!r}: only `run` and `resume` import it"
        )
    if not IMPORT_PATH.fullmatch(path):
        raise _import_error(field, "must be an import path, `package.module:name`", path)
    module_name, _, name = path.partition(":")
    try:
        found: Any = _import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # a user's module may raise anything while it is imported
        rule = f"must name a function that can be imported ({_cause_of(error)})"
        raise _import_error(field, rule, path) from error
    return found


def _import_module(name: str) -> ModuleType:
    """The module; what it draws or seeds while it is imported is the same at any time, and stays
    its own.
    """
    if name in sys.modules:
        return importlib.import_module(name)
    with seeded_generators(IMPORT_SEED):
        return importlib.import_module(name)


def import_modules(names: Iterable[str]) -> None:
    """Import modules where that works; what fails is said when it is used."""
    for name in names:
        with suppress(Exception):  # a module may raise anything while it is imported
            _import_module(name)


def import_function(path: str, field: str) -> Callable[..., Any]:
    """Function, or other callable, that an import path names.

    Raises:
        DeclarationError: if it cannot be imported, or not be called.
    """
    found = import_named(path, field)
    if not callable(found):
        raise _import_error(field, "must name a function", path)
    function: Callable[..., Any] = found
    return function


def call_by_name(path: str, field: str, offered: Mapping[str, Any]) -> Any:
    """Result of a user's function, called with those arguments that it asks for by name.

    Args:
        path: Import path of the function.
        field: Dotted field that declares it, for messages.
        offered: Arguments by name.

    Raises:
        DeclarationError: if it asks for another argument, or raises.
    """
    function = import_function(path, field)
    asked = asked_names(path, field, offered)
    try:
        return function(**{name: offered[name] for name in asked})
    except Exception as error:
        rule = f"must return with {', '.join(asked) or 'no arguments'} ({_cause_of(error)})"
        raise _import_error(field, rule, path) from error


def asked_names(path: str, field: str, offered: Mapping[str, Any]) -> list[str]:
    """Names among those offered that a user's function takes; all of them under ``**kwargs``.

    Raises:
        DeclarationError: if it requires another one, naming those that it may ask for.
    """
    function = import_function(path, field)
    asked: list[str] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            return list(offered)
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            continue
        if parameter.name in offered:
            asked.append(parameter.name)
        elif parameter.default is inspect.Parameter.empty:
            rule = f"may ask for {', '.join(f'`{name}`' for name in offered)}"
            raise _import_error(field, rule, f"{path}, which asks for `{parameter.name}`")
    return asked


def _cause_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


def _import_error(field: str, rule: str, got: str) -> DeclarationError:
    return DeclarationError([Problem(field, rule, repr(got))], "your own code")
