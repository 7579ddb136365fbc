"""A study's state as a person wants to see it: cells against sparsity, best so far, what is left."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sparsetune.search.planner import CellPlan, Planner
from sparsetune.storage.ledger import TrialState


class StudyView:
    """Reads the planner's cells and trials; safe to draw while the launch goes on."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.objective = planner.study.objective

    def trials(self) -> list[TrialState]:
        """A snapshot of every trial."""
        return [trial for trial in list(self.planner.trials.values()) if trial.proposed]

    def counts(self) -> Counter[str]:
        """Trials by status."""
        return Counter(trial.status for trial in self.trials())

    def epochs(self) -> tuple[float, float]:
        """Epochs that are done or that nothing waits for any more, and those of the whole study, as far as known."""
        epochs = self.planner.expected_epochs()
        return sum(epochs.values()) - self._left(epochs), sum(epochs.values())

    def _left(self, epochs: dict[str, float]) -> float:
        states = {name: self.planner.trials.get(name) for name in epochs}
        done = {
            name: trial.last.get("epoch", 0.0)
            for name, trial in states.items()
            if trial and not trial.finished
        }
        finished = {name for name, trial in states.items() if trial and trial.finished}
        left: list[float] = [
            epochs[name] - done.get(name, 0.0) for name in epochs if name not in finished
        ]
        return sum(max(0.0, one) for one in left)

    def cells(self) -> list[dict[str, Any]]:
        """A row per cell: name, trials finished and known, best objective so far, whether its search is over."""
        by_cell: dict[str, list[TrialState]] = {}
        for trial in self.trials():
            by_cell.setdefault(trial.use["cell"], []).append(trial)
        return [
            self._cell(plan, by_cell.get(name, [])) for name, plan in self.planner.plans.items()
        ]

    def _cell(self, plan: CellPlan, trials: list[TrialState]) -> dict[str, Any]:
        running = [trial.last.get("progress", 0.0) for trial in trials if trial.status == "RUNNING"]
        return {
            "cell": plan.cell.name,
            "row": _row_name(plan.cell.name),
            "target": plan.cell.spec.sparsity.target,
            "finished": sum(trial.finished for trial in trials),
            "running": running,
            "best": self.best(trials),
            "searched": plan.searched,
        }

    def best(self, trials: list[TrialState]) -> float | None:
        """The best objective among complete trials; twins are dense and do not count."""
        complete = [t for t in trials if t.status == "COMPLETE" and t.use["role"] != "twin"]
        finite = [
            value for t in complete if (value := t.last.get(self.objective.column)) is not None
        ]
        return (min if self.objective.kind == "minimize" else max)(finite, default=None)

    def grid(self) -> Group:
        """Rows: arms and what else is swept. Columns: sparsity. Entries: trials finished, best so far."""
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
    """The cell's name without its target, which is a column, and short enough for five sparsities in 80 columns."""
    parts = [part for part in cell.split("/") if not part.startswith("target=")]
    return " ".join(parts).replace("epoch_multiplier=", "x")


def _cell_text(cell: dict[str, Any]) -> Text:
    if not cell["finished"] and not cell["running"]:
        return Text("·", style="dim")
    best = f" {cell['best']:.4f}" if cell["best"] is not None else ""
    going = f" {100 * max(cell['running']):.0f}%" if cell["running"] else ""
    return Text(f"{cell['finished']}{best}{going}", style="cyan" if going else "")
