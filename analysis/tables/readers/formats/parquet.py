"""Parquet files."""

from __future__ import annotations

import pandas as pd

from ..reading import Reader, Reading
from ..source import Source
from .table import table_reading

SIGNATURE = b"PAR1"


def read_parquet(source: Source) -> Reading:
    """Rows of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(pa.BufferReader(source.data()))
    if len(set(table.column_names)) < len(table.column_names):
        # The metadata that pandas stores cannot be applied where column names repeat.
        table = table.replace_schema_metadata(None)
    return table_reading(pd.DataFrame(table.to_pandas()), source, "a Parquet file")


PARQUET = Reader("a Parquet file", lambda source: source.head.startswith(SIGNATURE), read_parquet)
