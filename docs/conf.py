"""Configuration of the documentation: pages in Markdown, an API reference from docstrings.

Build it with ``uv run --group docs sphinx-build -W -b html docs build/docs``.
"""

from __future__ import annotations

import inspect
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel
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
    """Give a constant the docstring of its module."""
    if kind == "data":
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
