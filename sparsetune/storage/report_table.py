"""Reports of a ledger as a table, which pyarrow reads five times faster than objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from sparsetune.spec.columns import (
    IDENTITY_COLUMNS,
    MEASURED_COLUMNS,
    PROGRESS_COLUMNS,
    metric_columns,
)
from sparsetune.storage.checks import (
    LineFault,
    column_range,
    column_rule,
    parse_json,
    range_text,
    require_length,
)

REPORT_COLUMNS = (
    *(column for column in IDENTITY_COLUMNS if column.name in ("trial_id", "attempt")),
    *PROGRESS_COLUMNS,
    *MEASURED_COLUMNS,
)
"""Columns of a report, in the order of the table."""
REQUIRED_COLUMNS = ("trial_id", "attempt", "step")
"""Columns that every report has."""
_ARROW_TYPES = {
    "string": pa.string(),
    "float64": pa.float64(),
    "Int64": pa.int64(),
    "boolean": pa.bool_(),
}


def reports_schema(metrics: Sequence[str] = ()) -> pa.Schema:
    """Schema of the table.

    Args:
        metrics: Metrics that the study's task names; see `DatasetTask.metric_names`.
    """
    columns = (*REPORT_COLUMNS, *metric_columns("val", metrics))
    return pa.schema([(column.name, _ARROW_TYPES[column.dtype]) for column in columns])


def parse_reports(lines: Sequence[bytes], metrics: Sequence[str] = ()) -> pa.Table:
    """Reports of lines, a row each, in order.

    Args:
        lines: Lines of reports, without their line feeds.
        metrics: Metrics that the study's task names.

    Returns:
        A table of `reports_schema`; keys that are no columns are left out.

    Raises:
        LineFault: naming a line that is no JSON object, or has a value that is not of its column's
            type or range.
    """
    schema = reports_schema(metrics)
    if not lines:
        return schema.empty_table()
    text = b"\n".join(lines)
    _require_flat(lines, text)
    table = _read_table(text, len(lines), schema)
    if table is None:
        index = _first_failing(lines, lambda part: _can_read(part, schema))
        raise LineFault(index, _reading_fault(lines[index], schema))
    for fault in _value_faults(table):
        raise fault
    return table


def require_reports(table: pa.Table) -> None:
    """Refuse a table of reports with a value out of its column's range.

    Raises:
        LineFault: naming the first such row of the first such column.
    """
    for fault in _value_faults(table):
        raise fault


def _require_flat(lines: Sequence[bytes], text: bytes) -> None:
    """Refuse lines that are too long or nested too deeply for pyarrow, which may crash on them."""
    if text.count(b"{") == len(lines) and b"[" not in text and text.isascii():
        return
    for index, line in enumerate(lines):
        try:
            require_length(line)
            if not line.isascii():
                line.decode()
        except UnicodeError:
            raise LineFault(index, "its text is not UTF-8") from None
        except ValueError as error:
            raise LineFault(index, str(error)) from error


def _read_table(text: bytes, rows: int, schema: pa.Schema) -> pa.Table | None:
    """Table of lines; None where one of them is no object of the schema."""
    # Left to itself, pyarrow infers other types for columns of whole numbers or of nulls.
    parse = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        table = pyarrow.json.read_json(pa.BufferReader(text), parse_options=parse)
    except pa.ArrowException:
        return None
    # Two objects in one line are two rows, and a line of spaces is none.
    return table.select(schema.names) if table.num_rows == rows else None


def _can_read(lines: Sequence[bytes], schema: pa.Schema) -> bool:
    return _read_table(b"\n".join(lines), len(lines), schema) is not None


def _first_failing(lines: Sequence[bytes], can_read: Callable[[Sequence[bytes]], bool]) -> int:
    """Position of the first line that cannot be read, of lines that cannot be read together."""
    start = 0
    end = len(lines)
    while end - start > 1:
        middle = (start + end) // 2
        if can_read(lines[start:middle]):
            start = middle
        else:
            end = middle
    return start


def _reading_fault(line: bytes, schema: pa.Schema) -> str:
    """What is wrong with a line that is no row of the table, a clause."""
    try:
        require_length(line)
        values = parse_json(line)
    except ValueError as error:
        return str(error)
    if not isinstance(values, dict):
        return "a report must be a JSON object"
    for field in schema:
        value = values.get(field.name)
        rule = column_rule(field.name, value)
        if rule is None and value is not None and field.type == pa.int64():
            rule = None if type(value) is int else "a whole number"
        if rule is None and value is not None and field.type == pa.string():
            rule = None if isinstance(value, str) else "a text"
        if rule:
            return f"`{field.name}` must be {rule}, got {str(value)[:80]!r}"
    return "a report must be one flat JSON object, with each key once and numbers as numbers"


def _value_faults(table: pa.Table) -> Iterator[LineFault]:
    """Values that a column must not have: missing ones, and those out of its range."""
    for name in table.column_names:
        column = table[name]
        if name in REQUIRED_COLUMNS and column.null_count:
            index = pc.index(pc.is_null(column), True).as_py()
            yield LineFault(index, f"a report must have `{name}`")
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            continue
        low, high = column_range(name)
        extremes = pc.min_max(column).as_py()
        found = [value for value in extremes.values() if value is not None]
        # Of a column with NaN in it, the extremes say nothing.
        is_sound = all(low <= value <= high and math.isfinite(value) for value in found)
        has_nan = pa.types.is_floating(column.type) and bool(pc.any(pc.is_nan(column)).as_py())
        if is_sound and not has_nan:
            continue
        for index, value in enumerate(column.to_pylist()):
            if value is not None and not low <= value <= high:
                yield LineFault(index, f"`{name}` must be {range_text(name)}, got {value!r}")
