"""Results of a study directory: tables of its trials, their evaluations, and its cells."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sparsetune.errors import StudyDirectoryError
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
from sparsetune.storage.directory import log_notices
from sparsetune.storage.ledger import LedgerLines, paused_garbage_collection
from sparsetune.storage.records import Extended, Proposed, Started
from sparsetune.storage.trial_files import AttemptFiles
from sparsetune.storage.trial_files.outcomes import Outcomes
from sparsetune.storage.trial_state import TrialState, fold_records
from sparsetune.study import Study
from sparsetune.study.additions import Grant, granted_seeds, reached_look
from sparsetune.study.questions.kinds import Question
from sparsetune.study.questions.names import read_question

from .tables import selection
from .tables.compact import (
    as_frame,
    read_compact,
    segments_digest,
    stored_text,
    write_compact,
)
from .tables.declared import configurations
from .tables.design import Design
from .tables.results import Results

MAX_CACHED_EXAMPLES = 2**27
"""Outcomes of test examples that stay in memory; those of further trials are read again."""


@dataclass(frozen=True, repr=False)
class StudyResults(Results):
    """Results of a study so far.

    Args:
        directory: The study's directory.
        study: Its declaration, with everything that was added later.
        states: State of each trial, without its evaluations, in order of first proposal.
        reports: One row per evaluation that counts, by trial and step.
        notices: What a reader should know about the ledger, a sentence each: that its last launch
            did not close it, that an older version wrote no checksums, that it is damaged.
        started: Its declaration without what was added later; None for the same as ``study``.
        questions: Questions that it asked before its first trial; None where an older version kept
            none.
        extensions: What was added to it, oldest first.
        grants: Report seeds that open answers needed, oldest first.
    """

    directory: StudyDirectory
    study: Study
    states: Mapping[str, TrialState]
    reports: pd.DataFrame
    notices: Sequence[str] = ()
    started: Study | None = None
    questions: tuple[Question, ...] | None = None
    extensions: Sequence[Extended] = ()
    grants: Sequence[Grant] = ()

    @property
    def declared(self) -> Study:
        """The declaration without what was added later."""
        return self.study if self.started is None else self.started

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of the looks at the answers, from 1; the last is that of the data.

        Those that the study declares come first. Every addition of report seeds is a look of its
        own after them; without declared ones it takes the place of the looks before it.
        """
        declared = self.declared.looks()
        reached = tuple(range(1, 1 + reached_look(self.grants)))
        added = sum(extension.report_seeds > 0 for extension in self.extensions)
        if not added:
            return reached
        last = len(declared) + added
        return (*reached, last) if len(declared) > 1 else (last,)

    def at_look(self, look: int) -> StudyResults:
        """Results with the report seeds of a look alone, without those that came later.

        Args:
            look: Number of a look; after the declared ones all seeds count.
        """
        declared = self.declared.looks()
        if look > len(declared):
            return self
        end = self.declared.seeds("report")[0] + declared[look - 1]
        states = {}
        for trial_id, state in self.states.items():
            kept = [use for use in state.proposed if not _is_report(use) or use.seed < end]
            if kept:
                states[trial_id] = replace(state, proposed=kept)
        return replace(
            self,
            states=states,
            reports=self.reports[self.reports["trial_id"].isin(states)],
            grants=[grant for grant in self.grants if grant.look <= look],
        )

    @property
    def asked_later(self) -> tuple[Question, ...]:
        """Questions that were asked after the first trial.

        Raises:
            StudyDirectoryError: if one cannot be read.
        """
        found = []
        for extension in self.extensions:
            for values in extension.asked:
                try:
                    found.append(read_question(values))
                except ValueError as error:
                    raise StudyDirectoryError(
                        f"a question in the ledger of `{self.directory.path}` is damaged: {error}"
                    ) from error
        return tuple(found)

    @cached_property
    def design(self) -> Design:
        """Objective and axes that the study declares."""
        return Design.of(self.study)

    def trial_outcomes(self, trial_id: str) -> Outcomes:
        """See `Results`; each file is read once, as long as not too many are kept in memory."""
        kept = self._outcomes
        if trial_id in kept:
            return kept[trial_id]
        state = self.states.get(trial_id)
        if state is None:
            raise StudyDirectoryError(f"the study {self.study.name} has no trial `{trial_id}`")
        found = AttemptFiles.of(self.directory, trial_id, state).outcomes()
        if found is None:
            raise StudyDirectoryError(
                f"trial {trial_id} ({state.status}, {state.use.role}) left no outcomes of single"
                " test examples: search trials and trials of older versions have none"
            )
        if found.examples + sum(one.examples for one in kept.values()) <= MAX_CACHED_EXAMPLES:
            kept[trial_id] = found
        return found

    @cached_property
    def _outcomes(self) -> dict[str, Outcomes]:
        return {}

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
        return selection.cells(self.study, self._uses, self._trials, granted_seeds(self.grants))


def load(
    directory: str | os.PathLike[str] | Place,
    *,
    compact: bool = False,
    salvage: bool = False,
    logs: bool = True,
) -> StudyResults:
    """Read the results in a study directory, finished or not.

    Args:
        directory: The study's directory.
        compact: True to write the two files of `analysis.tables.compact` if the ledger has grown
            since they were written, so that later readings are faster; `analysis.report` does so.
            Nothing is written otherwise.
        salvage: True to read a damaged ledger up to its first damage, which ``notices`` name.
        logs: Whether to log the notices as warnings.

    Raises:
        StudyDirectoryError: if it is no study directory, has another schema version, or is damaged,
            naming file and line.
        StorageError: if the directory cannot be read, or the files cannot be written.
    """
    home = StudyDirectory(directory)
    study = home.study()
    metrics = study.base.task.metric_names()
    # Taken before the ledger is read, which may grow meanwhile: files must not claim too much.
    segments = None if isinstance(home.path, Path) else segments_digest(home)
    text = stored_text(home, segments) if segments else None
    stored = read_compact(home, text.end, metrics) if text else None
    if text is None or stored is None:
        text = home.read_ledger_text(salvage=salvage)
        stored = None if text.damage else read_compact(home, text.end, metrics)
    with paused_garbage_collection():
        if stored:
            records, reports = stored
            states = fold_records(records)
        else:
            ledger = home.read_records(study, salvage=salvage, text=text)
            text = ledger.text
            records = [*ledger.others]
            states = fold_records(records)
            reports = _reports_by_trial(ledger, states)
            if compact and not text.damage:
                write_compact(home, text, segments, ledger.other_lines, reports, metrics)
    notices = home.notices(text)
    if logs:
        log_notices(notices)
    extensions = [record for record in records if isinstance(record, Extended)]
    return StudyResults(
        home,
        study.extended(records),
        states,
        reports,
        notices,
        started=study,
        questions=home.questions(),
        extensions=extensions,
        grants=[record for record in records if isinstance(record, Grant)],
    )


def _is_report(use: Proposed) -> bool:
    """True for the use of a trial that has a report seed."""
    return use.role in ("report", "twin", "control")


def _reports_by_trial(ledger: LedgerLines, states: Mapping[str, TrialState]) -> pd.DataFrame:
    """Evaluations that count, in order of the trials' first proposal and of steps.

    Args:
        ledger: The ledger.
        states: State of every trial.
    """
    starts = [
        (number, record.trial_id, record.resumed_from_step)
        for number, record in zip(ledger.other_numbers, ledger.others, strict=True)
        if isinstance(record, Started)
    ]
    table = as_frame(ledger.reports)
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
