"""Files of tab-separated values as GLUE keeps them: a row a line, without quoting."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from sparsetune.errors import DataError

NO_QUOTING = 3
"""`csv.QUOTE_NONE`: a quote is a letter like others; read as in CSV, open quotes swallow rows without a word."""

ROW_BREAKING_CHARACTERS = str.maketrans("\t\n\r", "   ")
"""What would tear a row, by what is written instead."""


@dataclass(frozen=True)
class TsvRows:
    """The rows of a file: its columns by name, and each row's line in the file, counted from 1."""

    columns: dict[str, list[str]]
    lines: list[int]


def read_tsv(
    path: Path, wanted: Sequence[str], header: Sequence[str] = (), torn: bool = False
) -> TsvRows:
    """The wanted columns of a file, through `datasets`.

    Args:
        path: The file, in UTF-8.
        wanted: Columns to return.
        header: All columns of a file without a header line.
        torn: Leave out rows that are too short.

    Raises:
        DataError: for a file without rows, a missing column, or a row of another length.
    """
    lines = _read_lines(path)
    columns = list(header) or lines[0].split("\t")
    first = 1 if header else 2
    if lines == [""] or len(lines) < first:
        raise DataError(f"`{path}` must have rows, got none")
    if absent := [f"`{name}`" for name in wanted if name not in columns]:
        raise DataError(
            f"`{path}` must have the column {' and '.join(absent)}, its header has {', '.join(columns)}"
        )
    # Checked here: `datasets` fills short rows and shifts long ones without a word.
    widths = {line: text.count("\t") + 1 for line, text in enumerate(lines[first - 1 :], first)}
    whole = [line for line, width in widths.items() if width == len(columns)]
    for line, width in widths.items():
        if width != len(columns) and not (torn and width < len(columns)):
            rule = f"a row must have {len(columns)} columns, got {width}; a text holds neither tabs nor line breaks"
            raise DataError(f"`{path}`, line {line}: {rule}, not within quotes either")
    read = _read_columns(path, columns, wanted, named=not header)
    return TsvRows(
        {name: [values[line - first] for line in whole] for name, values in read.items()}, whole
    )


def write_tsv(path: Path, columns: dict[str, Sequence[str]], header: Sequence[str] = ()) -> None:
    """Write columns as `read_tsv` reads them; columns of ``header`` that are not given stay empty.

    Args:
        path: The file; it is never seen half written.
        columns: By name, of one length.
        header: All columns of a file without a header line.
    """
    count = len(next(iter(columns.values())))
    rows = zip(*(columns.get(name, [""] * count) for name in header or columns), strict=True)
    named = rows if header else chain([tuple(columns)], rows)
    text = "".join(
        "\t".join(field.translate(ROW_BREAKING_CHARACTERS) for field in row) + "\n" for row in named
    )
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / path.name
        whole.write_text(text, encoding="utf-8", newline="\n")
        whole.replace(path)


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"`{path}` must be a readable text in UTF-8, got {type(error).__name__} ({error})"
        ) from error


def _read_columns(
    path: Path, columns: list[str], wanted: Sequence[str], *, named: bool
) -> dict[str, list[str]]:
    datasets = import_quiet_datasets()
    with (
        tempfile.TemporaryDirectory() as cache
    ):  # tokens are kept: what `datasets` makes of the file need not be
        rows = datasets.load_dataset(
            "csv",
            data_files=str(path),
            split="train",
            cache_dir=cache,
            features=datasets.Features({name: datasets.Value("string") for name in columns}),
            column_names=columns,
            header=0 if named else None,
            sep="\t",
            quoting=NO_QUOTING,
            keep_default_na=False,
            skip_blank_lines=False,
        )
        return {name: rows[name][:] for name in wanted}


def import_quiet_datasets() -> Any:
    """The library `datasets`, which takes seconds to import, without its progress bars and logging."""
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    return datasets
