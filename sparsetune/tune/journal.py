"""Optuna's view of a study: one Optuna study per cell, one Optuna trial per configuration, told once.

Derived from the ledger and rebuilt at each launch: safe to delete, and open to Optuna's own tools.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from sparsetune.space import Value
from sparsetune.study import Cell, Minimize, Study
from sparsetune.tune.sampling import distribution


class Journal:
    """`search.journal`, written anew; in memory without a path."""

    def __init__(self, path: Path | None, study: Study, cells: Iterable[Cell]) -> None:
        storage: optuna.storages.BaseStorage = optuna.storages.InMemoryStorage()
        if path:
            path.unlink(missing_ok=True)
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        direction = "minimize" if isinstance(study.objective, Minimize) else "maximize"
        self._studies = {
            cell.name: optuna.create_study(storage=storage, study_name=cell.name, direction=direction)
            for cell in cells
            if cell.search
        }
        self._cells = {cell.name: cell for cell in cells}
        self._told: set[tuple[str, str]] = set()

    def told(self, cell: str) -> optuna.Study:
        """The cell's configurations told so far."""
        return self._studies[cell]

    def tell(self, cell: str, config_id: str, values: Mapping[str, Value], objective: float | None) -> None:
        """Record a finished configuration, once; one without an objective (a diverged seed) as PRUNED.

        A configuration outside the search ranges (a base recipe may be) is not told: Optuna could not place it.
        """
        distributions = {path: distribution(axis) for path, axis in self._cells[cell].search.items()}
        inside = all(d._contains(d.to_internal_repr(values[path])) for path, d in distributions.items())
        if (cell, config_id) in self._told or not inside:
            return
        self._told.add((cell, config_id))
        trial = optuna.trial.create_trial(
            state=TrialState.PRUNED if objective is None else TrialState.COMPLETE,
            value=objective,
            params=dict(values),
            distributions=distributions,
            user_attrs={"config_id": config_id},
        )
        self._studies[cell].add_trial(trial)
