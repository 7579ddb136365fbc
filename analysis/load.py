"""A study directory as tables: one row per trial, per trial and evaluation, and per cell with its winner."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from analysis.tables import selection
from analysis.tables.compact import (
    as_frame,
    ledger_digest,
    read_compact,
    write_compact,
)
from analysis.tables.declared import configurations
from analysis.tables.design import Design
from analysis.tables.results import Results
from sparsetune.paths import Place
from sparsetune.spec.columns import (
    FINAL_COLUMNS,
    HISTORY_COLUMNS,
    IDENTITY_COLUMNS,
    TRIAL_COLUMNS,
    Column,
)
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import LedgerLines, decode_lines, read_ledger
from sparsetune.storage.records import Record, Started
from sparsetune.storage.report_table import report_table
from sparsetune.storage.trial_state import TrialState, fold_records
from sparsetune.study import Study


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
        ends = [state.ended for state in states]
        names = ("arm", "cell", "config_id", "seed", "role")
        rows: dict[str, Any] = {name: [getattr(use, name) for use in uses] for name in names}
        for column in FINAL_COLUMNS:
            rows[column.name] = [end.value(column.name) if end else None for end in ends]
        rows |= {"study": self.study.name, "trial_id": list(self.states)}
        rows |= {"attempt": [state.attempts or None for state in states]}
        rows |= {
            "status": [state.status for state in states],
            "twin_id": [use.twin_id for use in uses],
        }
        fields = configurations([use.spec for use in uses] or [self.study.base.given()])[
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
    digest = ledger_digest(home)  # before it is read: it may grow meanwhile
    kept = read_compact(home, digest)
    with _paused_garbage_collection():
        if kept:
            lines, reports = kept
            records = decode_lines(lines, home.ledger)
            states = fold_records(records)
        else:
            ledger = read_ledger(home.ledger)
            lines = ledger.others
            records = ledger.other_records()
            states = fold_records(records)
            reports = _reports_by_trial(ledger, records, states)
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


def _reports_by_trial(
    ledger: LedgerLines, records: Sequence[Record], states: Mapping[str, TrialState]
) -> pd.DataFrame:
    """The evaluations that count, in order of the trials' first proposal and of steps.

    Args:
        ledger: The ledger.
        records: Its records that are no evaluations.
        states: State of every trial.
    """
    starts = [
        (number, record.trial_id, record.resumed_from_step)
        for number, record in zip(ledger.other_numbers, records, strict=True)
        if isinstance(record, Started)
    ]
    reports = _counting_reports(as_frame(report_table(ledger)), ledger.report_numbers, starts)
    order = pd.Index(list(states)).get_indexer(pd.Index(reports["trial_id"]))
    known = order >= 0
    return reports[known].iloc[order[known].argsort(kind="stable")].reset_index(drop=True)


def _counting_reports(
    reports: pd.DataFrame, numbers: Sequence[int], starts: list[tuple[int, str, int]]
) -> pd.DataFrame:
    """The rows that no later attempt did again, sorted by step within a trial: what `fold_records` keeps.

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
