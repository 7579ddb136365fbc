"""Folders of the report trials of sparse winners, which hold what the tables do not: structure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from sparsetune.errors import SparsetuneError, StudyDirectoryError
from sparsetune.paths import Place, read_content

from ..load import StudyResults
from ..tables.results import Results
from ..tables.selection import report_rows

TRIAL_COLUMNS = ["cell", "arm", "sparsity", "epochs", "seed", "trial_id"]
CERTIFICATE_FILE = "certificate.json"


def trial_folders(
    results: Results, where: Mapping[str, Any] | None = None
) -> Iterator[tuple[dict[str, Any], Place]]:
    """`TRIAL_COLUMNS` and folder of each COMPLETE report trial of a sparse winner.

    The folder is that of the attempt that ended the trial. Results that are not of a study
    directory have none.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
    """
    if not isinstance(results, StudyResults):
        return
    # A folder is named after its attempt: a trial without one has no folder.
    rows = sparse_report_trials(results, where).dropna(subset="attempt")
    for row in rows[[*TRIAL_COLUMNS, "attempt"]].to_dict("records"):
        folder = results.directory.attempt(row["trial_id"], int(row["attempt"]))
        yield {name: row[name] for name in TRIAL_COLUMNS}, folder


def sparse_report_trials(results: Results, where: Mapping[str, Any] | None) -> pd.DataFrame:
    """COMPLETE report trials of sparse winners: `report_rows` with ``sparsity``.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
    """
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
    """Contents of a JSON file of a trial's folder; None if there is no such file.

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


def certificate_layers(folder: Place) -> list[dict[str, Any]]:
    """Layers of a trial's certificate, input first; empty if there is no certificate.

    Raises:
        StudyDirectoryError: if it is damaged.
        StorageError: if it cannot be read.
    """
    certificate = read_json(folder / CERTIFICATE_FILE) or {}
    layers: list[dict[str, Any]] = certificate.get("layers", [])
    return layers


def format_span(values: Iterable[Any]) -> str:
    """A count, or the smallest and the largest of several: ``2 to 3``."""
    low = int(min(values))
    high = int(max(values))
    return f"{low}" if low == high else f"{low} to {high}"
