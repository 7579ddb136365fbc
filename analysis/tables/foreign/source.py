"""Reading of a CSV or Parquet file, or a frame, without guessing what its values mean."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from sparsetune.errors import DataError, first_line

from ..csv import remove_guards

_REFUSED_SIGNATURES = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""First bytes of files that are refused, and the name of their format."""
_OLD_EXCEL_SIGNATURE = b"\xd0\xcf\x11\xe0"
_ZIP_SIGNATURE = b"PK\x03\x04"
_PARQUET_SIGNATURE = b"PAR1"


def read_source(source: str | os.PathLike[str] | pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Read a table.

    Args:
        source: A CSV (UTF-8) or Parquet file, or a frame.

    Returns:
        Rows with an index from 0, those of a CSV all as text; a name for them: the file's stem, or
        ``table`` for a frame.

    Raises:
        DataError: if it is no such file or frame, or cannot be read.
    """
    if isinstance(source, pd.DataFrame):
        if source.columns.nlevels > 1:
            raise DataError(
                "a table must have one row of column names, got a frame with several:"
                " flatten its columns"
            )
        return source.reset_index(drop=True), "table"
    if not isinstance(source, str | os.PathLike):
        raise DataError(
            f"runs come from a CSV or Parquet file or a pandas frame, got a {type(source).__name__}"
        )
    data, name = _file_bytes(source)
    parse = _parse_parquet if data.startswith(_PARQUET_SIGNATURE) else _parse_csv
    table = _parse_guarded(parse, data, name)
    if table.columns.nlevels > 1:
        raise DataError(
            f"`{name}` must have one row of column names, got several: flatten its columns"
        )
    return table.reset_index(drop=True), Path(source).stem


def _file_bytes(source: str | os.PathLike[str]) -> tuple[bytes, str]:
    """Content of a file, and its name for messages."""
    name = os.fspath(source)[:200]
    try:
        path = Path(source)
        if path.is_dir():
            raise DataError(
                f"`{name}` is a folder: `analysis.load` reads a study directory, this function"
                " one table"
            )
        return path.read_bytes(), path.name
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DataError(f"the table `{name}` cannot be read: {reason}") from error


def _parse_guarded(parse: Callable[[bytes], pd.DataFrame], data: bytes, name: str) -> pd.DataFrame:
    """Parse a file's bytes; whatever the parser raises on damaged ones becomes a `DataError`."""
    try:
        return parse(data)
    except DataError as error:
        raise DataError(f"`{name}` {error}") from error
    except Exception as error:
        raise DataError(
            f"`{name}` is no CSV or Parquet table: {first_line(error)[:200]}"
        ) from error


def _parse_parquet(data: bytes) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(pa.BufferReader(data))
    if len(set(table.column_names)) < len(table.column_names):
        # The metadata that pandas stores cannot be applied where column names repeat.
        table = table.replace_schema_metadata(None)
    return pd.DataFrame(table.to_pandas())


def _is_excel(data: bytes) -> bool:
    """True for a workbook: a zip archive that lists its parts, or the format used before 2007."""
    is_new = data.startswith(_ZIP_SIGNATURE) and b"[Content_Types].xml" in data
    return is_new or data.startswith(_OLD_EXCEL_SIGNATURE)


def _parse_csv(data: bytes) -> pd.DataFrame:
    text = _csv_text(data)
    header = text.lstrip().split("\n", 1)[0]
    # The header has more separators than any other of these marks.
    separator = max(",;\t", key=header.count)
    # As text without a header: pandas would rename repeated columns and guess types.
    rows = pd.read_csv(
        io.StringIO(text), header=None, dtype="str", keep_default_na=False, sep=separator
    )
    rows = remove_guards(rows)
    table = rows.iloc[1:].reset_index(drop=True)
    table.columns = pd.Index(rows.iloc[0].fillna("").str.strip())
    return table


def _csv_text(data: bytes) -> str:
    """Decoded text of a CSV file.

    Raises:
        DataError: if the bytes are another format, another encoding, or blank; without the file's
            name, which `_parse_guarded` puts before the message.
    """
    if _is_excel(data):
        raise DataError(
            "is an Excel workbook: save it as CSV, or give the frame of `pandas.read_excel`"
        )
    for signature, kind in _REFUSED_SIGNATURES.items():
        if data.startswith(signature):
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
    return text
