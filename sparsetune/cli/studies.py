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
from sparsetune.import_path import append_to_path
from sparsetune.study import Study


def find_study(name: str) -> tuple[Study, Path]:
    """Find the one `Study` of a module or a file.

    The current folder and that of the file are appended to the path: what is installed wins over a
    namesake there.

    Args:
        name: A module (``studies.digits``) or a file (``my_study.py``).

    Returns:
        The study, and the path of the file that declares it.

    Raises:
        SparsetuneError: if there is no such module or file, if it fails, or if it does not hold
            exactly one study.
    """
    append_to_path([Path.cwd()])
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
            advice = (
                "give the path of a .py file, or a module that lies below the current folder;"
                " `sparsetune init my_study.py` writes a first study"
            )
            raise SparsetuneError(f"there is no module `{name}` here; {advice}") from error
        raise _import_error(name, error) from error
    except Exception as error:
        raise _import_error(name, error) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise SparsetuneError(
            f"there is no file `{path}`; give the path of a .py file, or a module name;"
            f" `sparsetune init {path}` writes one"
        )
    append_to_path([path.resolve().parent])
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SparsetuneError(f"`{path}` cannot be imported")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look there; a namesake that is imported already stays.
    sys.modules.setdefault(path.stem, module)
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
    """Values by dotted field, from texts of the form ``field=value``.

    Values are read as JSON where they can be, else as text.

    Raises:
        DeclarationError: naming every text without a ``=``, and every field that is set twice.
    """
    rule = "--set takes `field=value`"
    problems = [Problem("", rule, repr(pair)) for pair in pairs if "=" not in pair]
    overrides: dict[str, Any] = {}
    for pair in pairs:
        field, _, text = pair.partition("=")
        for other in overrides:
            if f"{field}.".startswith(f"{other}.") or f"{other}.".startswith(f"{field}."):
                rule = "must be set once, and not as a part of another"
                problems.append(Problem(field, rule, f"`{other}` too"))
        overrides[field] = _parse_value(text)
    if problems:
        raise DeclarationError(problems, "--set")
    return overrides


def parse_sweep(pairs: list[str]) -> dict[str, list[Any]]:
    """New values by sweep axis, from texts of the form ``axis=value,value``.

    Values of an axis that is given again follow the earlier ones.

    Raises:
        DeclarationError: naming every text that is not of this form.
    """
    sweep: dict[str, list[Any]] = {}
    problems = []
    for pair in pairs:
        axis, _, texts = pair.partition("=")
        values = texts.split(",")
        if not all(values):
            problems.append(Problem("", "--add-sweep takes `field=value,value`", repr(pair)))
        sweep.setdefault(axis, []).extend(_parse_value(text) for text in values)
    if problems:
        raise DeclarationError(problems, "--add-sweep")
    return sweep


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
