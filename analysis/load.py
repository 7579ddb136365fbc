"""A study directory as tables: one row per trial, per trial and evaluation, and per cell with its winner."""

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

from analysis.tables import selection
from analysis.tables.compact import (
    REPORTS_SCHEMA,
    as_frame,
    ledger_digest,
    read_compact,
    write_compact,
)
from analysis.tables.declared import configurations
from analysis.tables.design import Design
from analysis.tables.results import Results
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

REPORT_PREFIX = b'{"type":"report"'
"""How the lines begin of which a ledger has many; they are flat and read as a table."""


@dataclass(frozen=True)
class StudyResults(Results):
    """What a study has found so far.

    Args:
        directory: Where it lies.
        study: Its declaration, with what was added later.
        states: What the ledger says of each trial but its evaluations, in order of first proposal.
        reports: Row of each evaluation that counts, by trial and step.
    """

    directory: StudyDirectory
    study: Study
    states: Mapping[str, TrialState]
    reports: pd.DataFrame

    @cached_property
    def design(self) -> Design:
        """What the study was meant to show."""
        return Design.of(self.study)

    @cached_property
    def _identity(self) -> pd.DataFrame:
        """What does not change during a trial; indexed like ``states``."""
        states = list(self.states.values())
        uses = [state.use for state in states]
        ends = [state.ended or {} for state in states]
        names = ("arm", "cell", "config_id", "seed", "role")
        rows: dict[str, Any] = {name: [use[name] for use in uses] for name in names}
        rows |= {c.name: [end.get(c.name) for end in ends] for c in FINAL_COLUMNS}
        rows |= {"study": self.study.name, "trial_id": list(self.states)}
        rows |= {"attempt": [state.attempts or None for state in states]}
        rows |= {
            "status": [state.status for state in states],
            "twin_id": [use.get("twin_id") for use in uses],
        }
        fields = configurations([use["spec"] for use in uses] or [self.study.base.given()])[
            : len(uses)
        ]
        return pd.concat(
            [_conform_columns(pd.DataFrame(rows), (*IDENTITY_COLUMNS, *FINAL_COLUMNS)), fields],
            axis=1,
        )

    @cached_property
    def _history(self) -> pd.DataFrame:
        position = pd.Index(self._identity["trial_id"]).get_indexer(
            pd.Index(self.reports["trial_id"])
        )
        same = (
            self._identity.drop(columns=["attempt", *(c.name for c in FINAL_COLUMNS)])
            .take(position)
            .reset_index(drop=True)
        )
        rows = pd.concat([same, self.reports.drop(columns="trial_id")], axis=1)
        return rows[_column_order(rows, HISTORY_COLUMNS)]

    @cached_property
    def _trials(self) -> pd.DataFrame:
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
    """The results in a study directory, finished or not.

    Args:
        directory: Of the study.
        compact: Whether to write, where the ledger has grown since, the two files of `analysis.tables.compact`, from which
            the study loads faster; `analysis.report` does. Nothing is ever written otherwise.

    Raises:
        StudyDirectoryError: if it is no study directory, one of another schema version, or its ledger is damaged.
        StorageError: if it cannot be read, or the files not be written.
    """
    home = StudyDirectory(directory)
    study = home.study()
    digest = ledger_digest(home)  # of before it is read: it may grow meanwhile
    kept = read_compact(home, digest)
    with _paused_garbage_collection():
        if kept:
            (lines, reports), (records, states) = kept, _fold_lines(kept[0], home.ledger)
        else:
            lines, records, states, reports = _read_ledger(home.ledger)
    if compact and not kept:
        write_compact(home, digest, lines, reports)
    return StudyResults(home, study.extended(records), states, reports)


@contextmanager
def _paused_garbage_collection() -> Iterator[None]:
    """Without looking for cycles among the many objects that a ledger becomes: there are none, and it takes as long."""
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
    """Lines of all records but evaluations, these records, the trials' states, and the evaluations that count."""
    evaluations: list[bytes] = []
    lines: list[bytes] = []
    numbers: list[int] = []
    places: list[int] = []
    for number, line in enumerate(read_lines(ledger)):
        is_evaluation = line.startswith(REPORT_PREFIX)
        (evaluations if is_evaluation else lines).append(line)
        (numbers if is_evaluation else places).append(number)
    records, states = _fold_lines(lines, ledger)
    starts = [
        (number, record["trial_id"], record["resumed_from_step"])
        for number, record in zip(places, records, strict=True)
        if record["type"] == "started"
    ]
    reports = _counting_reports(_table(evaluations, ledger), numbers, starts)
    order = pd.Index(list(states)).get_indexer(pd.Index(reports["trial_id"]))
    reports = (
        reports[order >= 0].iloc[order[order >= 0].argsort(kind="stable")].reset_index(drop=True)
    )
    return lines, records, states, reports


def _fold_lines(
    lines: Sequence[bytes], ledger: Place
) -> tuple[list[Record], dict[str, TrialState]]:
    """The records of the lines, read at once, and what they say of each trial."""
    try:
        records: list[Record] = json.loads(b"[" + b",".join(lines) + b"]")
    except ValueError:
        read_records(ledger)  # names the damaged record
        raise
    return records, fold_records(records)


def _table(lines: Sequence[bytes], ledger: Place) -> pd.DataFrame:
    """The report records as a table, in order."""
    if not lines:
        return as_frame(REPORTS_SCHEMA.empty_table())
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
    """The rows that no later attempt did again, sorted by step within a trial: what `ledger.fold` keeps.

    Args:
        reports: All rows, in order.
        numbers: Line number of each row.
        starts: Line number, trial and ``resumed_from_step`` of every start.
    """
    rows = reports.assign(line=numbers, bound=float("inf"))
    again = pd.DataFrame(starts, columns=["line", "trial_id", "bound"])
    events = pd.concat([rows[["line", "trial_id", "bound"]], again]).astype(
        {"line": "int64", "bound": "float64"}
    )
    bound = (
        events.sort_values("line", ascending=False)
        .set_index("line")
        .groupby("trial_id")["bound"]
        .cummin()
    )
    rows = rows[rows["step"].astype("float64") <= rows["line"].map(bound)]
    return rows.drop_duplicates(["trial_id", "step"], keep="last").sort_values(
        "step", kind="stable"
    )[reports.columns]


def _conform_columns(frame: pd.DataFrame, columns: Iterable[Column]) -> pd.DataFrame:
    """Exactly ``columns``, each with its declared dtype."""
    wanted = {column.name: column.dtype for column in columns}
    return frame.reindex(columns=list(wanted)).astype(wanted)


def _column_order(frame: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """The contract's columns, then the dotted ones."""
    return [*(column.name for column in columns), *(name for name in frame.columns if "." in name)]
