"""Optuna's view of a study: an Optuna study for each cell, a trial for each configuration.

Derived from the ledger and rebuilt at each launch: safe to delete, and open to Optuna's own tools.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeGuard

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState

from sparsetune.errors import StorageError
from sparsetune.paths.confined import create_file, delete_file
from sparsetune.search.sampling.optuna_form import to_optuna_trial
from sparsetune.storage import translating_write_errors
from sparsetune.study import Minimize, Study
from sparsetune.study.cells import Cell
from sparsetune.study.space import Axis, Choice, IntRange, LogUniform, Value


@dataclass(frozen=True)
class Proposal:
    """A configuration as it was proposed.

    Args:
        config_id: Its id.
        source: Where it comes from, as in `sparsetune.storage.records.Proposed`.
        values: Its searched values by dotted field.
        time: When it began, in seconds since 1970.
    """

    config_id: str
    source: str
    values: Mapping[str, Value]
    time: float = field(default_factory=time.time)


@dataclass(frozen=True)
class Result:
    """What became of a configuration.

    Args:
        objective: Its objective; None for one that was stopped, or has a seed that diverged or
            failed.
        stopped: Whether a rung stopped it.
        rungs: Its objective at each rung where it was compared, by the rung's index: Optuna's
            intermediate values.
        time: When it ended, in seconds since 1970.
    """

    objective: float | None
    stopped: bool = False
    rungs: Mapping[int, float] = field(default_factory=dict)
    time: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        # Optuna refuses NaN, and an infinity would be the best of all.
        if self.objective is not None and not math.isfinite(self.objective):
            object.__setattr__(self, "objective", None)

    @property
    def state(self) -> TrialState:
        """Optuna's word for it."""
        if self.objective is not None:
            return TrialState.COMPLETE
        return TrialState.PRUNED if self.stopped else TrialState.FAIL


class SearchJournal:
    """The configurations of a study, as samplers are told of them and as the file shows them.

    Samplers are told those that finished within the search ranges, in that order; what failed is
    PRUNED to them. The file has every configuration in the order of proposal, which decides ties,
    with its true state, its times, and the values of a recipe beyond the ranges.

    Args:
        path: File of `search.journal`, which is replaced; None for none.
        study: The declaration.
        cells: The study's cells; those that search nothing are left out.

    Raises:
        StorageError: if the file cannot be written.
    """

    def __init__(self, path: Path | None, study: Study, cells: Iterable[Cell]) -> None:
        self._cells = {cell.name: cell for cell in cells if cell.search}
        minimize = isinstance(study.objective, Minimize)
        self._direction = "minimize" if minimize else "maximize"
        self._proposals: dict[tuple[str, str], Proposal] = {}
        self._results: dict[tuple[str, str], Result] = {}
        self._told = {name: optuna.create_study(direction=self._direction) for name in self._cells}
        self._file: _JournalFile | None = None
        if path:
            self.move_to(path)

    def move_to(self, path: Path) -> None:
        """Write everything to a file, which is replaced, and continue there.

        Raises:
            StorageError: if the file cannot be written.
        """
        with translating_write_errors(path):
            self._file = _JournalFile(path, self._cells.values(), self._direction)
            for (cell, config_id), proposal in self._proposals.items():
                self._file.add(cell, proposal, self._results.get((cell, config_id)))
            self._file.note_written()

    def optuna_study(self, cell: str) -> optuna.Study:
        """Optuna's study of a cell for samplers, with every configuration told so far."""
        return self._told[cell]

    def has_result(self, cell: str, config_id: str) -> bool:
        """True if the result of a configuration was told."""
        return (cell, config_id) in self._results

    def propose(self, cell: str, proposal: Proposal) -> None:
        """Record a configuration that is about to run, once.

        Raises:
            StorageError: if the disk is full.
        """
        key = (cell, proposal.config_id)
        if key in self._proposals:
            return
        self._proposals[key] = proposal
        self._write(lambda file: file.add(cell, proposal, None))

    def tell(self, cell: str, config_id: str, result: Result) -> None:
        """Record what became of a configuration that was proposed, once.

        Raises:
            StorageError: if the disk is full.
        """
        if self.has_result(cell, config_id):
            return
        self._results[(cell, config_id)] = result
        values = self._proposals[(cell, config_id)].values
        # The samplers' ranges are those declared: what lies outside has no place there.
        trial = to_optuna_trial(
            self._cells[cell],
            values,
            result.objective,
            rungs=result.rungs,
            is_stopped=result.stopped,
            config_id=config_id,
        )
        if trial is not None:
            self._told[cell].add_trial(trial)
        self._write(lambda file: file.finish(cell, config_id, result))

    def _write(self, change: Callable[[_JournalFile], None]) -> None:
        """Write a change that is noted already; a file that was deleted or cut is made new."""
        if self._file is None:
            return
        if not self._file.is_as_written():
            self.move_to(self._file.path)
            return
        try:
            with translating_write_errors(self._file.path):
                change(self._file)
                self._file.note_written()
        except StorageError:
            raise
        except Exception:  # what lies there instead makes Optuna raise errors of many kinds
            self.move_to(self._file.path)


