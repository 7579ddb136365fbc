"""Optuna's view of a study: one Optuna study per cell, one Optuna trial per configuration, told once.

Derived from the ledger and rebuilt at each launch: safe to delete, and open to Optuna's own tools.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend

from sparsetune.search.suggestions import to_optuna_trial
from sparsetune.storage import translating_write_errors
from sparsetune.study import Minimize, Study
from sparsetune.study.cells import Cell
from sparsetune.study.space import Value


class SearchJournal:
    """`search.journal`, written anew; in memory without a path."""

    def __init__(self, path: Path | None, study: Study, cells: Iterable[Cell]) -> None:
        self._path = path or Path("memory")
        self._cells = {cell.name: cell for cell in cells if cell.search}
        self._told: set[tuple[str, str]] = set()
        direction = "minimize" if isinstance(study.objective, Minimize) else "maximize"
        with translating_write_errors(self._path):
            storage = _open_storage(path)
            self._studies = {
                name: optuna.create_study(storage=storage, study_name=name, direction=direction)
                for name in self._cells
            }

    def told(self, cell: str) -> optuna.Study:
        """The cell's configurations told so far."""
        return self._studies[cell]

    def has_configuration(self, cell: str, config_id: str) -> bool:
        """Whether a configuration was told, or left out."""
        return (cell, config_id) in self._told

    def tell(
        self,
        cell: str,
        config_id: str,
        values: Mapping[str, Value],
        objective: float | None,
        rungs: Mapping[int, float] = {},
    ) -> None:
        """Record a finished configuration, once; one without an objective (stopped, a diverged seed) as PRUNED.

        A configuration outside the search ranges (a base recipe may be) is not told: Optuna could not place it.
        ``rungs`` are its values where it was compared, by the rung's index: Optuna's intermediate values.

        Raises:
            StorageError: if the disk is full.
        """
        if self.has_configuration(cell, config_id):
            return
        self._told.add((cell, config_id))
        trial = to_optuna_trial(
            self._cells[cell], values, objective, rungs=rungs, config_id=config_id
        )
        if trial is not None:
            with translating_write_errors(self._path):
                self._studies[cell].add_trial(trial)


def _open_storage(path: Path | None) -> optuna.storages.BaseStorage:
    if path is None:
        return optuna.storages.InMemoryStorage()
    path.unlink(missing_ok=True)
    return optuna.storages.JournalStorage(JournalFileBackend(str(path)))
