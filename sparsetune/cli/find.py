"""The study that a command names: in a module, or in a file."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from sparsetune.errors import DeclarationError, Problem, SparsetuneError
from sparsetune.study import Study


def find_study(name: str) -> tuple[Study, Path]:
    """The one `Study` in a module (``studies.digits``) or a file (``my_study.py``), and the file's path.

    The current folder is appended to the path: what is installed wins over a namesake beside the study.

    Raises:
        SparsetuneError: if there is no such module or file, it fails, or it holds no or several studies.
    """
    sys.path += [folder for folder in [str(Path.cwd())] if folder not in sys.path]
    module = _import_file(Path(name)) if name.endswith(".py") else _import_module(name)
    studies = {id(value): value for value in vars(module).values() if isinstance(value, Study)}
    if len(studies) != 1:
        raise SparsetuneError(
            f"`{name}` must hold exactly one `Study` at its top level, got {len(studies)}"
        )
    return next(iter(studies.values())), Path(module.__file__ or name)


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise SparsetuneError(
                f"there is no module `{name}` here; give a module such as `studies.digits`, or the path of a .py file"
            ) from error
        raise _import_error(name, error) from error
    except Exception as error:
        raise _import_error(name, error) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SparsetuneError(
            f"there is no file `{path}`; give the path of a .py file, or a module name"
        )
    sys.path += [folder for folder in [str(path.resolve().parent)] if folder not in sys.path]
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SparsetuneError(f"`{path}` cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(
        path.stem, module
    )  # dataclasses look there; a namesake that is imported already stays
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _import_error(str(path), error) from error
    return module


def _import_error(name: str, error: Exception) -> SparsetuneError:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    line = error.lineno if isinstance(error, SyntaxError) else frame.lineno
    file = error.filename if isinstance(error, SyntaxError) else frame.filename
    return SparsetuneError(
        f"`{name}` cannot be imported: {type(error).__name__}: {error} ({file}, line {line})"
    )


def parse_overrides(pairs: list[str]) -> dict[str, Any]:
    """Dotted fields from ``key=value`` texts; values are JSON where they can be read so.

    Raises:
        DeclarationError: naming every text without a ``=``.
    """
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise DeclarationError(
            [Problem("", "--set takes `field=value`", repr(pair)) for pair in wrong], "--set"
        )
    return {path: _parse_value(text) for path, _, text in (pair.partition("=") for pair in pairs)}


def parse_sweep(pairs: list[str]) -> dict[str, list[Any]]:
    """New values by sweep axis from ``axis=value,value`` texts; of an axis given again, the values follow.

    Raises:
        DeclarationError: naming every text that is not of this form.
    """
    sweep: dict[str, list[Any]] = {}
    parts = [pair.partition("=") for pair in pairs]
    if wrong := [
        pair for pair, (_, _, texts) in zip(pairs, parts, strict=True) if not all(texts.split(","))
    ]:
        rule = "--add-sweep takes `field=value,value`"
        raise DeclarationError([Problem("", rule, repr(pair)) for pair in wrong], "--add-sweep")
    for axis, _, texts in parts:
        sweep.setdefault(axis, []).extend(_parse_value(text) for text in texts.split(","))
    return sweep


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
