"""Import of what a user names as ``package.module:name``: a model, a score, an optimizer."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any

from sparsetune.errors import DeclarationError, Problem, first_line

IMPORT_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
"""Form of an import path: a dotted module, a colon, a name in it."""


def is_import_path(name: str) -> bool:
    """True if a name means something of the user's own: only import paths have a colon."""
    return ":" in name


def name_or_import_path(names: Sequence[str]) -> Callable[[str], str]:
    """Check of a field that takes one of some names, or an import path; it imports nothing."""

    def checked(value: str) -> str:
        if value in names or IMPORT_PATH.fullmatch(value):
            return value
        quoted = ", ".join(repr(name) for name in names)
        raise ValueError(f"must be {quoted} or your own `package.module:name`")

    return checked


def import_named(path: str, field: str) -> object:
    """What lies at an import path such as ``mylab.nets:build``.

    The module is imported from Python's own search path, and once in a process.

    Args:
        path: The import path.
        field: Dotted name of the field that declares it, for the message.

    Raises:
        DeclarationError: if the path has another form, or nothing can be imported from it.
    """
    if not IMPORT_PATH.fullmatch(path):
        raise _import_error("must be an import path, `package.module:name`", path, field)
    module_name, _, name = path.partition(":")
    try:
        module = importlib.import_module(module_name)
        found: object = getattr(module, name)
    except Exception as error:  # a user's module may raise anything while it is imported
        cause = f"{type(error).__name__}: {first_line(error)}"
        raise _import_error(f"must be importable ({cause})", path, field) from error
    return found


def import_callable(path: str, field: str) -> Callable[..., Any]:
    """A function or class at an import path; arguments as of `import_named`.

    Raises:
        DeclarationError: as of `import_named`, or if what lies there cannot be called.
    """
    found = import_named(path, field)
    if not callable(found):
        got = f"{type(found).__name__} from {path!r}"
        raise DeclarationError([Problem(field, "must name a function", got)])
    return found


def _import_error(rule: str, path: str, field: str) -> DeclarationError:
    return DeclarationError([Problem(field, rule, repr(path))])
