"""JSON and JSON lines: records, or columns as pandas writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sparsetune.errors import DataError

from ....catalogue import write
from ..nested import flatten, rows_frame
from ..reading import Reader, Reading
from ..source import Source
from .table import table_reading

SEPARATOR = "."
"""What stands between the names of a nested record, as in `pandas.json_normalize`."""


def read_json(source: Source) -> Reading:
    """Rows of a file of JSON, or of one JSON record per line.

    Raises:
        DataError: if it is damaged, or holds no records.
    """
    text = source.text()
    try:
        document = json.loads(text)
    except json.JSONDecodeError as whole:
        return _read_lines(source, text, whole)
    what = "a JSON file"
    frame = rows_frame([flatten(row, SEPARATOR) for row in _records(document, source.name)])
    return table_reading(frame, source, what)


def _read_lines(source: Source, text: str, whole: json.JSONDecodeError) -> Reading:
    """Rows of JSON lines; ``whole`` says why the text is not one JSON document."""
    try:
        records, is_torn = parse_json_lines(text, source.name)
    except DataError as error:
        if whole.lineno > 1:
            raise DataError(
                f"`{source.name}` must be JSON, got a damage in line {whole.lineno}, column"
                f" {whole.colno}: {whole.msg}"
            ) from error
        raise
    frame = rows_frame([flatten(row, SEPARATOR) for row in records])
    reading = table_reading(frame, source, "a file of JSON lines")
    if not is_torn:
        return reading
    notes = (str(write("reading_torn", file=source.name)),)
    return Reading(reading.frame, reading.name, reading.recognised, reading.columns, notes)


def parse_json_lines(text: str, name: str) -> tuple[list[dict[str, Any]], bool]:
    """Records of a text with one per line.

    Args:
        text: Its lines.
        name: Name of the file for messages.

    Returns:
        The records; True if the last line was cut off, as of a run that is still being written.

    Raises:
        DataError: if another line is damaged, or one holds no record.
    """
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    records: list[dict[str, Any]] = []
    for number, line in lines:
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            if records and number == lines[-1][0]:
                return records, True
            raise DataError(
                f"`{name}` must hold a JSON record in every line, got a damage in line {number}:"
                f" {error.msg}"
            ) from error
        if not isinstance(record, dict):
            raise DataError(
                f"`{name}` must hold a JSON record in every line, got {json.dumps(record)[:60]} in"
                f" line {number}"
            )
        records.append(record)
    return records, False


def parse_json_object(text: str, name: str) -> dict[str, Any]:
    """The JSON object that a text holds.

    Args:
        text: The text.
        name: Name of the file for messages.

    Raises:
        DataError: if it is damaged or something else.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"`{name}` must be JSON, got a damage in line {error.lineno}: {error.msg}"
        ) from error
    if not isinstance(document, dict):
        raise DataError(f"`{name}` must hold a JSON object, got {_described(document)}")
    return document


def _records(document: Any, name: str) -> list[dict[str, Any]]:
    """Records of a JSON document."""
    if isinstance(document, list) and all(isinstance(row, dict) for row in document):
        return document
    if isinstance(document, dict) and document:
        records = _records_of_mapping(document)
        if records is not None:
            return records
    raise DataError(
        f'`{name}` must hold a list of records, `[{{"sparsity": 0.9, ...}}, ...]`, or columns of'
        f" equal length, got {_described(document)}: give the frame that pandas makes of it"
    )


def _records_of_mapping(document: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Records of a JSON object: the forms of pandas, runs by name, or one run; None for others."""
    parts = list(document.values())
    if {"columns", "data"} <= set(document) and isinstance(document["data"], list):
        return _of_rows(document["columns"], document["data"])
    if set(document) <= {"schema", "data"} and _is_records(document.get("data")):
        return list(document["data"])
    if len(parts) == 1 and _is_records(parts[0]):
        return list(parts[0])
    if all(isinstance(part, list) for part in parts):
        lengths = {len(part) for part in parts}
        return _of_columns(document, range(lengths.pop())) if len(lengths) == 1 else None
    if all(isinstance(part, dict) for part in parts):
        return _of_mappings(document)
    return None if any(isinstance(part, list) for part in parts) else [dict(document)]


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _of_rows(names: Any, rows: Sequence[Any]) -> list[dict[str, Any]] | None:
    """Records of rows without names, as ``orient="split"`` writes them."""
    if not isinstance(names, list):
        return None
    if not all(isinstance(row, list) and len(row) == len(names) for row in rows):
        return None
    return [dict(zip(map(str, names), row, strict=True)) for row in rows]


def _of_columns(columns: Mapping[str, Any], index: Sequence[Any]) -> list[dict[str, Any]]:
    return [{name: values[key] for name, values in columns.items()} for key in index]


def _of_mappings(document: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Records of an object of objects: columns by row number, or runs by name.

    None where both are numbered, or the columns have different rows.
    """
    inner = [list(part) for part in document.values()]
    has_numbered_rows = all(key.isdigit() for keys in inner for key in keys)
    if not has_numbered_rows:
        return [{"name": name, **record} for name, record in document.items()]
    is_numbered = all(name.isdigit() for name in document)
    if is_numbered or any(keys != inner[0] for keys in inner):
        return None
    return _of_columns(document, inner[0])


def _described(document: Any) -> str:
    """Kind of a JSON document, in words."""
    if isinstance(document, dict):
        names = ", ".join(f"`{str(name)[:40]}`" for name in list(document)[:5])
        return f"an object of {names}" if names else "an empty object"
    if isinstance(document, list):
        return f"a list of {type(document[0]).__name__}" if document else "an empty list"
    return f"one {type(document).__name__}"


def is_json(source: Source) -> bool:
    """True for a text that begins as JSON records do."""
    return source.head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"["))


JSON = Reader("a JSON file", is_json, read_json)