class _DerivedBackend(JournalFileBackend):  # type: ignore[misc]  # its module has no types
    """Optuna's file of a journal, not made durable: the ledger is, and the file follows from it.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._write_lock = JournalFileSymlinkLock(str(path))
        super().__init__(str(path), self._write_lock)

    def append_logs(self, logs: Sequence[dict[str, Any]]) -> None:
        """Append lines, as Optuna does, which then waits for the disk: milliseconds of the driver
        for every configuration.
        """
        lines = [json.dumps(log, separators=(",", ":")) + "\n" for log in logs]
        self._write_lock.acquire()
        try:
            with self._path.open("ab") as file:
                file.write("".join(lines).encode())
        finally:
            self._write_lock.release()


class _JournalFile:
    """The file of a journal, new and empty.

    Args:
        path: The file; what lies there is replaced.
        cells: The cells that search.
        direction: Optuna's word for what is better.
    """

    def __init__(self, path: Path, cells: Iterable[Cell], direction: str) -> None:
        self.path = path
        # Derived from the ledger: a file that is left over may hold what has changed since.
        # So may Optuna's lock of it, a link, which it would wait for.
        for left in (path, path.with_name(f"{path.name}.lock")):
            delete_file(left)
        os.close(create_file(path))
        self._storage: BaseStorage = optuna.storages.JournalStorage(_DerivedBackend(path))
        self._written: tuple[int, int] | None = None
        self._study_ids: dict[str, int] = {}
        self._trial_ids: dict[tuple[str, str], int] = {}
        self._distributions: dict[str, dict[str, BaseDistribution]] = {}
        cells = list(cells)
        # A control has the values of another cell's recipe.
        recipes = [cell.spec.columns() for cell in cells]
        for cell in cells:
            optuna.create_study(storage=self._storage, study_name=cell.name, direction=direction)
            self._study_ids[cell.name] = self._storage.get_study_id_from_name(cell.name)
            # One range for all trials of a cell: Optuna's importances leave out others.
            distributions: dict[str, BaseDistribution] = {}
            for field_path, axis in cell.search.items():
                base_values = [one[field_path] for one in recipes if field_path in one]
                distributions[field_path] = _wide_distribution(axis, base_values)
            self._distributions[cell.name] = distributions

    def note_written(self) -> None:
        """Note the file as it is, after a change of our own."""
        self._written = _file_stamp(self.path)

    def is_as_written(self) -> bool:
        """True if the file was not deleted, replaced or cut since; others may have added to it."""
        before, now = self._written, _file_stamp(self.path)
        return before is not None and now is not None and now[0] == before[0] and now >= before

    def add(self, cell: str, proposal: Proposal, result: Result | None) -> None:
        """Add a configuration; without a result it is RUNNING."""
        # The id lets a person find the configuration from Optuna's own tools.
        attributes: dict[str, Value] = {"config_id": proposal.config_id, "source": proposal.source}
        placed: dict[str, Value] = {}
        for path, value in proposal.values.items():
            if _holds(self._distributions[cell][path], value):
                placed[path] = value
            else:
                attributes[path] = value  # such as 0 on a logarithmic axis
        trial = FrozenTrial(
            number=-1,  # the storage gives it its own, and the next two as well
            trial_id=-1,
            state=result.state if result else TrialState.RUNNING,
            value=result.objective if result else None,
            datetime_start=datetime.fromtimestamp(proposal.time),
            datetime_complete=datetime.fromtimestamp(result.time) if result else None,
            params=placed,
            distributions={path: self._distributions[cell][path] for path in placed},
            user_attrs=attributes,
            system_attrs={},
            intermediate_values=dict(result.rungs) if result else {},
        )
        added = self._storage.create_new_trial(self._study_ids[cell], trial)
        self._trial_ids[(cell, proposal.config_id)] = added

    def finish(self, cell: str, config_id: str, result: Result) -> None:
        """Record the result of a configuration that was RUNNING."""
        trial_id = self._trial_ids[(cell, config_id)]
        for rung, value in result.rungs.items():
            self._storage.set_trial_intermediate_value(trial_id, rung, value)
        values = None if result.objective is None else [result.objective]
        self._storage.set_trial_state_values(trial_id, result.state, values)


def _file_stamp(path: Path) -> tuple[int, int] | None:
    """Number and size of a file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size


def _wide_distribution(axis: Axis, values: Iterable[Value]) -> BaseDistribution:
    """Optuna's form of an axis, wide enough for some more values where it can hold them."""
    if isinstance(axis, Choice):
        more = [value for value in dict.fromkeys(values) if value not in axis.options]
        return CategoricalDistribution([*axis.options, *more])
    log = isinstance(axis, LogUniform)
    numbers = [value for value in values if _is_number(value) and not (log and value <= 0)]
    ends = [axis.low, axis.high, *numbers]
    if isinstance(axis, IntRange):
        whole = [int(end) for end in ends if float(end).is_integer()]
        return IntDistribution(min(whole), max(whole))
    return FloatDistribution(float(min(ends)), float(max(ends)), log=log)


def _holds(distribution: BaseDistribution, value: Value) -> bool:
    """True if Optuna can place the value."""
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    if not _is_number(value) or not distribution.low <= value <= distribution.high:
        return False
    return isinstance(distribution, FloatDistribution) or float(value).is_integer()


def _is_number(value: Value) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
