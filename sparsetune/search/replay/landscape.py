"""Landscapes: recorded studies of which every search trial ran to its end, as one small file each.

A Parquet file holds a row for every evaluation of every search trial, and the study's declaration
in its metadata. Searches and stopping rules are replayed over it: see `searches`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sparsetune.errors import StudyDirectoryError
from sparsetune.search.replay.clock import RecordedTrial
from sparsetune.search.replay.comparison import COMPLETED_STATUSES
from sparsetune.search.replay.searches import RecordedCell, RecordedConfiguration
from sparsetune.search.sampling.optuna_form import to_optuna_trial
from sparsetune.spec import TrialSpec
from sparsetune.spec.columns import Status
from sparsetune.storage import StudyDirectory
from sparsetune.storage.records import Report
from sparsetune.storage.trial_state import TrialState, fold_records
from sparsetune.study import Study
from sparsetune.study.cells import Cell

REPORT_COLUMNS = ("step", "epoch", "progress", "phase", "at_target", "val_loss", "seconds")
"""Columns of an evaluation that stopping rules read, beside the objective."""
TRIAL_COLUMNS = ("cell", "config_id", "index", "seed", "status")
DECLARATION = b"sparsetune study"
"""Key of the declaration in the file's metadata."""
LEFT_OUT = ("base", "control")
"""Sources of configurations that no sampler proposed: a landscape has none of them."""


def write_landscape(directory: StudyDirectory, path: str | os.PathLike[str]) -> int:
    """Write a finished study as a landscape.

    Args:
        directory: The study. Configurations that did not train to their end are left out, as are
            the base recipe and controls, which no sampler proposed.
        path: The Parquet file, which is replaced.

    Returns:
        The number of trials written.

    Raises:
        StudyDirectoryError: if it is no study directory, or has no such trial.
    """
    recorded = directory.recorded()
    rows = list(_rows(recorded.study, fold_records(recorded.records)))
    if not rows:
        raise StudyDirectoryError(
            f"`{directory.path}` must hold search trials that ended, got none"
        )
    # Arms search different fields: a row has all of them, empty where one does not apply.
    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.Table.from_pydict({name: [row.get(name) for row in rows] for name in names})
    declaration = json.dumps(recorded.study.written()).encode()
    table = table.replace_schema_metadata({DECLARATION: declaration})
    # Values repeat from row to row, or change little.
    pq.write_table(table, path, compression="zstd", compression_level=19)
    return len({(row["cell"], row["config_id"], row["seed"]) for row in rows})


def _rows(study: Study, states: Mapping[str, TrialState]) -> Iterator[dict[str, Any]]:
    columns = dict.fromkeys((*REPORT_COLUMNS, study.objective.column))
    searched = {cell.name: cell.search for cell in study.cells()}
    for state in states.values():
        if state.status not in COMPLETED_STATUSES:
            continue
        for use in state.proposed:
            if use.role != "search" or use.source in LEFT_OUT:
                continue
            spec = TrialSpec.model_validate(use.spec)
            facts = (use.cell, use.config_id, use.index, spec.seed, state.status)
            columns_of = spec.columns()
            # An axis that applies under a choice has no column elsewhere.
            values = {path: columns_of[path] for path in searched[use.cell] if path in columns_of}
            for step in sorted(state.reports):
                row = state.reports[step].row
                measured = {name: row.get(name) for name in columns}
                yield dict(zip(TRIAL_COLUMNS, facts, strict=True)) | values | measured


def read_landscape(path: str | os.PathLike[str], cells: Sequence[str] = ()) -> list[RecordedCell]:
    """Cells of a landscape, with the configurations that have every seed, in order of proposal.

    Args:
        path: The Parquet file.
        cells: Names of the cells that are read; empty for all.

    Raises:
        StudyDirectoryError: if it is no landscape, its values are not those of its trials, or it
            has no cell of such a name.
    """
    declaration = None
    with suppress(pa.ArrowInvalid):
        declaration = (pq.read_schema(path).metadata or {}).get(DECLARATION)
    if declaration is None:
        raise StudyDirectoryError(f"`{path}` must be written by `write_landscape`")
    study = Study.model_validate(json.loads(declaration))
    require_cells(study, cells)
    # What is not asked for is not even read.
    rows = pq.read_table(path, filters=[("cell", "in", list(cells))] if cells else None)
    return _cells(study, rows.to_pylist())


