"""Results of a study directory: tables of its trials, their evaluations, and its cells."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.json

from sparsetune.errors import StudyDirectoryError
from sparsetune.paths import Place
from sparsetune.spec.columns import (
    FINAL_COLUMNS,
    HISTORY_COLUMNS,
    IDENTITY_COLUMNS,
    TRIAL_COLUMNS,
    Column,
)
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import Record, TrialState, fold_records, read_lines, read_records
from sparsetune.study import Study

from .tables import selection
from .tables.compact import REPORTS_SCHEMA, as_frame, ledger_digest, read_compact, write_compact
from .tables.declared import configurations
from .tables.design import Design
from .tables.results import Results

REPORT_PREFIX = b'{"type":"report"'
"""Start of the lines that hold evaluations; a ledger has many, flat enough to read as a table."""


@dataclass(frozen=True)
class StudyResults(Results):
    """Results of a study so far.

    Args:
        directory: The study's directory.
        study: Its declaration, with everything that was added later.
        states: State of each trial, without its evaluations, in order of first proposal.
        reports: One row per evaluation that counts, by trial and step.
    """

    directory: StudyDirectory
    study: Study
    states: Mapping[str, TrialState]
    reports: pd.DataFrame

    @cached_property
    def design(self) -> Design:
        """Objective and axes that the study declares."""
        return Design.of(self.study)

    @cached_property
    def _identity(self) -> pd.DataFrame:
        """Columns that stay constant during a trial, one row per trial in order of ``states``."""
        states = list(self.states.values())
        uses = [state.use for state in states]
        ends = [state.ended or {} for state in states]
        rows: dict[str, Any] = {"study": self.study.name, "trial_id": list(self.states)}
        for name in ("arm", "cell", "config_id", "seed", "role"):
            rows[name] = [use[name] for use in uses]
        for column in FINAL_COLUMNS:
            rows[column.name] = [end.get(column.name) for end in ends]
        rows["attempt"] = [state.attempts or None for state in states]
        rows["status"] = [state.status for state in states]
        rows["twin_id"] = [use.get("twin_id") for use in uses]
        columns = (*IDENTITY_COLUMNS, *FINAL_COLUMNS)
        identity = _conform_columns(pd.DataFrame(rows), columns)
        # Without a trial the base still says which columns a configuration has.
        specs = [use["spec"] for use in uses] or [self.study.base.given()]
        fields = configurations(specs)[: len(uses)]
        return pd.concat([identity, fields], axis=1)

    @cached_property
    def _history(self) -> pd.DataFrame:
        trial_ids = pd.Index(self._identity["trial_id"])
        position = trial_ids.get_indexer(pd.Index(self.reports["trial_id"]))
        final = [column.name for column in FINAL_COLUMNS]
        identity = self._identity.drop(columns=["attempt", *final])
        repeated = identity.take(position).reset_index(drop=True)
        rows = pd.concat([repeated, self.reports.drop(columns="trial_id")], axis=1)
        return rows[_column_order(rows, HISTORY_COLUMNS)]

    @cached_property
    def _trials(self) -> pd.DataFrame:
        # The trial keeps its own attempt: one that started again may not have reported yet.
        last = self.reports.groupby("trial_id", sort=False).tail(1).drop(columns="attempt")
        rows = self._identity.merge(last, on="trial_id", how="left")
        return rows[_column_order(rows, TRIAL_COLUMNS)]

    @cached_property
    def _uses(self) -> pd.DataFrame:
        return selection.uses(self.states)

    @cached_property
    def _cells(self) -> pd.DataFrame:
        return selection.cells(self.study, self._uses, self._trials)


def load(directory: str | os.PathLike[str] | Place, *, compact: bool = False) -> StudyResults:
    """Read the results in a study directory, finished or not.

    Args:
        directory: The study's directory.
        compact: True to write the two files of `analysis.tables.compact` if the ledger has grown
            since they were written, so that later readings are faster; `analysis.report` does so.
            Nothing is written otherwise.

    Raises:
        StudyDirectoryError: if it is no study directory, has another schema version, or its ledger
            is damaged.
        StorageError: if the directory cannot be read, or the files cannot be written.
    """
    home = StudyDirectory(directory)
    study = home.study()
    # Taken before the ledger is read, which may grow meanwhile: the files must not claim too much.
    digest = ledger_digest(home)
    stored = read_compact(home, digest)
    with _paused_garbage_collection():
        if stored:
            lines, reports = stored
            records, states = _fold_lines(lines, home.ledger)
        else:
            lines, records, states, reports = _read_ledger(home.ledger)
    if compact and not stored:
        write_compact(home, digest, lines, reports)
    return StudyResults(home, study.extended(records), states, reports)


@contextmanager
def _paused_garbage_collection() -> Iterator[None]:
    """Pause the search for reference cycles.

    The many objects that a ledger becomes have none, and looking for them takes as long as reading.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read_ledger(
    ledger: Place,
) -> tuple[list[bytes], list[Record], dict[str, TrialState], pd.DataFrame]:
    """Read the ledger itself.

    Returns:
        Lines of the records that are no evaluations, these records, the trials' states, and the
        evaluations that count, by trial in order of first proposal and by step.
    """
    report_lines: list[bytes] = []
    report_numbers: list[int] = []
    lines: list[bytes] = []
    line_numbers: list[int] = []
    # Most lines are evaluations. Read as one table they take a fifth of the time that objects do.
    for number, line in enumerate(read_lines(ledger)):
        if line.startswith(REPORT_PREFIX):
            report_lines.append(line)
            report_numbers.append(number)
        else:
            lines.append(line)
            line_numbers.append(number)
    records, states = _fold_lines(lines, ledger)
    starts: list[tuple[int, str, int]] = []
    for number, record in zip(line_numbers, records, strict=True):
        if record["type"] == "started":
            starts.append((number, record["trial_id"], record["resumed_from_step"]))
    reports = _counting_reports(_report_table(report_lines, ledger), report_numbers, starts)
    # The tables show trials in order of first proposal, whenever each one reported.
    position = pd.Index(list(states)).get_indexer(pd.Index(reports["trial_id"]))
    is_known = position >= 0
    by_trial = position[is_known].argsort(kind="stable")
    reports = reports[is_known].iloc[by_trial].reset_index(drop=True)
    return lines, records, states, reports


