"""Where foreign runs come from: a CSV or Parquet file, or a frame; read so that nothing is guessed on the way."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from sparsetune.errors import DataError, first_line

_REFUSED_SIGNATURES = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""What files begin with that are refused by name."""
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"


def read_source(source: str | os.PathLike[str] | pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows with an index from 0, those of a CSV all as text, and a name for them.

    Raises:
        DataError: if it is no such file or frame, or cannot be read.
    """
    if isinstance(source, pd.DataFrame):
        if source.columns.nlevels > 1:
            raise DataError(
                "a table must have one row of column names, got a frame with several: flatten its columns"
            )
        return source.reset_index(drop=True), "table"
    if not isinstance(source, str | os.PathLike):
        raise DataError(
            f"runs come from a CSV or Parquet file or a pandas frame, got a {type(source).__name__}"
        )
    data, name = _bytes(source)
    read = _parquet if data[:4] == b"PAR1" else _csv
    table = _parse_guarded(read, data, name)
    if table.columns.nlevels > 1:
        raise DataError(
            f"`{name}` must have one row of column names, got several: flatten its columns"
        )
    return table.reset_index(drop=True), Path(source).stem


def _bytes(source: str | os.PathLike[str]) -> tuple[bytes, str]:
    name = os.fspath(source)[:200]
    try:
        path = Path(source)
        if path.is_dir():
            raise DataError(
                f"`{name}` is a folder: `analysis.load` reads a study directory, this function one table"
            )
        return path.read_bytes(), path.name
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DataError(f"the table `{name}` cannot be read: {reason}") from error


def _parse_guarded(read: Callable[[bytes], pd.DataFrame], data: bytes, name: str) -> pd.DataFrame:
    """What the parser finds; it may raise anything on data that are damaged."""
    try:
        return read(data)
    except DataError as error:
        raise DataError(f"`{name}` {error}") from error
    except Exception as error:
        raise DataError(
            f"`{name}` is no CSV or Parquet table: {first_line(error)[:200]}"
        ) from error


def _parquet(data: bytes) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(pa.BufferReader(data))
    if len(set(table.column_names)) < len(table.column_names):
        table = table.replace_schema_metadata(None)
    return pd.DataFrame(table.to_pandas())


def _is_excel(data: bytes) -> bool:
    """Whether it is a workbook: since 2007 a zip archive with a list of its parts, before a file of one magic."""
    return data.startswith(_OLD_EXCEL) or (
        data.startswith(b"PK\x03\x04") and b"[Content_Types].xml" in data
    )


def _csv(data: bytes) -> pd.DataFrame:
    if _is_excel(data):
        raise DataError(
            "is an Excel workbook: save it as CSV, or give the frame of `pandas.read_excel`"
        )
    for magic, kind in _REFUSED_SIGNATURES.items():
        if data.startswith(magic):
            raise DataError(
                f"must be UTF-8 text or Parquet, got {kind}: unpack or convert it first"
            )
    if b"\0" in data:
        raise DataError(f"must be text, got a zero byte at {data.index(0)}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"must be UTF-8 text, got {error.reason} at byte {error.start}") from error
    if not text.strip():
        raise DataError("is empty: a row of column names and rows of runs are due")
    first = text.lstrip().split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    rows = pd.read_csv(
        io.StringIO(text), header=None, dtype="str", keep_default_na=False, sep=separator
    )
    table = rows.iloc[1:].reset_index(drop=True)
    table.columns = pd.Index(rows.iloc[0].fillna("").str.strip())
    return table