def read_study(
    directory: StudyDirectory, cells: Sequence[str] = (), *, salvage: bool = False
) -> tuple[list[RecordedCell], int]:
    """Cells of a study directory, as those of a landscape, and what cannot be replayed.

    Args:
        directory: The study; it may be unfinished.
        cells: Names of the cells that are read; empty for all.
        salvage: True to read a damaged ledger up to its first damage.

    Returns:
        The cells; and the number of configurations, over these cells, that a sampler proposed and
        that did not train to their end with every seed.

    Raises:
        StudyDirectoryError: if it is no study directory, or has no cell of such a name.
    """
    recorded = directory.recorded(salvage=salvage)
    study = recorded.study
    require_cells(study, cells)
    states = fold_records(recorded.records)
    read = [row for row in _rows(study, states) if not cells or row["cell"] in cells]
    found = _cells(study, read)
    proposed = {
        (use.cell, use.config_id)
        for state in states.values()
        for use in state.proposed
        if use.role == "search" and use.source not in LEFT_OUT
    }
    if cells:
        proposed = {one for one in proposed if one[0] in cells}
    return found, len(proposed) - sum(len(cell.configurations) for cell in found)


def require_cells(study: Study, cells: Sequence[str]) -> None:
    """Refuse names that no cell of a study has.

    Raises:
        StudyDirectoryError: naming all of them, and the cells that there are.
    """
    known = [cell.name for cell in study.cells()]
    unknown = [name for name in cells if name not in known]
    if unknown:
        raise StudyDirectoryError(
            f"cells must be among {', '.join(known)}; got {', '.join(unknown)}"
        )


def _cells(study: Study, rows: Sequence[Mapping[str, Any]]) -> list[RecordedCell]:
    """Cells with at least one configuration that has every seed, from rows of evaluations."""
    by_cell: dict[str, dict[tuple[int, str], list[Mapping[str, Any]]]] = {}
    for row in rows:
        configurations = by_cell.setdefault(row["cell"], {})
        configurations.setdefault((row["index"], row["config_id"]), []).append(row)
    found = []
    for cell in study.cells():
        configurations = by_cell.get(cell.name, {})
        made = [
            _configuration(study, cell, config_id, configurations[index, config_id])
            for index, config_id in sorted(configurations)
        ]
        whole = [one for one in made if one and len(one.seeds) == study.search_seeds]
        if whole:
            found.append(RecordedCell(study, cell, whole))
    return found


def _configuration(
    study: Study, cell: Cell, config_id: str, rows: Sequence[Mapping[str, Any]]
) -> RecordedConfiguration | None:
    """A configuration from its rows; None if it lies outside the searched ranges.

    Raises:
        StudyDirectoryError: if its values are not those of its id.
    """
    values = {}
    for path, axis in cell.search.items():
        value = rows[0].get(path)
        # A file has None where an axis does not apply, and where None was chosen.
        if value is not None or (path in rows[0] and None in getattr(axis, "options", ())):
            values[path] = value
    spec = cell.at(values)
    if spec.config_id() != config_id:
        raise StudyDirectoryError(f"the values of `{config_id}` must be those of its trials")
    trial = to_optuna_trial(cell, values, None)
    if trial is None:
        return None
    columns = dict.fromkeys((*REPORT_COLUMNS, study.objective.column))
    reports: dict[int, list[Report]] = {}
    statuses: dict[int, Status] = {}
    for row in rows:
        measured = {name: row[name] for name in columns}
        report = Report(trial_id=f"{config_id}-{row['seed']}", attempt=1, row=measured)
        reports.setdefault(row["seed"], []).append(report)
        statuses[row["seed"]] = row["status"]
    seeds = {
        seed: RecordedTrial(own[0].trial_id, config_id, spec, statuses[seed], own)
        for seed, own in reports.items()
    }
    return RecordedConfiguration(config_id, trial, seeds)
