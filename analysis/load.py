"""Results of a study directory: tables of its trials, their evaluations, and its cells."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from sparsetune.paths import Place
from sparsetune.spec.columns import (
    FINAL_COLUMNS,
    HISTORY_COLUMNS,
    IDENTITY_COLUMNS,
    TRIAL_COLUMNS,
    Column,
    metric_columns,
)
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import LedgerLines, decode_lines, read_ledger
from sparsetune.storage.records import Record, Started
from sparsetune.storage.report_table import report_table
from sparsetune.storage.trial_state import TrialState, fold_records
from sparsetune.study import Study

from .tables import selection
from .tables.compact import as_frame, ledger_digest, read_compact, write_compact
from .tables.declared import configurations
from .tables.design import Design
from .tables.results import Results


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

    @property
    def _val_metrics(self) -> tuple[Column, ...]:
        return metric_columns("val", self.study.base.task.metric_names())

    @property
    def _test_metrics(self) -> tuple[Column, ...]:
        return metric_columns("test", self.study.base.task.metric_names())

    @cached_property
    def _identity(self) -> pd.DataFrame:
        """Columns that stay constant during a trial, one row per trial in order of ``states``."""
        states = list(self.states.values())
        uses = [state.use for state in states]
        ends = [state.ended for state in states]
        rows: dict[str, Any] = {"study": self.study.name, "trial_id": list(self.states)}
        for name in ("arm", "cell", "config_id", "seed", "role"):
            rows[name] = [getattr(use, name) for use in uses]
        for column in (*FINAL_COLUMNS, *self._test_metrics):
            rows[column.name] = [end.value(column.name) if end else None for end in ends]
        rows["own_code"] = [" then ".join(state.own_code) or None for state in states]
        rows["attempt"] = [state.attempts or None for state in states]
        rows["status"] = [state.status for state in states]
        rows["twin_id"] = [use.twin_id for use in uses]
        columns = (*IDENTITY_COLUMNS, *FINAL_COLUMNS, *self._test_metrics)
        identity = _conform_columns(pd.DataFrame(rows), columns)
        # Without a trial the base still says which columns a configuration has.
        specs = [use.spec for use in uses] or [self.study.base.given()]
        fields = configurations(specs)[: len(uses)]
        return pd.concat([identity, fields], axis=1)

    @cached_property
    def _history(self) -> pd.DataFrame:
        trial_ids = pd.Index(self._identity["trial_id"])
        position = trial_ids.get_indexer(pd.Index(self.reports["trial_id"]))
        final = [column.name for column in (*FINAL_COLUMNS, *self._test_metrics)]
        identity = self._identity.drop(columns=["attempt", *final])
        repeated = identity.take(position).reset_index(drop=True)
        rows = pd.concat([repeated, self.reports.drop(columns="trial_id")], axis=1)
        return rows[_column_order(rows, (*HISTORY_COLUMNS, *self._val_metrics))]

    @cached_property
    def _trials(self) -> pd.DataFrame:
        # The trial keeps its own attempt: one that started again may not have reported yet.
        last = self.reports.groupby("trial_id", sort=False).tail(1).drop(columns="attempt")
        rows = self._identity.merge(last, on="trial_id", how="left")
        columns = (*TRIAL_COLUMNS, *self._val_metrics, *self._test_metrics)
        return rows[_column_order(rows, columns)]

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
    metrics = study.base.task.metric_names()
    stored = read_compact(home, digest, metrics)
    with _paused_garbage_collection():
        if stored:
            lines, reports = stored
            records = decode_lines(lines, home.ledger)
            states = fold_records(records)
        else:
            ledger = read_ledger(home.ledger)
            lines = ledger.others
            records = ledger.other_records()
            states = fold_records(records)
            reports = _reports_by_trial(ledger, records, states, metrics)
    if compact and not stored:
        write_compact(home, digest, lines, reports, metrics)
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


def _reports_by_trial(
    ledger: LedgerLines,
    records: Sequence[Record],
    states: Mapping[str, TrialState],
    metrics: Sequence[str],
) -> pd.DataFrame:
    """Evaluations that count, in order of the trials' first proposal and of steps.

    Args:
        ledger: The ledger.
        records: Its records that are no evaluations.
        states: State of every trial.
        metrics: Metrics that the study's task names.
    """
    starts = [
        (number, record.trial_id, record.resumed_from_step)
        for number, record in zip(ledger.other_numbers, records, strict=True)
        if isinstance(record, Started)
    ]
    table = as_frame(report_table(ledger, metrics))
    reports = _counting_reports(table, ledger.report_numbers, starts)
    # The tables show trials in order of first proposal, whenever each one reported.
    position = pd.Index(list(states)).get_indexer(pd.Index(reports["trial_id"]))
    is_known = position >= 0
    by_trial = position[is_known].argsort(kind="stable")
    return reports[is_known].iloc[by_trial].reset_index(drop=True)


def _counting_reports(
    reports: pd.DataFrame, numbers: Sequence[int], starts: list[tuple[int, str, int]]
) -> pd.DataFrame:
    """Evaluations that no later attempt repeated, sorted by step; `fold_records` agrees.

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
