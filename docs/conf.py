"""Configuration of the documentation: pages in Markdown, an API reference from docstrings.

Build it with ``uv run --group docs sphinx-build -W -b html docs build/docs``.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

sys.path.insert(0, str(Path(__file__).parents[1]))

project = "sparsetune"
copyright = "sparsetune contributors, Apache-2.0"
release = metadata.version("sparsetune")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["build"]

myst_heading_anchors = 3
default_role = "py:obj"  # single backticks in docstrings: a link if documented, else code
add_module_names = False
maximum_signature_line_length = 80
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"sparsetune {release}"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False

RESULTS = ("TrialResult", "Outcome")
"""Classes outside of `analysis` that a user reads and never constructs."""
BOUNDS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "min_length": "length ≥"}
"""Constraints of pydantic's fields, as they are shown."""


def setup(app: Sphinx) -> None:
    """Show declarations by their fields, and constants by the docstrings where they are defined."""
    app.connect("autodoc-process-signature", declaration_signature)
    app.connect("autodoc-process-docstring", describe, priority=400)  # before napoleon, at 500
    app.connect("autodoc-skip-member", skip_member)


def declaration_signature(
    app: Sphinx,
    kind: str,
    name: str,
    value: Any,
    options: Any,
    signature: str | None,
    annotation: str | None,
) -> tuple[str, None] | None:
    """Signature of a declaration: what may be given by position; all fields are listed below it.

    Results, which only functions make, have none.
    """
    if kind == "class" and (value.__name__ in RESULTS or value.__module__.startswith("analysis.")):
        return "", None
    if not is_declaration(value):
        return None
    positional = [field for field in value.positional if field in value.model_fields]
    return f"({', '.join([*positional, '**fields'])})", None


def describe(app: Sphinx, kind: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Add a declaration's fields to its docstring; give a constant the docstring of its module."""
    if is_declaration(value):
        lines += ["", "Args:", *field_lines(value)]
    elif kind == "data":
        # Without this, autodoc shows the docstring of the value's type.
        lines[:] = constant_docstring(name.rpartition(".")[2], value)


def skip_member(
    app: Sphinx,
    kind: str,
    name: str,
    value: Any,
    skip: bool,
    options: Any,
) -> bool | None:
    """Leave out pydantic's own members, and fields, which the class lists already."""
    if name in ("model_config", "positional") or name.startswith("model_"):
        return True
    owner = getattr(value, "__qualname__", "").rpartition(".")[0]
    return True if owner == "BaseModel" else None


def is_declaration(value: Any) -> bool:
    """True for classes of a declaration's parts, such as `TrialSpec`."""
    return inspect.isclass(value) and issubclass(value, BaseModel) and hasattr(value, "positional")


def public_fields(declaration: type[BaseModel]) -> list[str]:
    """Names of the fields that a user sets; ``kind`` is set by the class."""
    return [name for name in declaration.model_fields if name != "kind"]


def field_lines(declaration: type[BaseModel]) -> Iterator[str]:
    """Lines of a Google-style ``Args`` section: type, range, default and text of each field."""
    comments = attribute_docstrings(declaration)
    for name in public_fields(declaration):
        field = declaration.model_fields[name]
        words = " ".join(comments.get(name, []))
        default = default_text(field)
        sentences = [words, *([f"Default: {default}."] if default else ["Required."])]
        yield f"    {name} ({field_type(field)}): {' '.join(part for part in sentences if part)}"


def attribute_docstrings(declaration: type[BaseModel]) -> dict[str, list[str]]:
    """Docstrings below the fields of a class and of its parents, as lines by name."""
    found: dict[str, list[str]] = {}
    for parent in reversed(declaration.__mro__):
        if not issubclass(parent, BaseModel) or parent is BaseModel:
            continue
        documented = ModuleAnalyzer.for_module(parent.__module__).find_attr_docs()
        for (owner, name), lines in documented.items():
            if owner == parent.__qualname__:
                found[name] = lines
    return found


def constant_docstring(name: str, value: Any) -> list[str]:
    """Lines of the docstring below a constant, looked up where it is defined; empty if none."""
    for module_name, module in list(sys.modules.items()):
        ours = module_name.startswith(("sparsetune.", "analysis."))
        if not ours or vars(module).get(name) is not value:
            continue
        documented = ModuleAnalyzer.for_module(module_name).find_attr_docs()
        if lines := documented.get(("", name)):
            return lines
    return []


def field_type(field: FieldInfo) -> str:
    """Type and range of a field in words, such as ``float, ≥ 0, < 1``."""
    bounds = [bound for item in field.metadata for bound in constraints(item)]
    return ", ".join([type_text(field.annotation), *bounds])


def constraints(item: Any) -> Iterator[str]:
    """Numeric constraints in one item of a field's metadata, such as ``≥ 0``."""
    for name, sign in BOUNDS.items():
        bound = getattr(item, name, None)
        if isinstance(bound, int | float):
            yield f"{sign} {bound:g}"


def type_text(annotation: Any) -> str:
    """A type as a user writes it: ``'sgd' | 'adamw'``, ``tuple[Length, …]``, ``float | None``."""
    origin = typing.get_origin(annotation)
    parts = typing.get_args(annotation)
    if annotation is type(None):
        return "None"
    if annotation is Ellipsis:
        return "…"
    if origin is typing.Annotated:
        return type_text(parts[0])
    if origin is Literal:
        return " | ".join(repr(option) for option in parts)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(type_text(part) for part in parts)
    if origin is tuple:
        return f"tuple[{', '.join(type_text(part) for part in parts)}]"
    if origin is dict:
        return f"dict[{', '.join(type_text(part) for part in parts)}]"
    return str(getattr(annotation, "__name__", annotation))


def default_text(field: FieldInfo) -> str | None:
    """Default of a field as code; None if the field is required."""
    if field.is_required():
        return None
    value = field.get_default(call_default_factory=True)
    return f"``{value_text(value)}``"


def value_text(value: Any) -> str:
    """A default as it would be declared: a length by its unit, a part by what was set in it."""
    declared: Callable[[], Any] | None = getattr(value, "declared", None)
    if declared is not None and dataclasses.is_dataclass(value):
        return repr(declared())
    if isinstance(value, BaseModel):
        given = sorted(value.model_fields_set - {"kind"})
        shown = [f"{name}={value_text(getattr(value, name))}" for name in given]
        return f"{type(value).__name__}({', '.join(shown)})"
    return repr(value)
