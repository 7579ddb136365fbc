"""Two small Parquet files derived from a ledger, from which a study loads several times faster.

``tables/reports.parquet`` holds the evaluations that count, typed and in order;
``tables/records.parquet`` holds the lines of all other records. ``tables/compact.json`` says what
they were made from, by number and checksum of the ledger's lines, with a digest of each file. The
files are read only while the ledger is that one and both are whole; otherwise the ledger itself is
read. Deleting them is safe.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pandas as pd
import pyarrow as pa

from sparsetune.errors import SparsetuneError
from sparsetune.paths import Place, read_content
from sparsetune.storage import StudyDirectory, translating_write_errors, write_durably
from sparsetune.storage.checks import LineFault, read_json
from sparsetune.storage.checksums import Chain
from sparsetune.storage.ledger import decode_lines
from sparsetune.storage.records import Record
from sparsetune.storage.report_table import reports_schema, require_reports
from sparsetune.storage.segments import LedgerEnd, LedgerText, segment_stamps

_PANDAS_DTYPES = {
    pa.string(): pd.StringDtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
RECORDS_SCHEMA = pa.schema([("line", pa.binary())])
MANIFEST_FILE = "compact.json"
STATE_FIELDS = ("unsealed", "closed", "launches")
"""Fields of `LedgerText` that its notices are made of."""
MAX_FILE_BYTES = 2 * 2**30
"""Largest Parquet file that is read, and what its columns may have in memory."""


def stored_text(home: StudyDirectory, segments: str) -> LedgerText | None:
    """State of a ledger in an object store as of the files, without its lines.

    Its segments are many, and fetching them is what the files save: a store's own digests of them
    tell whether they are the same.

    Args:
        home: The study's directory.
        segments: What `segments_digest` returned.

    Returns:
        The state; None where the files are missing, damaged or derived from other segments.
    """
    with suppress(SparsetuneError, KeyError, TypeError, ValueError):
        manifest = read_json(home.tables / MANIFEST_FILE)
        if manifest["segments"] == segments:
            ledger = manifest["ledger"]
            chain = Chain(ledger["lines"], int(ledger["checksum"], 16))
            state = {name: manifest["state"][name] for name in STATE_FIELDS}
            state["unsealed"] = [str(name) for name in state["unsealed"]]
            return LedgerText(home.ledger, (), LedgerEnd(None, chain), **state)
    return None


def segments_digest(home: StudyDirectory) -> str:
    """SHA-256 of names, sizes and versions of a ledger's segments, in hexadecimal digits.

    Raises:
        StorageError: if they cannot be listed.
    """
    facts = [tuple(stamp) for stamp in segment_stamps(home.ledger)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def read_compact(
    home: StudyDirectory, ledger: LedgerEnd, metrics: Sequence[str] = ()
) -> tuple[list[Record], pd.DataFrame] | None:
    """Read both files.

    Args:
        home: The study's directory.
        ledger: End of the ledger as it was read.
        metrics: Metrics that the study's task names.

    Returns:
        Records that are no evaluations, and the evaluations that count; None where a file is
        missing, cannot be read, is damaged or derived from another state of the ledger.
    """
    try:
        manifest = read_json(home.tables / MANIFEST_FILE)
        if not isinstance(manifest, dict) or manifest.get("ledger") != _ledger_facts(ledger):
            return None
        reports = _read_table(home, manifest, "reports", reports_schema(metrics))
        records = _read_table(home, manifest, "records", RECORDS_SCHEMA)
        if records is None or reports is None:
            return None
        require_reports(reports)
        return decode_lines(records["line"].to_pylist()), as_frame(reports)
    # These files are derived: whatever is wrong with them costs time alone.
    except (SparsetuneError, LineFault):
        return None


def write_compact(
    home: StudyDirectory,
    text: LedgerText,
    segments: str | None,
    lines: Sequence[bytes],
    reports: pd.DataFrame,
    metrics: Sequence[str] = (),
) -> None:
    """Write both files, and last what they were made from.

    Args:
        home: The study's directory.
        text: The ledger that was read.
        segments: What `segments_digest` returned before it was read; None on a disk.
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
    state = {name: getattr(text, name) for name in STATE_FIELDS}
    manifest: dict[str, Any] = {
        "ledger": _ledger_facts(text.end),
        "segments": segments,
        "state": state,
    }
    with translating_write_errors(home.tables):
        for name, table in tables.items():
            file = io.BytesIO()
            pyarrow.parquet.write_table(
                table.replace_schema_metadata(None), file, compression="zstd"
            )
            manifest[name] = hashlib.sha256(file.getvalue()).hexdigest()
            write_durably(_path(home, name), file.getvalue())
        write_durably(home.tables / MANIFEST_FILE, json.dumps(manifest) + "\n")


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Frame of a table of evaluations, with the dtypes of `sparsetune.spec.columns`."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=_PANDAS_DTYPES.get)
    return frame


def _path(home: StudyDirectory, name: str) -> Place:
    return home.tables / f"{name}.parquet"


def _ledger_facts(ledger: LedgerEnd) -> dict[str, Any]:
    """What tells one state of a ledger from another."""
    return {"lines": ledger.chain.lines, "checksum": ledger.chain.digits}


def _read_table(
    home: StudyDirectory, manifest: dict[str, Any], name: str, schema: pa.Schema
) -> pa.Table | None:
    """Table in a file; None if it is missing, damaged, too large or has other columns.

    Raises:
        StorageError: if it cannot be read.
    """
    import pyarrow.parquet

    data = read_content(_path(home, name), MAX_FILE_BYTES)
    if data is None or hashlib.sha256(data).hexdigest() != manifest.get(name):
        return None
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(data))
        groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
        if sum(group.total_byte_size for group in groups) > MAX_FILE_BYTES:
            return None
        return file.read() if file.schema_arrow.equals(schema) else None
    except (pa.ArrowException, OSError):
        return None
