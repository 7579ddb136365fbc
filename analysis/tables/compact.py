"""The ledger in two small files, from which a study loads several times faster; derived, safe to delete.

``tables/reports.parquet`` holds the evaluations that count, typed and in order, ``tables/records.parquet`` the lines of
all other records. Both name the ledger that they were made of: its segments with their sizes and the times of their
last change. They are read only where that is the ledger of now, and their columns and checksums are right; else the
ledger itself is.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from sparsetune.paths import read_content
from sparsetune.storage import StudyDirectory, translating_write_errors, write_durably
from sparsetune.storage.report_table import REPORTS_SCHEMA
from sparsetune.storage.segments import segment_stamps

_PANDAS_DTYPES = {
    pa.string(): pd.StringDtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
RECORDS_SCHEMA = pa.schema([("line", pa.binary())])
FILE_SCHEMAS = {"reports": REPORTS_SCHEMA, "records": RECORDS_SCHEMA}
LEDGER_DIGEST_KEY = b"sparsetune.ledger"
"""What the files call the digest of their ledger."""


def ledger_digest(home: StudyDirectory) -> str:
    """Names what the ledger holds now, from the names, sizes and times of change of its segments.

    Raises:
        StorageError: if they cannot be listed.
    """
    facts = [tuple(stamp) for stamp in segment_stamps(home.ledger)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def read_compact(home: StudyDirectory, digest: str) -> tuple[list[bytes], pd.DataFrame] | None:
    """The lines that are no evaluations, and the evaluations that count; None where there are none of this ledger.

    Args:
        home: The study.
        digest: What `ledger_digest` gives.

    Raises:
        StorageError: if a file is there and cannot be read.
    """
    files = (
        (read_content(home.tables / f"{name}.parquet"), schema)
        for name, schema in FILE_SCHEMAS.items()
    )
    reports, records = (_table(data, schema, digest) for data, schema in files)
    return (
        None
        if records is None or reports is None
        else (records["line"].to_pylist(), as_frame(reports))
    )


def write_compact(
    home: StudyDirectory, digest: str, lines: Sequence[bytes], reports: pd.DataFrame
) -> None:
    """Write both files.

    Args:
        home: The study.
        digest: Of the ledger, from before it was read.
        lines: Of all records that are no evaluations.
        reports: The evaluations that count.

    Raises:
        StorageError: if they cannot be written.
    """
    import pyarrow.parquet

    tables = {"reports": pa.Table.from_pandas(reports, REPORTS_SCHEMA, preserve_index=False)}
    tables["records"] = pa.table({"line": pa.array(lines, pa.binary())}, schema=RECORDS_SCHEMA)
    with translating_write_errors(home.tables):
        for name, table in tables.items():
            file = io.BytesIO()
            named = table.replace_schema_metadata({LEDGER_DIGEST_KEY: digest.encode()})
            pyarrow.parquet.write_table(named, file, compression="zstd", write_page_checksum=True)
            write_durably(home.tables / f"{name}.parquet", file.getvalue())


def as_frame(table: pa.Table) -> pd.DataFrame:
    """A table of evaluations with the dtypes of `sparsetune.spec.columns`."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=_PANDAS_DTYPES.get)
    return frame


def _table(data: bytes | None, schema: pa.Schema, digest: str) -> pa.Table | None:
    """The table in a file, if it is whole, has these columns and was made of this ledger."""
    import pyarrow.parquet

    if data is None:
        return None
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        named = (file.schema_arrow.metadata or {}).get(LEDGER_DIGEST_KEY) == digest.encode()
        return file.read() if named and file.schema_arrow.equals(schema) else None
    except (pa.ArrowException, OSError):
        return None
