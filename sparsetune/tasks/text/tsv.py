"""Tab-separated values as in GLUE's files: a row a line, without quoting."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sparsetune.errors import DataError
from sparsetune.tasks.hf.library import import_quiet_datasets

NO_QUOTING = 3
"""`csv.QUOTE_NONE`: a quote is a character like others.

Read as in CSV, an open quote swallows the rows that follow it silently.
"""

ROW_BREAKING_CHARACTERS = str.maketrans("\t\n\r", "   ")
"""Characters that would break a row, and their replacements."""


@dataclass(frozen=True)
class TsvRows:
    """Rows of a file.

    Args:
        columns: Values of each column by name, (n,).
        lines: Line of each row in the file, counted from 1, (n,).
    """

    columns: dict[str, list[str]]
    lines: list[int]


def read_tsv(
    path: Path, wanted: Sequence[str], header: Sequence[str] = (), torn: bool = False
) -> TsvRows:
    """Read columns of a file with the library `datasets`.

    Args:
        path: File in UTF-8.
        wanted: Columns to return.
        header: All columns, for a file without a header line; empty for a file with one.
        torn: Leave out rows that are too short, instead of refusing them.

    Raises:
        DataError: for a file without rows, a missing column, or a row of another length.
    """
    lines = _read_lines(path)
    columns = list(header) or lines[0].split("\t")
    first = 1 if header else 2
    if lines == [""] or len(lines) < first:
        raise DataError(f"`{path}` must have rows, got none")
    absent = " and ".join(f"`{name}`" for name in wanted if name not in columns)
    if absent:
        header_columns = ", ".join(columns)
        raise DataError(f"`{path}` must have the column {absent}, its header has {header_columns}")
    whole: list[int] = []
    # `datasets` fills short rows and shifts long ones silently.
    for line, text in enumerate(lines[first - 1 :], first):
        width = text.count("\t") + 1
        if width == len(columns):
            whole.append(line)
        elif not torn or width > len(columns):
            rule = f"a row must have {len(columns)} columns, got {width}"
            advice = "a text holds neither tabs nor line breaks, not within quotes either"
            raise DataError(f"`{path}`, line {line}: {rule}; {advice}")
    kept: dict[str, list[str]] = {}
    for name, values in _read_columns(path, columns, wanted, named=not header).items():
        kept[name] = [values[line - first] for line in whole]
    return TsvRows(kept, whole)


def write_tsv(path: Path, columns: dict[str, Sequence[str]], header: Sequence[str] = ()) -> None:
    """Write columns as `read_tsv` reads them; columns of ``header`` that are not given stay empty.

    Args:
        path: File to write; it is never seen half written.
        columns: Values by column name, all of one length.
        header: All columns, for a file without a header line; empty for a file with one.
    """
    empty = [""] * len(next(iter(columns.values())))
    rows = zip(*[columns.get(name, empty) for name in header or columns], strict=True)
    lines = [] if header else [_format_row(columns)]
    lines += [_format_row(row) for row in rows]
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / path.name
        whole.write_text("".join(lines), encoding="utf-8", newline="\n")
        whole.replace(path)


def _format_row(fields: Iterable[str]) -> str:
    return "\t".join(field.translate(ROW_BREAKING_CHARACTERS) for field in fields) + "\n"


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        got = f"{type(error).__name__} ({error})"
        raise DataError(f"`{path}` must be a readable text in UTF-8, got {got}") from error


def _read_columns(
    path: Path, columns: list[str], wanted: Sequence[str], *, named: bool
) -> dict[str, list[str]]:
    datasets = import_quiet_datasets()
    features = datasets.Features({name: datasets.Value("string") for name in columns})
    # The cache of `datasets` is deleted: tokens are kept instead.
    with tempfile.TemporaryDirectory() as cache:
        rows = datasets.load_dataset(
            "csv",
            data_files=str(path),
            split="train",
            cache_dir=cache,
            features=features,
            column_names=columns,
            header=0 if named else None,
            sep="\t",
            quoting=NO_QUOTING,
            keep_default_na=False,
            skip_blank_lines=False,
        )
        return {name: rows[name][:] for name in wanted}
