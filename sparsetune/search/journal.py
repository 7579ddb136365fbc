"""Optuna's view of a study: an Optuna study for each cell, a trial for each configuration.

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
    """Finished configurations as Optuna trials.

    Args:
        path: File of `search.journal`, which is replaced; None keeps everything in memory.
        study: The declaration.
        cells: The study's cells; those that search nothing are left out.

    Raises:
        StorageError: if the file cannot be written.
    """

    def __init__(self, path: Path | None, study: Study, cells: Iterable[Cell]) -> None:
        self._path = path or Path("memory")
        self._cells = {cell.name: cell for cell in cells if cell.search}
        self._known: set[tuple[str, str]] = set()
        minimize = isinstance(study.objective, Minimize)
        self._direction = "minimize" if minimize else "maximize"
        self._studies = self._create_studies(path)

    def _create_studies(self, path: Path | None) -> dict[str, optuna.Study]:
        studies = {}
        with translating_write_errors(self._path):
            storage = _open_storage(path)
            for name in self._cells:
                studies[name] = optuna.create_study(
                    storage=storage, study_name=name, direction=self._direction
                )
        return studies

    def move_to(self, path: Path) -> None:
        """Write everything to a file, which is replaced, and continue there.

        Raises:
            StorageError: if the file cannot be written.
        """
        before = self._studies
        self._path = path
        self._studies = self._create_studies(path)
        with translating_write_errors(path):
            for name, study in before.items():
                self._studies[name].add_trials(study.get_trials(deepcopy=False))

    def optuna_study(self, cell: str) -> optuna.Study:
        """Optuna's study of a cell, with every configuration told so far."""
        return self._studies[cell]

    def has_configuration(self, cell: str, config_id: str) -> bool:
        """True if a configuration was told, or left out."""
        return (cell, config_id) in self._known

    def tell(
        self,
        cell: str,
        config_id: str,
        values: Mapping[str, Value],
        objective: float | None,
        rungs: Mapping[int, float] = {},
    ) -> None:
        """Record a finished configuration, once.

        One outside the search ranges (a base recipe may be) is left out: Optuna could not place it.

        Args:
            cell: Name of its cell.
            config_id: Its id.
            values: Its searched values by dotted field.
            objective: Its objective; None for one that was stopped or has a diverged seed, which
                Optuna is told as PRUNED.
            rungs: Its objective at each rung where it was compared, by the rung's index: Optuna's
                intermediate values.

        Raises:
            StorageError: if the disk is full.
        """
        if self.has_configuration(cell, config_id):
            return
        self._known.add((cell, config_id))
        # The id lets a person find the configuration from Optuna's own tools.
        trial = to_optuna_trial(
            self._cells[cell], values, objective, rungs=rungs, config_id=config_id
        )
        if trial is not None:
            with translating_write_errors(self._path):
                self._studies[cell].add_trial(trial)


def _open_storage(path: Path | None) -> optuna.storages.BaseStorage:
    if path is None:
        return optuna.storages.InMemoryStorage()
    # Derived from the ledger: a file that is left over may hold what has changed since.
    path.unlink(missing_ok=True)
    return optuna.storages.JournalStorage(JournalFileBackend(str(path)))
