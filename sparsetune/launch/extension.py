"""What `resume` adds to a study: more seeds, configurations and sweep values, and failed trials once more."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sparsetune.errors import DeclarationError, Problem
from sparsetune.launch.preflight import require_runnable
from sparsetune.spec.declaration import to_plain
from sparsetune.storage.ledger import Record, fold_records
from sparsetune.study import Study
from sparsetune.study.space import Value


@dataclass(frozen=True)
class Extension:
    """What is to be added to what a study's directory already asks for.

    Args:
        report_seeds: More seeds for every winner.
        configurations_per_cell: More configurations for every cell.
        sweep: New values of declared sweep axes, which are named as in `Study.sweep_axes`.
        retry_failed: Whether FAILED trials run again, each from its last checkpoint; never DIVERGED or INVALID ones.
    """

    report_seeds: int = 0
    configurations_per_cell: int = 0
    sweep: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    retry_failed: bool = False

    def record(
        self, study: Study, records: Sequence[Record], data_root: Path | None = None
    ) -> Record | None:
        """The ledger's ``extended`` record; None where there is nothing to add.

        Args:
            study: The declaration that the directory was started from.
            records: Its ledger so far, with earlier extensions.
            data_root: The folder that data sets lie in; see `sparsetune.tasks.kinds.prepare_data`.

        Raises:
            DeclarationError: naming every problem.
        """
        before = study.extended(records)
        if problems := sorted(set(self._problems(before, data_root))):
            raise DeclarationError(problems, f"what is to be added to study `{study.name}`")
        trials = fold_records(records) if self.retry_failed else {}
        failed = [trial_id for trial_id, trial in trials.items() if trial.status == "FAILED"]
        counts = {
            "report_seeds": self.report_seeds,
            "configurations_per_cell": self.configurations_per_cell,
        }
        sweep = {name: list(values) for name, values in self.sweep.items()}
        added = {
            name: value
            for name, value in {**counts, "sweep": sweep, "retried": failed}.items()
            if value
        }
        return {"type": "extended", "time": time.time(), **added} if added else None

    def _problems(self, before: Study, data_root: Path | None) -> Iterator[Problem]:
        if self.configurations_per_cell and not any(cell.search for cell in before.cells()):
            yield Problem(
                "configurations_per_cell", "the study searches nothing, so that it has none to add"
            )
        axes = before.sweep_axes()
        for name in self.sweep.keys() - axes.keys():
            declared = ", ".join(f"`{axis}`" for axis in axes) or "none"
            yield Problem(name, f"this is no sweep axis of the study; declared are {declared}")
        known = {name: list(values) for name, values in self.sweep.items() if name in axes}
        for name, values in known.items():
            if there := [value for value in values if value in axes[name]]:
                yield Problem(
                    name,
                    f"swept already are {list(axes[name])}; give values that are not",
                    str(there),
                )
        fresh = {
            name: [value for value in values if value not in axes[name]]
            for name, values in known.items()
        }
        if any(fresh.values()):
            yield from _cell_problems(before, before.with_sweep_values(fresh), data_root)


def _cell_problems(before: Study, after: Study, data_root: Path | None) -> Iterator[Problem]:
    """What is wrong with the longer study; its cells must be those of before under their names, and new ones."""
    try:
        after = require_runnable(after, data_root=data_root)
    except DeclarationError as error:
        yield from error.problems
        return
    old, new = (
        {cell.name: to_plain([cell.spec, cell.search]) for cell in study.cells()}
        for study in (before, after)
    )
    if moved := [name for name, recipe in old.items() if new.get(name) != recipe]:
        rule = "these values would give existing cells other names, and so lose their trials; start a new study"
        yield Problem("sweep", rule, ", ".join(f"`{name}`" for name in moved))
    elif old.keys() == new.keys():
        yield Problem("sweep", "these values open no new cell")
