"""A study directory as tables: one row per trial, per trial and evaluation, and per cell with its winner."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.json

from analysis import select
from analysis.design import Design
from analysis.results import Results
from sparsetune.errors import StudyDirectoryError
from sparsetune.places import Place
from sparsetune.spec import TrialSpec
from sparsetune.store import StudyDirectory
from sparsetune.store.ledger import Record, TrialState, fold, read, read_lines
from sparsetune.study import Study
from sparsetune.tables import FINAL, HISTORY, IDENTITY, MEASURED, PROGRESS, TRIALS, Column

REPORT = b'{"type":"report"'
"""How the lines begin of which a ledger has many; they are flat and read as a table."""
_ARROW = {"string": pa.string(), "float64": pa.float64(), "Int64": pa.int64(), "boolean": pa.bool_()}


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
        rows = []
        for trial_id, state in self.states.items():
            use = state.use
            kept = {name: use[name] for name in ("arm", "cell", "config_id", "seed", "role")}
            kept |= {"study": self.study.name, "trial_id": trial_id, "attempt": state.attempts or None}
            kept |= {"status": state.status, "twin_id": use.get("twin_id")}
            rows.append(kept | {c.name: (state.ended or {}).get(c.name) for c in FINAL if c.name != "twin_id"})
        return pd.concat([_typed(pd.DataFrame(rows), (*IDENTITY, *FINAL)), self._configurations()], axis=1)

    def _configurations(self) -> pd.DataFrame:
        columns: dict[str, dict[str, Any]] = {}
        for state in self.states.values():
            if state.use["config_id"] not in columns:
                fields = TrialSpec.model_validate(state.use["spec"]).columns()
                columns[state.use["config_id"]] = {name: value for name, value in fields.items() if name != "seed"}
        rows = [columns[state.use["config_id"]] for state in self.states.values()]
        names = None if rows else [name for name in self.study.base.columns() if name != "seed"]
        frame = pd.DataFrame(rows, columns=names)
        return frame.assign(**{name: select.narrowed(frame[name]) for name in frame.columns})

    @cached_property
    def _history(self) -> pd.DataFrame:
        position = pd.Index(self._identity["trial_id"]).get_indexer(pd.Index(self.reports["trial_id"]))
        same = self._identity.drop(columns=["attempt", *(c.name for c in FINAL)]).take(position).reset_index(drop=True)
        rows = pd.concat([same, self.reports.drop(columns="trial_id")], axis=1)
        return rows[_ordered(rows, HISTORY)]

    @cached_property
    def _trials(self) -> pd.DataFrame:
        last = self.reports.groupby("trial_id", sort=False).tail(1).drop(columns="attempt")
        rows = self._identity.merge(last, on="trial_id", how="left")
        return rows[_ordered(rows, TRIALS)]

    @cached_property
    def _uses(self) -> pd.DataFrame:
        return select.uses(self.states)

    @cached_property
    def _cells(self) -> pd.DataFrame:
        return select.cells(self.study, self._uses, self._trials)


def load(directory: str | os.PathLike[str] | Place) -> StudyResults:
    """The results in a study directory, finished or not.

    Raises:
        StudyDirectoryError: if it is no study directory, one of another schema version, or its ledger is damaged.
        StorageError: if it cannot be read.
    """
    place = StudyDirectory(directory)
    study = place.study()
    lines, records, starts = [], [], []
    for number, line in enumerate(read_lines(place.ledger)):
        if line.startswith(REPORT):
            lines.append((number, line))
        else:
            records.append(_parsed(line, place.ledger))
            if records[-1]["type"] == "started":
                starts.append((number, records[-1]["trial_id"], records[-1]["resumed_from_step"]))
    states = fold(records)
    reports = _counting(_table([line for _, line in lines], place.ledger), [number for number, _ in lines], starts)
    order = pd.Index(list(states)).get_indexer(pd.Index(reports["trial_id"]))
    reports = reports[order >= 0].iloc[order[order >= 0].argsort(kind="stable")].reset_index(drop=True)
    return StudyResults(place, study.extended(records), states, reports)


def _parsed(line: bytes, ledger: Place) -> Record:
    try:
        record: Record = json.loads(line)
    except ValueError:
        read(ledger)  # names the damaged record
        raise
    return record


def _table(lines: Sequence[bytes], ledger: Place) -> pd.DataFrame:
    """The report records as a table, in order."""
    columns = (*(c for c in IDENTITY if c.name in ("trial_id", "attempt")), *PROGRESS, *MEASURED)
    schema = pa.schema([(c.name, _ARROW[c.dtype]) for c in columns])
    if not lines:
        return _typed(pd.DataFrame(schema.empty_table().to_pandas()), columns)
    options = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        table = pyarrow.json.read_json(pa.BufferReader(b"\n".join(lines)), parse_options=options)
    except pa.ArrowInvalid as error:
        read(ledger)  # names the damaged record, if it is not JSON
        raise StudyDirectoryError(f"a report in the ledger `{ledger}` breaks the table contract: {error}") from error
    return _typed(table.select(schema.names).to_pandas(integer_object_nulls=True), columns)


def _counting(reports: pd.DataFrame, numbers: list[int], starts: list[tuple[int, str, int]]) -> pd.DataFrame:
    """The rows that no later attempt did again, sorted by step within a trial: what `ledger.fold` keeps.

    Args:
        reports: All rows, in order.
        numbers: Line number of each row.
        starts: Line number, trial and ``resumed_from_step`` of every start.
    """
    rows = reports.assign(line=numbers, bound=float("inf"))
    again = pd.DataFrame(starts, columns=["line", "trial_id", "bound"])
    events = pd.concat([rows[["line", "trial_id", "bound"]], again]).astype({"line": "int64", "bound": "float64"})
    bound = events.sort_values("line", ascending=False).set_index("line").groupby("trial_id")["bound"].cummin()
    rows = rows[rows["step"].astype("float64") <= rows["line"].map(bound)]
    return rows.drop_duplicates(["trial_id", "step"], keep="last").sort_values("step", kind="stable")[reports.columns]


def _typed(frame: pd.DataFrame, columns: Iterable[Column]) -> pd.DataFrame:
    """Exactly ``columns``, each with its declared dtype."""
    wanted = {column.name: column.dtype for column in columns}
    return frame.reindex(columns=list(wanted)).astype(wanted)


def _ordered(frame: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """The contract's columns, then the dotted ones."""
    return [*(column.name for column in columns), *(name for name in frame.columns if "." in name)]
