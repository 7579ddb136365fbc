"""Two small Parquet files derived from a ledger, from which a study loads several times faster.

``tables/reports.parquet`` holds the evaluations that count, typed and in order;
``tables/records.parquet`` holds the lines of all other records. Both store a digest of the ledger
that they were derived from (names, sizes and modification times of its segments). They are read
only while the ledger still has that digest and their columns and checksums are intact; otherwise
the ledger itself is read. Deleting them is safe.
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
from sparsetune.storage.report_table import reports_schema
from sparsetune.storage.segments import segment_stamps

_PANDAS_DTYPES = {
    pa.string(): pd.StringDtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
RECORDS_SCHEMA = pa.schema([("line", pa.binary())])
LEDGER_DIGEST_KEY = b"sparsetune.ledger"
"""Key of the ledger's digest in the metadata of the files."""


def ledger_digest(home: StudyDirectory) -> str:
    """Digest of the ledger's current state: names, sizes and modification times of its segments.

    Args:
        home: The study's directory.

    Returns:
        SHA-256 in hexadecimal digits.

    Raises:
        StorageError: if the segments cannot be listed.
    """
    facts = [tuple(stamp) for stamp in segment_stamps(home.ledger)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def read_compact(
    home: StudyDirectory, digest: str, metrics: Sequence[str] = ()
) -> tuple[list[bytes], pd.DataFrame] | None:
    """Read both files.

    Args:
        home: The study's directory.
        digest: The digest that `ledger_digest` returned.
        metrics: Metrics that the study's task names.

    Returns:
        Lines of the records that are no evaluations, and the evaluations that count; None where a
        file is missing, damaged or derived from another state of the ledger.

    Raises:
        StorageError: if a file exists and cannot be read.
    """
    tables: dict[str, pa.Table | None] = {}
    schemas = {"reports": reports_schema(metrics), "records": RECORDS_SCHEMA}
    for name, schema in schemas.items():
        data = read_content(home.tables / f"{name}.parquet")
        tables[name] = _valid_table(data, schema, digest)
    reports = tables["reports"]
    records = tables["records"]
    if records is None or reports is None:
        return None
    return records["line"].to_pylist(), as_frame(reports)


def write_compact(
    home: StudyDirectory,
    digest: str,
    lines: Sequence[bytes],
    reports: pd.DataFrame,
    metrics: Sequence[str] = (),
) -> None:
    """Write both files.

    Args:
        home: The study's directory.
        digest: Digest of the ledger, taken before it was read.
        lines: Lines of all records that are no evaluations.
        reports: The evaluations that count, with `REPORT_COLUMNS` and those of ``metrics``.
        metrics: Metrics that the study's task names.

    Raises:
        StorageError: if the files cannot be written.
    """
    import pyarrow.parquet

    tables = {
        "reports": pa.Table.from_pandas(reports, reports_schema(metrics), preserve_index=False),
        "records": pa.table({"line": pa.array(lines, pa.binary())}, schema=RECORDS_SCHEMA),
    }
    metadata = {LEDGER_DIGEST_KEY: digest.encode()}
    with translating_write_errors(home.tables):
        for name, table in tables.items():
            file = io.BytesIO()
            named = table.replace_schema_metadata(metadata)
            # By default nothing in a Parquet file shows that a page is damaged.
            pyarrow.parquet.write_table(named, file, compression="zstd", write_page_checksum=True)
            write_durably(home.tables / f"{name}.parquet", file.getvalue())


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Frame of a table of evaluations, with the dtypes of `sparsetune.spec.columns`."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=_PANDAS_DTYPES.get)
    return frame


def _valid_table(data: bytes | None, schema: pa.Schema, digest: str) -> pa.Table | None:
    """Table in a file's bytes; None if it is damaged, has other columns or another digest."""
    import pyarrow.parquet

    if data is None:
        return None
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        metadata = file.schema_arrow.metadata or {}
        if metadata.get(LEDGER_DIGEST_KEY) != digest.encode():
            return None
        return file.read() if file.schema_arrow.equals(schema) else None
    except (pa.ArrowException, OSError):
        return None
