"""View of a study for people: cells against sparsity, winners' objectives, work that is left."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sparsetune.costs.pace import TrialLeft
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
        # A copy: the launch adds trials while the display's thread iterates over them.
        trials = list(self.planner.trials.values())
        return [trial for trial in trials if trial.proposed]

    def counts(self) -> Counter[str]:
        """Number of trials by status."""
        return Counter(trial.status for trial in self.trials())

    def trials_left(self) -> list[TrialLeft]:
        """Every trial that has not finished, as far as known; at most so many will run."""
        stopping = self.planner.study.stopping is not None
        left: dict[str, TrialLeft] = {}
        for plan in list(self.planner.plans.values()):
            for name, whole in self.planner.expected_cell_epochs(plan).items():
                trial = self.planner.trials.get(name)
                if trial and trial.finished:
                    continue
                # A trial that is not known yet has a placeholder with its role.
                searches = trial.use.role == "search" if trial else "/search/" in name
                epochs = max(0.0, whole - (trial.epochs if trial else 0.0))
                left[name] = TrialLeft(epochs, may_stop=stopping and searches)
        return list(left.values())

    def epochs(self, expected: dict[str, float]) -> tuple[float, float]:
        """Epochs that are done or will never run, and epochs of the whole study as far as known.

        Args:
            expected: Epochs of every trial, from `Planner.expected_epochs`.
        """
        total = sum(expected.values())
        return total - self._left(expected), total

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
        """A row per cell: ``cell row target finished running winner_objective searched``.

        Plain JSON values. ``finished`` counts trials, ``running`` has the progress of each running
        one, ``winner_objective`` is that of `Planner.winner_objective`, ``searched`` is true once
        the search is over.
        """
        by_cell: dict[str, list[TrialState]] = {}
        for trial in self.trials():
            # One that serves several cells counts where it is shown, and so only once.
            by_cell.setdefault(trial.use.cell, []).append(trial)
        rows = []
        for name, plan in self.planner.plans.items():
            rows.append(self._cell_facts(plan, by_cell.get(name, [])))
        return rows

    def _cell_facts(self, plan: CellPlan, trials: list[TrialState]) -> dict[str, Any]:
        """The row of one cell in `cells`."""
        finished = 0
        running_progress = []
        for trial in trials:
            finished += trial.finished
            if trial.status == "RUNNING":
                # No report before the first evaluation.
                last = trial.last
                running_progress.append(last.progress if last else 0.0)
        return {
            "cell": plan.cell.name,
            "row": _row_name(plan.cell.name),
            "target": plan.cell.spec.sparsity.target,
            "finished": finished,
            "running": running_progress,
            "winner_objective": self.planner.winner_objective(plan),
            "searched": plan.searched,
        }

    def running(self, now: float) -> list[dict[str, Any]]:
        """A row per running trial, that of the oldest report first, as plain JSON values.

        Its columns are ``trial_id cell attempt progress age``, the last in seconds since its last
        report or start.

        Args:
            now: Time in seconds since 1970.
        """
        rows = [
            {
                "trial_id": trial.use.trial_id,
                "cell": trial.use.cell,
                "attempt": trial.attempts,
                "progress": trial.last.progress if trial.last else 0.0,
                "age": max(0.0, now - trial.heard_at),
            }
            for trial in self.trials()
            if trial.status == "RUNNING" and trial.heard_at is not None
        ]
        return sorted(rows, key=lambda row: -row["age"])

    def grid(self) -> Group:
        """Finished trials and winners' objectives: a row an arm and length, a column a target."""
        cells = self.cells()
        targets = sorted({cell["target"] for cell in cells})
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column(no_wrap=True)
        for target in targets:
            table.add_column(f"{100 * target:g} %" if target else "dense", justify="right")
        texts_by_row: dict[str, dict[float, Text]] = {}
        for cell in cells:
            texts_by_row.setdefault(cell["row"], {})[cell["target"]] = _cell_text(cell)
        for name, texts in texts_by_row.items():
            # Not every arm has every target.
            table.add_row(name, *[texts.get(target, "") for target in targets])
        heading = f"Trials done, and mean {self.objective.column} of the winner once it is chosen:"
        return Group(Text(heading, style="dim"), table)


def _row_name(cell: str) -> str:
    """The cell's name without its target, short enough for five sparsities in 80 columns."""
    parts = [part for part in cell.split("/") if not part.startswith("target=")]
    return " ".join(parts).replace("epoch_multiplier=", "x")


def _cell_text(cell: dict[str, Any]) -> Text:
    if not cell["finished"] and not cell["running"]:
        return Text("·", style="dim")
    objective = cell["winner_objective"]
    value = "" if objective is None else f" {objective:.4f}"
    # Of several that run, the progress of the furthest.
    progress = f" {100 * max(cell['running']):.0f}%" if cell["running"] else ""
    return Text(f"{cell['finished']}{value}{progress}", style="cyan" if progress else "")
