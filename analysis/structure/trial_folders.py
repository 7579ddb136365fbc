"""Folders of the report trials of sparse winners, which hold what the tables do not: structure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from sparsetune.errors import SparsetuneError
from sparsetune.storage.trial_files import AttemptFiles, if_whole

from ..load import StudyResults
from ..tables.results import Results
from ..tables.selection import report_rows

TRIAL_COLUMNS = ["cell", "arm", "sparsity", "epochs", "seed", "trial_id"]


def trial_folders(
    results: Results, where: Mapping[str, Any] | None = None
) -> Iterator[tuple[dict[str, Any], AttemptFiles]]:
    """`TRIAL_COLUMNS` and files of each COMPLETE report trial of a sparse winner.

    The files are those of the attempt that ended the trial. Results that are not of a study
    directory have none.

    Raises:
        SparsetuneError: if a field in ``where`` is unknown.
    """
    if not isinstance(results, StudyResults):
        return
    # A folder is named after its attempt: a trial without one has no folder.
    rows = sparse_report_trials(results, where).dropna(subset="attempt")
    for row in rows[[*TRIAL_COLUMNS, "attempt"]].to_dict("records"):
        state = results.states[row["trial_id"]]
        files = AttemptFiles.of(results.directory, row["trial_id"], state)
        yield {name: row[name] for name in TRIAL_COLUMNS}, files


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


def certificate_layers(files: AttemptFiles) -> list[dict[str, Any]]:
    """Layers of a trial's certificate, input first; empty without one that is whole."""
    layers: list[dict[str, Any]] = read_certificate(files).get("layers", [])
    return layers


def read_certificate(files: AttemptFiles) -> dict[str, Any]:
    """A trial's certificate; empty without one that is whole."""
    return if_whole(files.certificate) or {}


def format_span(values: Iterable[Any]) -> str:
    """A count, or the smallest and the largest of several: ``2 to 3``."""
    low = int(min(values))
    high = int(max(values))
    return f"{low}" if low == high else f"{low} to {high}"