def _fold_lines(
    lines: Sequence[bytes], ledger: Place
) -> tuple[list[Record], dict[str, TrialState]]:
    """Records of the lines, parsed in one go, and the state of each trial that they give."""
    try:
        # One call parses all lines as a list, faster than a call for each.
        records: list[Record] = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        read_records(ledger)  # names the damaged record
        raise
    return records, fold_records(records)


def _report_table(lines: Sequence[bytes], ledger: Place) -> pd.DataFrame:
    """Evaluations as a table, in order of the lines.

    Raises:
        StudyDirectoryError: if a line is damaged or a value has another type than its column.
    """
    if not lines:
        return as_frame(REPORTS_SCHEMA.empty_table())
    # Without a schema, types would be inferred from the first block of lines.
    options = pyarrow.json.ParseOptions(
        explicit_schema=REPORTS_SCHEMA, unexpected_field_behavior="ignore"
    )
    try:
        table = pyarrow.json.read_json(pa.BufferReader(b"\n".join(lines)), parse_options=options)
    except pa.ArrowInvalid as error:
        read_records(ledger)  # names the damaged record, if it is not JSON
        raise StudyDirectoryError(
            f"a report in the ledger `{ledger}` breaks the table contract: {error}"
        ) from error
    return as_frame(table.select(REPORTS_SCHEMA.names))


def _counting_reports(
    reports: pd.DataFrame, numbers: list[int], starts: list[tuple[int, str, int]]
) -> pd.DataFrame:
    """Evaluations that no later attempt repeated, sorted by step; `ledger.fold_records` agrees.

    Args:
        reports: All evaluations, in order.
        numbers: Line number of each evaluation.
        starts: Line number, trial and ``resumed_from_step`` of every start.
    """
    rows = reports.assign(line=numbers, bound=float("inf"))
    restarts = pd.DataFrame(starts, columns=["line", "trial_id", "bound"])
    events = pd.concat([rows[["line", "trial_id", "bound"]], restarts])
    events = events.astype({"line": "int64", "bound": "float64"})
    # Read backwards, the smallest step that any later attempt of the trial resumed from.
    backwards = events.sort_values("line", ascending=False).set_index("line")
    bound = backwards.groupby("trial_id")["bound"].cummin()
    rows = rows[rows["step"].astype("float64") <= rows["line"].map(bound)]
    rows = rows.drop_duplicates(["trial_id", "step"], keep="last")
    return rows.sort_values("step", kind="stable")[reports.columns]


def _conform_columns(frame: pd.DataFrame, columns: Iterable[Column]) -> pd.DataFrame:
    """Exactly ``columns``, each with its declared dtype."""
    wanted = {column.name: column.dtype for column in columns}
    return frame.reindex(columns=list(wanted)).astype(wanted)


def _column_order(frame: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """Names of ``columns``, then the dotted fields of ``frame``."""
    fields = [name for name in frame.columns if "." in name]
    return [*(column.name for column in columns), *fields]
