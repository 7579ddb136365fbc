"""What a launch prints: a live board on a terminal, plain lines elsewhere, a line per event on both."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from sparsetune.paths import Place
from sparsetune.search.planner import CellPlan, Planner
from sparsetune.search.study_view import StudyView
from sparsetune.storage.ledger import Record
from sparsetune.units import format_duration

SUMMARY_SECONDS = 30
"""Without a terminal, one summary line this often."""


class ProgressDisplay:
    """Follows a launch.

    Args:
        planner: Gives the cells, their winners and what is still to run.
        path: The study's directory.
        quiet: Print nothing.
    """

    def __init__(self, planner: Planner, path: Place, *, quiet: bool = False) -> None:
        self.planner = planner
        self.board = StudyView(planner)
        self.path = path
        self.console = Console(quiet=quiet, highlight=False)
        self._started = time.monotonic()
        self._working: float | None = None
        self._epochs_before = self.board.epochs()[0]
        self._settled = {name for name, plan in planner.plans.items() if plan.searched}
        self._summary_due = self._started + SUMMARY_SECONDS
        self._live = Live(
            console=self.console, get_renderable=self._render, refresh_per_second=2, transient=True
        )

    def __enter__(self) -> ProgressDisplay:
        finished = sum(trial.finished for trial in self.board.trials())
        resumed = f"; {finished} trials finished before" if finished else ""
        cells = (
            f"{len(self.planner.plans)} cells, {len(self.planner.expected_epochs())} trials at most"
        )
        self._print_line(
            f"[bold]{escape(self.planner.study.name)}[/]: {cells}, in {self.path}{resumed}"
        )
        if self.console.is_terminal and not self.console.quiet:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._live.stop()
        self.console.print(self.board.grid())
        self._print_line(self._summary())

    def _print_line(self, line: str) -> None:
        self.console.print(line, soft_wrap=True)

    def announce(self, record: Record) -> None:
        """Show what a new record changes."""
        if record["type"] == "started" and self._working is None:
            self._working = time.monotonic()
        if record["type"] == "forecast":
            self._print_line(escape(record["note"]))
            return
        if (note := record.get("note")) and note not in self._settled:
            self._settled.add(note)
            self._print_line(f"  [yellow]note[/] {escape(note)}")
        if record["type"] in ("ended", "retried"):
            self._announce_end(record)
        for name, plan in self.planner.plans.items():
            if plan.searched and name not in self._settled:
                self._settled.add(name)
                self._print_line(f"  {escape(name)}: {self._winner_text(plan)}")
        if not self.console.is_terminal and time.monotonic() > self._summary_due:
            self._summary_due = time.monotonic() + SUMMARY_SECONDS
            self._print_line(self._summary())

    def _announce_end(self, record: Record) -> None:
        use = self.planner.trials[record["trial_id"]].use
        where = escape(f"{use['cell']} {use['role']} {record['trial_id']}")
        if record["type"] == "retried":
            self._print_line(f"  [yellow]retried[/] {where}: {escape(str(record['error']))}")
        elif record["status"] == "PRUNED":
            self._print_line(f"  {where}: {escape(str(record['error']))}")
        elif record["status"] != "COMPLETE":
            self._print_line(
                f"  [red]{record['status']}[/] {where}: {escape(str(record['error']))}"
            )

    def _winner_text(self, plan: CellPlan) -> str:
        if plan.winner is None:
            return "[red]no winner: every configuration diverged, failed or was stopped[/]"
        values = plan.winner.values(plan.cell.search).items()
        return "best " + ", ".join(
            f"{path.rpartition('.')[2]} {_format_value(value)}" for path, value in values
        )

    def _render(self) -> Group:
        return Group(self.board.grid(), Text(self._summary(), style="bold"))

    def _summary(self) -> str:
        counts = self.board.counts()
        parts = [
            f"{sum(t.finished for t in self.board.trials())} of {len(self.planner.expected_epochs())} trials"
        ]
        parts += [
            f"{counts[bad]} {bad.lower()}"
            for bad in ("PRUNED", "DIVERGED", "FAILED", "INVALID")
            if counts[bad]
        ]
        return ", ".join(
            [*parts, f"{format_duration(time.monotonic() - self._started)} elapsed", *self._left()]
        )

    def _left(self) -> list[str]:
        """Time left at the pace since the first trial started; Ray and the workers' imports come before that."""
        done, total = self.board.epochs()
        if self._working is None:
            return ["starting Ray and workers"] if done < total else []
        pace = (done - self._epochs_before) / max(time.monotonic() - self._working, 1e-9)
        return (
            [f"about {format_duration((total - done) / pace)} left"]
            if pace > 0 and done < total
            else []
        )


def _format_value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
