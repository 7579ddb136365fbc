"""The folders of the report trials of sparse winners: what a network is made of lies there, not in the tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.load import StudyResults
from analysis.tables.results import Results
from analysis.tables.selection import report_rows
from sparsetune.errors import SparsetuneError, StudyDirectoryError
from sparsetune.paths import Place, read_content

TRIAL_COLUMNS = ["cell", "arm", "sparsity", "epochs", "seed", "trial_id"]


def trial_folders(
    results: Results, where: Mapping[str, Any] | None = None
) -> Iterator[tuple[dict[str, Any], Place]]:
    """Report trials of sparse winners, COMPLETE ones: `TRIAL_COLUMNS`, and the folder of the attempt that ended it."""
    if isinstance(results, StudyResults):
        rows = sparse_report_trials(results, where).dropna(subset="attempt")
        for row in rows[[*TRIAL_COLUMNS, "attempt"]].to_dict("records"):
            yield (
                {name: row[name] for name in TRIAL_COLUMNS},
                results.directory.attempt(row["trial_id"], int(row["attempt"])),
            )


def sparse_report_trials(results: Results, where: Mapping[str, Any] | None) -> pd.DataFrame:
    """Report trials of sparse winners that are COMPLETE: `report_rows` with ``sparsity``."""
    rows = report_rows(results)
    for path, value in (where or {}).items():
        if "." not in path or path not in rows:
            fields = ", ".join(name for name in rows.columns if "." in name)
            raise SparsetuneError(
                f"a field of the configuration must be one of {fields}, got `{path}`"
            )
        rows = rows[(rows[path] == value) | rows[path].isna()]
    rows = rows[(rows["sparsity.target"] > 0) & (rows["status"] == "COMPLETE")]
    return rows.assign(sparsity=rows["sparsity.target"])


def read_json(path: Place) -> Any:
    """What a JSON file of a trial's folder holds; None where there is none.

    Raises:
        StudyDirectoryError: if it is damaged.
        StorageError: if it cannot be read.
    """
    text = read_content(path)
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise StudyDirectoryError(
            f"`{path}` is damaged: {error}; delete it to go without"
        ) from error


def format_span(values: Iterable[Any]) -> str:
    """A count, or the least and the greatest of several: ``2 to 3``."""
    low = int(min(values))
    high = int(max(values))
    return f"{low}" if low == high else f"{low} to {high}"
