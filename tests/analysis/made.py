"""Results made in memory, cell by cell: a search with its ranges, or report trials with their costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.estimates.means import MEASURE_COLUMNS
from analysis.tables.design import Design
from analysis.tables.results import Results
from sparsetune.study.space import Axis

USE = {
    "cell": "string",
    "arm": "string",
    "role": "string",
    "config_id": "string",
    "source": "string",
}
USE |= {"seed": "Int64", "trial_id": "string", "twin_id": "string"}


@dataclass
class Made(Results):
    """Tables that a test fills; `search` and `report` add a cell's trials."""

    sweep: tuple[str, ...] = ("sparsity.target", "schedule.epochs")
    objective: str | None = "val_error"
    minimize: bool = True
    ranges: dict[tuple[str, str], Axis] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    named: dict[str, dict[str, Any]] = field(default_factory=dict)

    def search(
        self,
        cell: str,
        axes: Mapping[str, Axis],
        units: Any,
        values: Mapping[str, Any],
        target: float = 0.9,
        **more: Any,
    ) -> Made:
        """A cell that tried ``units``, shape [n, n_axes], and reached ``values`` by column; NaN diverged."""
        self.ranges |= {(cell, path): axis for path, axis in axes.items()}
        self._cell(cell, target, more)
        columns = {name: np.asarray(column, dtype=np.float64) for name, column in values.items()}
        for k, unit in enumerate(np.asarray(units, dtype=np.float64)):
            point = {
                path: axis.at(float(u)) for (path, axis), u in zip(axes.items(), unit, strict=True)
            }
            reached = {name: float(column[k]) for name, column in columns.items()}
            lost = any(np.isnan(value) for value in reached.values())
            self._trial(
                cell,
                "search",
                f"{cell}-{k}",
                f"sobol:{k}",
                0,
                reached | point,
                "DIVERGED" if lost else "COMPLETE",
            )
        first = min(columns, key=lambda name: name != self.objective)
        if columns[first].size and not np.isnan(columns[first]).all():
            best = int(
                np.nanargmin(columns[first]) if self.minimize else np.nanargmax(columns[first])
            )
            self.named[cell] |= {
                path: a.at(float(u)) for (path, a), u in zip(axes.items(), units[best], strict=True)
            }
            self.named[cell]["winner_id"] = f"{cell}-{best}"
        return self

    def report(
        self, cell: str, values: Mapping[str, Sequence[float]], target: float = 0.9, **more: Any
    ) -> Made:
        """A cell's winner on as many seeds as ``values`` has by column; what is one number is the same for all."""
        self._cell(cell, target, more)
        self.named[cell]["winner_id"] = f"{cell}-w"
        seeds = max(np.size(column) for column in values.values())
        for seed in range(seeds):
            row = {name: float(np.resize(column, seeds)[seed]) for name, column in values.items()}
            self._trial(cell, "report", f"{cell}-w", "base", 100 + seed, row, "COMPLETE")
        return self

    def control(self, cell: str, values: Mapping[str, Sequence[float]]) -> Made:
        """The dense recipe, unchanged, in a cell that `report` has added: by column, a value per seed; NaN diverged."""
        self.named[cell]["control_id"] = f"{cell}-control"
        for seed in range(max(np.size(column) for column in values.values())):
            row = {name: float(column[seed]) for name, column in values.items()}
            status = "DIVERGED" if any(np.isnan(value) for value in row.values()) else "COMPLETE"
            self._trial(cell, "control", f"{cell}-control", "control", 100 + seed, row, status)
        return self

    def _cell(self, cell: str, target: float, more: Mapping[str, Any]) -> None:
        about = {
            "schedule.epochs": more.get("epochs", 8),
            "arm": more.get("arm", "dense" if target == 0 else "gmp"),
        }
        about |= {
            "cell": cell,
            "sparsity.target": target,
            "configurations": 1,
            "configurations_asked": 1,
        }
        self.named.setdefault(cell, about | {"winner_id": None, "finished": True})

    def _trial(
        self,
        cell: str,
        role: str,
        config: str,
        source: str,
        seed: int,
        row: Mapping[str, Any],
        status: str,
    ) -> None:
        about = self.named[cell]
        kept = {
            "cell": cell,
            "arm": about["arm"],
            "role": role,
            "config_id": config,
            "source": source,
            "seed": seed,
        }
        kept |= {"trial_id": f"{config}-{seed}-{role}", "twin_id": None, "status": status}
        kept |= {path: about[path] for path in ("sparsity.target", "schedule.epochs")} | {
            "schedule.epoch_multiplier": 1
        }
        self.rows.append({**dict.fromkeys(MEASURE_COLUMNS, np.nan), **kept, **row})

    @property
    def design(self) -> Design:
        search = tuple(dict.fromkeys(path for _, path in self.ranges))
        return Design("made", "", self.objective, self.minimize, self.sweep, search, self.ranges)

    @property
    def _trials(self) -> pd.DataFrame:
        frame = pd.DataFrame(self.rows).drop_duplicates("trial_id", ignore_index=True)
        return frame.astype(
            {name: dtype for name, dtype in (USE | {"status": "string"}).items() if name in frame}
        )

    @property
    def _history(self) -> pd.DataFrame:
        return self._trials

    @property
    def _uses(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows)[list(USE)].astype(USE)

    @property
    def _cells(self) -> pd.DataFrame:
        names = ("cell", "arm", "winner_id", "control_id")
        always: dict[str, Any] = {"control_id": None, "flops_ratio": np.nan}
        return pd.DataFrame([always | cell for cell in self.named.values()]).astype(
            dict.fromkeys(names, "string")
        )
