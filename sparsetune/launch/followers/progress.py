"""Display of a launch: a live table on a terminal, plain lines elsewhere, a line an event."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from sparsetune.costs.pace import TimeLeft
from sparsetune.paths import Place
from sparsetune.search.planner import CellPlan, Planner
from sparsetune.search.study_view import StudyView
from sparsetune.storage.announcements import Announcement, ForecastLine, Remark, Retried
from sparsetune.storage.records import Ended, Granted, Note, Started
from sparsetune.study.questions.points import study_points
from sparsetune.study.questions.words import cell_words
from sparsetune.terminal import TextConsole
from sparsetune.units import format_duration, format_time_left

BAD_STATUSES = ("PRUNED", "DIVERGED", "FAILED", "INVALID")
NOTEBOOK_COLUMNS = 100
"""Columns of a line in a notebook."""
SUMMARY_SECONDS = 30
"""Without a terminal, one summary line this often."""


def _open_console(quiet: bool) -> TextConsole:
    """The console that a launch prints to: plain lines in a notebook."""
    if TextConsole().is_jupyter:
        # Its stream claims to be a terminal, where Rich would make each line an output of HTML.
        plain: dict[str, Any] = {"force_jupyter": False, "force_terminal": False}
        return TextConsole(quiet=quiet, width=NOTEBOOK_COLUMNS, **plain)
    return TextConsole(quiet=quiet)


class ProgressDisplay:
    """Follower that prints a launch.

    Args:
        planner: Knows the cells, their winners and what is still to run.
        path: The study's directory.
        quiet: Print nothing.
    """

    def __init__(self, planner: Planner, path: Place, *, quiet: bool = False) -> None:
        self.planner = planner
        self.view = StudyView(planner)
        self.path = path
        self.console = _open_console(quiet)
        self._started = time.monotonic()
        points = study_points(planner.study, [plan.cell for plan in planner.plans.values()])
        words = {point.cell: cell_words(point) for point in points}
        self._names = {name: f"{text[:1].upper()}{text[1:]}" for name, text in words.items()}
        self._waits_for = "starting Ray and workers"
        # The live table is drawn from a thread of its own.
        self._lock = threading.Lock()
        # What earlier launches trained tells nothing about the pace of this one.
        self._time_left = TimeLeft()
        # Cells that were decided before are no news.
        self._shown = {name for name, plan in planner.plans.items() if plan.searched}
        self._summary_due = self._started + SUMMARY_SECONDS
        self._live = Live(
            console=self.console, get_renderable=self._render, refresh_per_second=2, transient=True
        )

    def __enter__(self) -> ProgressDisplay:
        finished = sum(trial.finished for trial in self.view.trials())
        resumed = f"; {finished} trials finished before" if finished else ""
        trials = len(self.planner.at_last_look().expected_epochs())
        cells = f"{len(self.planner.plans)} cells, {trials} trials at most"
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
        self._waits_for = ""
        self.console.print(self.view.grid())
        self._print_line(self.summary())

    def _print_line(self, line: str) -> None:
        # A terminal's lines break between words; those of a log or a notebook stay whole.
        self.console.print(line, soft_wrap=not self.console.is_terminal)

    def announce(self, message: Announcement) -> None:
        """Show what a record or a message changes."""
        with self._lock:
            self._time_left.observe(message)
        match message:
            case ForecastLine():
                self._print_line(escape(message.note))
                return
            case Started():
                self._waits_for = "time left: measuring"
                self._print_note(message.note)
            case Note() | Remark():
                self._print_note(message.note)
            case Ended():
                self._print_end(message)
            case Granted():
                self._print_grant(message)
            case Retried():
                where = self._trial_text(message.trial_id)
                self._print_line(f"  [yellow]retried[/] {where}: {escape(message.error)}")
        self._print_winners()
        if not self.console.is_terminal and time.monotonic() > self._summary_due:
            self._summary_due = time.monotonic() + SUMMARY_SECONDS
            self._print_line(self.summary())

    def _print_note(self, note: str | None) -> None:
        """Print a note once."""
        if note and note not in self._shown:
            self._shown.add(note)
            self._print_line(f"  [yellow]note[/] {escape(note)}")

    def _print_grant(self, grant: Granted) -> None:
        cells = f"{len(grant.cells)} of {len(self.planner.plans)} cells"
        self._print_line(
            f"  look {grant.look}: {grant.report_seeds} more report seeds for {cells}, whose"
            " answers are not settled"
        )

    def _print_end(self, ended: Ended) -> None:
        where = self._trial_text(ended.trial_id)
        error = escape(str(ended.error))
        # What rungs stop is counted, as the cell's winner is named: most of a search is stopped.
        if ended.status not in ("COMPLETE", "PRUNED"):
            self._print_line(f"  [red]{ended.status}[/] {where}: {error}")

    def _trial_text(self, trial_id: str) -> str:
        use = self.planner.trials[trial_id].use
        return escape(f"{use.cell} {use.role} {trial_id}")

    def _print_winners(self) -> None:
        """Print the winner of every cell whose search has just ended."""
        for name, plan in self.planner.plans.items():
            if plan.searched and name not in self._shown:
                self._shown.add(name)
                self._print_line(f"  {escape(self._names[name])}: {self._winner_text(plan)}")

    def _winner_text(self, plan: CellPlan) -> str:
        if plan.winner is None:
            return "[red]no winner: every configuration diverged, failed or was stopped[/]"
        values = plan.winner.values(plan.cell.search).items()
        shown = [f"{path.rpartition('.')[2]} {_format_value(value)}" for path, value in values]
        tried = plan.configurations.values()
        stopped = sum(self.planner.judge.has_stopped(configuration) for configuration in tried)
        early = f", {stopped} of them stopped early" if stopped else ""
        return f"best {', '.join(shown)} of {len(tried)} configurations{early}"

    def _render(self) -> Group:
        return Group(self.view.grid(), Text(self.summary(), style="bold"))

    def summary(self) -> str:
        """One line: trials that are done, trials that ended badly, time elapsed and time left."""
        counts = self.view.counts()
        finished = sum(trial.finished for trial in self.view.trials())
        parts = [f"{finished} of {len(self.planner.expected_epochs())} trials"]
        bad = [status for status in BAD_STATUSES if counts[status]]
        parts += [f"{counts[status]} {status.lower()}" for status in bad]
        parts.append(f"{format_duration(time.monotonic() - self._started)} elapsed")
        return ", ".join([*parts, *self._left()])

    def _left(self) -> list[str]:
        """Time left, or what it waits for; empty where nothing is left or nothing runs any more."""
        left = self.view.trials_left()
        if not left:
            return []
        with self._lock:
            seconds = self._time_left.seconds(left, time.time())
        if seconds is not None:
            return [format_time_left(seconds)]
        return [self._waits_for] if self._waits_for else []


def _format_value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
