"""Logs of SparseML's `PythonLogger`: ``sparse_logs/DATE.log``, and lines like them in any log.

A line is ``python TAG step STEP: VALUE`` or ``python TAG [STEP - TIME]: VALUE``, where the value is
a number or a dictionary of numbers. Values are parsed as literals, never evaluated.

Source: https://github.com/neuralmagic/sparseml, ``src/sparseml/core/logger/logger.py``
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ....catalogue import write
from ..nested import flatten, merge_rows, rows_frame
from ..reading import Reader, Reading
from ..source import Source, open_source

SEPARATOR = "/"
MAX_VALUE_CHARACTERS = 10_000
_LINE = re.compile(
    r"\bpython (?P<tag>\S.*?) (?:step (?P<step>[\d.]+|None)|"
    r"\[(?P<debug_step>[\d.]+|None) - (?P<time>[\d.e+]+|None)\]): (?P<value>.+)$"
)
_COLUMNS = {"trial_id": "log", "step": "step"}


def _is_log(name: str) -> bool:
    return name.endswith(".log")


def is_log(source: Source) -> bool:
    """True for a log with such a line among its first, or a folder of such logs."""
    if source.is_folder:
        return any(is_log(open_source(path)) for path in source.files(_is_log, 1))
    head = source.head.decode("utf-8", "replace")
    return any(_LINE.search(line) for line in head.splitlines())


def read_logs(source: Source) -> Reading:
    """A row for each log and step, a column for each tag.

    Raises:
        DataError: if a log is no text.
    """
    paths = source.files(_is_log, 1) if source.is_folder else [source.path]
    rows: list[dict[str, Any]] = []
    unread = 0
    for path in paths:
        own, lost = _log_rows(open_source(path), _log_name(path, source))
        rows += own
        unread += lost
    notes = (str(write("reading_unread_lines", count=unread)),) if unread else ()
    count = f"{len(paths)} log{'' if len(paths) == 1 else 's'}"
    return Reading(rows_frame(rows), source.stem, f"{count} of SparseML", _COLUMNS, notes)


def _log_name(path: Path, source: Source) -> str:
    return (
        path.relative_to(source.path).with_suffix("").as_posix() if source.is_folder else path.stem
    )


def _log_rows(source: Source, name: str) -> tuple[list[dict[str, Any]], int]:
    """Rows of one log, and the number of its lines whose value is no number."""
    lines = list(_logged(source.text()))
    logged = [{"log": name, "step": step, **values} for step, values in lines if values]
    return merge_rows(logged, ["step"]), len(lines) - len(logged)


def _logged(text: str) -> Iterator[tuple[float | None, dict[str, Any]]]:
    """Step and values of each line of the logger; no values where they are no numbers."""
    for line in text.splitlines():
        found = _LINE.search(line)
        if not found:
            continue
        step = found["step"] or found["debug_step"]
        number = None if step == "None" else float(step)
        yield number, _values(found["tag"], found["value"])


def _values(tag: str, text: str) -> dict[str, Any]:
    """Numbers of a line by their names."""
    if len(text) > MAX_VALUE_CHARACTERS:
        return {}
    # The only names that Python prints for numbers are no literals.
    plain = re.sub(r"\b(nan|inf)\b", "None", text.strip())
    try:
        value = ast.literal_eval(plain)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return {}
    if isinstance(value, dict):
        return flatten(value, SEPARATOR, f"{tag}{SEPARATOR}")
    return {tag: value} if isinstance(value, int | float) or value is None else {}


SPARSEML = Reader("a SparseML log", is_log, read_logs)
