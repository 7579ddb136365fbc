"""Stores of MLflow: a folder of files or an SQLite database, for reading only.

The rows have the names of `mlflow.search_runs`, with one row for each step at which a run logged.

Source: https://mlflow.org/docs/latest/self-hosting/architecture/backend-store/
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sparsetune.errors import DataError

from ....catalogue import write
from ..nested import rows_frame
from ..reading import Reader, Reading
from ..source import Source, open_source
from ..sqlite import SIGNATURE, open_read_only, table_names

_COLUMNS = {"trial_id": "run_id", "status": "status", "step": "step"}
_TABLES = {"runs", "params", "metrics", "tags", "experiments"}
_STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
"""Statuses in the order of their numbers in a store of files, from 1."""
_OUR_WORDS = {"SCHEDULED": "WAITING"}
"""Statuses that are no words of an outcome, in ours."""
_INFINITY = np.finfo(np.float64).max
"""What the database holds for an infinite value."""


@dataclass
class _Run:
    """One run.

    Args:
        values: Its id, experiment, status, parameters and tags, by the names of `search_runs`.
        metrics: Name, time in milliseconds, step and value of each, in order of time.
    """

    values: dict[str, Any]
    metrics: list[tuple[str, int, int, float]] = field(default_factory=list)

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each step, in order; one for a run without any metric."""
        steps: dict[int, dict[str, float]] = {}
        for name, _, step, value in sorted(self.metrics, key=lambda metric: metric[1:3]):
            steps.setdefault(step, {})[f"metrics.{name}"] = value
        if not steps:
            yield dict(self.values)
        for step in sorted(steps):
            yield {**self.values, "step": step, **steps[step]}

    @property
    def is_overwritten(self) -> bool:
        """True if a metric has several values at one step."""
        places = [(name, step) for name, _, step, _ in self.metrics]
        return len(set(places)) < len(places)


def _is_meta(name: str) -> bool:
    return name == "meta.yaml"


def is_store(source: Source) -> bool:
    """True for a folder or database of MLflow's."""
    if source.head.startswith(SIGNATURE):
        return set(table_names(source.path)) >= _TABLES
    files = source.files(_is_meta, 2) if source.is_folder else []
    return any(b"lifecycle_stage" in Source(path).head for path in files[:1])


def read_store(source: Source) -> Reading:
    """Rows of every run that is not deleted.

    Raises:
        DataError: if a file is damaged, or there are no runs.
    """
    runs, deleted = _file_runs(source) if source.is_folder else _database_runs(source.path)
    if not runs:
        raise DataError(f"`{source.name}` must hold runs of MLflow, got {deleted} deleted ones")
    notes: list[str] = []
    if deleted:
        notes.append(str(write("reading_deleted", count=deleted)))
    overwritten = sum(run.is_overwritten for run in runs)
    if overwritten:
        notes.append(str(write("reading_overwritten", count=overwritten, runs=len(runs))))
    kind = "folder of files" if source.is_folder else "SQLite"
    count = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
    frame = rows_frame([row for run in runs for row in run.rows()])
    recognised = f"an MLflow store ({kind}) of {count}"
    return Reading(frame, source.stem, recognised, _COLUMNS, tuple(notes))


def _database_runs(path: Path) -> tuple[list[_Run], int]:
    """Runs of a database, and the number of deleted ones."""
    with open_read_only(path) as connection:
        names = dict(connection.execute("SELECT experiment_id, name FROM experiments"))
        runs: dict[str, _Run] = {}
        deleted = 0
        query = "SELECT run_uuid, name, status, lifecycle_stage, experiment_id FROM runs"
        for run_id, name, status, stage, experiment in connection.execute(query):
            if stage == "deleted":
                deleted += 1
            else:
                values = _identity(run_id, status, experiment, names.get(experiment), name)
                runs[run_id] = _Run(values)
        _add_texts(connection, runs)
        query = "SELECT run_uuid, key, timestamp, step, value, is_nan FROM metrics"
        for run_id, key, time, step, value, is_nan in connection.execute(query):
            if run_id in runs:
                number = np.nan if is_nan else _unbounded(value)
                runs[run_id].metrics.append((key, time, step, number))
    return list(runs.values()), deleted


def _add_texts(connection: sqlite3.Connection, runs: dict[str, _Run]) -> None:
    """Take parameters and tags into their runs."""
    for table in ("params", "tags"):
        for run_id, key, value in connection.execute(f"SELECT run_uuid, key, value FROM {table}"):
            if run_id in runs:
                runs[run_id].values[f"{table}.{key}"] = value


def _unbounded(value: float) -> float:
    return value if abs(value) < _INFINITY else np.copysign(np.inf, value)


def _identity(
    run_id: str, status: str, experiment: object, experiment_name: object, name: object
) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "run_name": name,
        "experiment_id": str(experiment),
        "experiment_name": experiment_name,
        "status": _OUR_WORDS.get(status, status),
    }


def _file_runs(source: Source) -> tuple[list[_Run], int]:
    """Runs of a folder, and the number of deleted ones."""
    names: dict[str, Any] = {}
    runs: list[_Run] = []
    deleted = 0
    for path in source.files(_is_meta, 2):
        meta = _read_meta(path)
        if "run_id" not in meta and "run_uuid" not in meta:
            names[str(meta.get("experiment_id"))] = meta.get("name")
        elif meta.get("lifecycle_stage") == "deleted":
            deleted += 1
        else:
            runs.append(_file_run(path.parent, meta))
    for run in runs:
        run.values["experiment_name"] = names.get(run.values["experiment_id"])
    return runs, deleted


def _read_meta(path: Path) -> dict[str, Any]:
    import yaml

    try:
        meta = yaml.safe_load(open_source(path).text())
    except yaml.YAMLError as error:
        raise DataError(f"`{path.parent.name}/{path.name}` must be YAML: it is damaged") from error
    if not isinstance(meta, dict):
        raise DataError(f"`{path.parent.name}/{path.name}` must hold names and values")
    return meta


def _file_run(folder: Path, meta: dict[str, Any]) -> _Run:
    """A run from its folder of files."""
    status = meta.get("status")
    if isinstance(status, int) and 1 <= status <= len(_STATUSES):
        status = _STATUSES[status - 1]
    run_id = str(meta.get("run_id") or meta.get("run_uuid"))
    run_name = meta.get("run_name")
    run = _Run(_identity(run_id, str(status), meta.get("experiment_id"), None, run_name))
    for kind in ("params", "tags"):
        for name, path in _named_files(folder / kind):
            run.values[f"{kind}.{name}"] = path.read_text(encoding="utf-8").strip()
    for name, path in _named_files(folder / "metrics"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            run.metrics.append((name, *_metric(line, f"{path.name}, line {number}")))
    return run


def _named_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files below a folder by their names, which may hold slashes."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(folder).as_posix(), path


def _metric(line: str, place: str) -> tuple[int, int, float]:
    """Time, step and value of a line such as ``1700000000000 0.93 12``; old ones lack the step."""
    try:
        time, value, *rest = line.split()
        return int(time), int(rest[0]) if rest else 0, float(value)
    except ValueError as error:
        raise DataError(
            f"{place} must hold a time, a value and a step, got {line[:60]!r}"
        ) from error


MLFLOW = Reader("an MLflow store", is_store, read_store)
