"""View of a study for people: cells against sparsity, best objective, work that is left."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sparsetune.search.planner import CellPlan, Planner
from sparsetune.storage.trial_state import TrialState


class StudyView:
    """A view of the planner's cells and trials; safe to draw while the launch runs.

    Args:
        planner: The planner of the study.
    """

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.objective = planner.study.objective

    def trials(self) -> list[TrialState]:
        """Every trial that was proposed."""
        return [trial for trial in list(self.planner.trials.values()) if trial.proposed]

    def counts(self) -> Counter[str]:
        """Number of trials by status."""
        return Counter(trial.status for trial in self.trials())

    def epochs(self) -> tuple[float, float]:
        """Epochs that are done or will never run, and epochs of the whole study as far as known."""
        epochs = self.planner.expected_epochs()
        total = sum(epochs.values())
        return total - self._left(epochs), total

    def _left(self, epochs: dict[str, float]) -> float:
        """Epochs that are still to be trained."""
        left = 0.0
        for name, whole in epochs.items():
            trial = self.planner.trials.get(name)
            if trial is None:
                left += whole
            elif not trial.finished:
                left += max(0.0, whole - trial.epochs)
        return left

    def cells(self) -> list[dict[str, Any]]:
        """A row per cell: ``cell row target finished running best searched``, as plain JSON values.

        ``finished`` counts trials, ``running`` has the progress of each running one, ``best`` is
        the best objective so far (None before the first), ``searched`` is true once the search is
        over.
        """
        by_cell: dict[str, list[TrialState]] = {}
        for trial in self.trials():
            by_cell.setdefault(trial.use.cell, []).append(trial)
        return [
            self._cell(plan, by_cell.get(name, [])) for name, plan in self.planner.plans.items()
        ]

    def _cell(self, plan: CellPlan, trials: list[TrialState]) -> dict[str, Any]:
        running = [trial.last for trial in trials if trial.status == "RUNNING"]
        return {
            "cell": plan.cell.name,
            "row": _row_name(plan.cell.name),
            "target": plan.cell.spec.sparsity.target,
            "finished": sum(trial.finished for trial in trials),
            "running": [report.progress if report else 0.0 for report in running],
            "best": self.best(trials),
            "searched": plan.searched,
        }

    def best(self, trials: list[TrialState]) -> float | None:
        """The best objective among complete trials that are no twins; None without one."""
        column = self.objective.column
        complete = [t for t in trials if t.status == "COMPLETE" and t.use.role != "twin"]
        values = [value for t in complete if (value := t.last_value(column)) is not None]
        return (min if self.objective.kind == "minimize" else max)(values, default=None)

    def grid(self) -> Group:
        """Finished trials and best objective: a row an arm and length, a column a target."""
        cells = self.cells()
        targets = sorted({cell["target"] for cell in cells})
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column(no_wrap=True)
        for target in targets:
            table.add_column(f"{100 * target:g} %" if target else "dense", justify="right")
        entries = {(cell["row"], cell["target"]): _cell_text(cell) for cell in cells}
        for row in dict.fromkeys(cell["row"] for cell in cells):
            table.add_row(row, *(entries.get((row, target), "") for target in targets))
        return Group(
            Text(f"Trials done and best {self.objective.column} so far:", style="dim"), table
        )


def _row_name(cell: str) -> str:
    """The cell's name without its target, short enough for five sparsities in 80 columns."""
    parts = [part for part in cell.split("/") if not part.startswith("target=")]
    return " ".join(parts).replace("epoch_multiplier=", "x")


def _cell_text(cell: dict[str, Any]) -> Text:
    if not cell["finished"] and not cell["running"]:
        return Text("·", style="dim")
    best = f" {cell['best']:.4f}" if cell["best"] is not None else ""
    going = f" {100 * max(cell['running']):.0f}%" if cell["running"] else ""
    return Text(f"{cell['finished']}{best}{going}", style="cyan" if going else "")
