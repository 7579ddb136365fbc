"""State of a study from its directory alone, while it runs or after; takes no lock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sparsetune.costs.memory import peak_memory
from sparsetune.costs.pace import measure_pace, observe_launch
from sparsetune.imports import without_own_code
from sparsetune.paths import Place
from sparsetune.search.planner import Planner, build_planner
from sparsetune.search.sampling.points import quiet_optuna
from sparsetune.search.study_view import StudyView
from sparsetune.storage import RecordedStudy, StudyDirectory
from sparsetune.storage.ledger import paused_garbage_collection
from sparsetune.storage.records import Started
from sparsetune.storage.trial_state import fold_records
from sparsetune.terminal import TextConsole
from sparsetune.units import format_bytes, format_duration, format_time_left

SHOWN_ERRORS = 5
"""Errors and retries that are shown, the newest of each."""
UNKNOWN_LENGTHS = "how many of all epochs are done is unknown: only the study's own network tells"
WATCH_SECONDS = 2
"""Between two looks at a study."""
WATCH_SHARE = 5
"""A look that takes long comes less often: it takes at most one in so many seconds."""


@without_own_code()
def study_status(path: Place, *, salvage: bool = False) -> dict[str, Any]:
    """Cells, trials, pace, time left, errors, retries and peak memory, as plain JSON values.

    Args:
        path: The study's directory.
        salvage: True to read a damaged ledger up to its first damage.

    Raises:
        StudyDirectoryError: if ``path`` is not a study directory, or is damaged.
    """
    directory = StudyDirectory(path)
    with paused_garbage_collection():
        recorded = directory.recorded(salvage=salvage, logs=False)
        return _status_facts(directory, _view_of(recorded), recorded.notices)


@without_own_code()
def load_study_view(directory: StudyDirectory) -> StudyView:
    """The view of a study as its ledger stands."""
    return _view_of(directory.recorded(logs=False))


def _view_of(recorded: RecordedStudy) -> StudyView:
    quiet_optuna()
    trials = fold_records(recorded.records)
    planner = build_planner(recorded.study, trials, recorded.stretches, recorded.grants)
    return StudyView(planner)


def _status_facts(
    directory: StudyDirectory, view: StudyView, notices: Sequence[str]
) -> dict[str, Any]:
    epochs = view.planner.expected_epochs()
    left = view.trials_left()
    done, total = view.epochs(epochs)
    knows_lengths = view.planner.knows_lengths
    driver = directory.driver()
    # None yet where the driver has only just begun.
    launches = directory.launches() if driver else []
    launched = launches[-1]["time"] if launches else None
    now = time.time()
    speed = None
    seconds_left = None
    if launched is not None:
        speed = measure_pace(view.trials(), launched, now)
        if knows_lengths:
            seconds_left = observe_launch(view.trials(), launched).seconds(left, now)
    retries = _list_retries(view)
    peaks = peak_memory(view.trials())
    return {
        "study": view.planner.study.name,
        "directory": str(directory.path),
        "driver": driver,
        "trials": dict(view.counts()),
        "expected": len(epochs),
        "expected_at_most": _expected_at_most(view.planner) if left else len(epochs),
        # A study without trials has nothing left to do.
        "progress": (done / total if total else 1.0) if knows_lengths else None,
        "trials_per_hour": speed.trials_per_hour if speed else None,
        "epochs_per_minute": speed.epochs_per_minute if speed else None,
        "seconds_left": seconds_left,
        "cells": view.cells(),
        # Without a driver they are interrupted, and report nothing any more.
        "running": view.running(now) if driver else [],
        "errors": _newest_errors(view),
        "retried": len(retries),
        "retries": retries[-SHOWN_ERRORS:],
        "notices": list(notices),
        "memory": [{**peak.facts(), "advice": peak.advice} for peak in peaks],
    }


def _expected_at_most(planner: Planner) -> int:
    """Number of trials, with the seeds of every look that may follow."""
    return len(planner.at_last_look().expected_epochs())


def _newest_errors(view: StudyView) -> list[dict[str, Any]]:
    ended = [trial.ended for trial in view.trials() if trial.ended and trial.ended.error]
    newest = sorted(ended, key=lambda end: end.time)[-SHOWN_ERRORS:]
    return [{"trial_id": end.trial_id, "status": end.status, "error": end.error} for end in newest]


def _list_retries(view: StudyView) -> list[dict[str, Any]]:
    """Every attempt that followed a failed one, with what had failed; the newest last."""
    starts: list[Started] = []
    for trial in view.trials():
        # An attempt that only resumes an interrupted one has no reason.
        starts += [start for start in trial.starts if start.reason]
    retries = []
    for start in sorted(starts, key=lambda start: start.time):
        retry = {"trial_id": start.trial_id, "attempt": start.attempt, "reason": start.reason}
        retries.append(retry)
    return retries


def print_status(path: Place, *, watch: bool = False, salvage: bool = False) -> None:
    """Print the state for a person; to watch it is to print it again and again, until Ctrl-C."""
    directory = StudyDirectory(path)
    console = TextConsole()
    if not watch:
        console.print(render_status(directory, salvage))
        return
    with Live(render_status(directory, salvage), console=console, auto_refresh=False) as live:
        while True:
            # Reading a large ledger takes seconds, and the driver needs the processor as well.
            began = time.monotonic()
            live.update(render_status(directory, salvage), refresh=True)
            time.sleep(max(WATCH_SECONDS, WATCH_SHARE * (time.monotonic() - began)))


@without_own_code()
def render_status(directory: StudyDirectory, salvage: bool = False) -> Group:
    """The state as a person sees it."""
    with paused_garbage_collection():
        recorded = directory.recorded(salvage=salvage, logs=False)
        view = _view_of(recorded)
        return Group(*_status_lines(_status_facts(directory, view, recorded.notices), view))


def _status_lines(facts: dict[str, Any], view: StudyView) -> Iterator[RenderableType]:
    running = f"running ({escape(facts['driver'])})" if facts["driver"] else "not running"
    yield Text.from_markup(
        f"[bold]{escape(facts['study'])}[/], {running}, {escape(facts['directory'])}"
    )
    for notice in facts["notices"]:
        yield Text(f"  {notice}", "yellow")
    yield view.grid()
    counts = [f"{count} {name.lower()}" for name, count in sorted(facts["trials"].items())]
    counts_text = ", ".join(counts) or "no trial yet"
    done = UNKNOWN_LENGTHS
    if facts["progress"] is not None:
        done = f"{100 * facts['progress']:.0f} % of all epochs done"
    expected = f"{facts['expected']} expected"
    if facts["expected_at_most"] > facts["expected"]:
        expected += f", up to {facts['expected_at_most']} where answers stay open"
    yield f"{counts_text}; {expected}; {done}"
    if facts["epochs_per_minute"]:
        trials = f"{facts['trials_per_hour']:.3g} trials an hour"
        speed = f"{trials}, {facts['epochs_per_minute']:.3g} epochs a minute"
        seconds = facts["seconds_left"]
        left = "time left: measuring" if seconds is None else format_time_left(seconds)
        is_known = view.planner.knows_lengths
        yield f"{speed}; {left}" if is_known and facts["progress"] < 1 else speed
    if facts["running"]:
        yield _ages_text(facts["running"])
    for error in facts["errors"]:
        yield Text.assemble(
            "  ", (error["status"], "red"), f" {error['trial_id']}: {error['error']}"
        )
    if facts["retried"]:
        yield f"{facts['retried']} retried, the last of them after"
    for retry in facts["retries"]:
        yield Text.assemble("  ", ("retried", "yellow"), f" {retry['trial_id']}: {retry['reason']}")
    if facts["memory"]:
        yield _memory_table(facts["memory"])


def _ages_text(running: list[dict[str, Any]]) -> str:
    """Words for the age of the oldest of the last reports of running trials."""
    oldest = running[0]
    age = format_duration(oldest["age"])
    if len(running) == 1:
        return f"the running trial last reported {age} ago"
    return (
        f"{len(running)} running trials: the oldest of their last reports is {age} old,"
        f" of {oldest['trial_id']} in {oldest['cell']}"
    )


def _memory_table(rows: list[dict[str, Any]]) -> Table:
    """Peak memory by model and batch size."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("peak memory of", "batch size", "on", "at most", "trials", "suggests"):
        is_number = name in ("batch size", "at most", "trials")
        table.add_column(name, justify="right" if is_number else "left")
    for row in rows:
        peak = format_bytes(row["peak"])
        cells = (row["model"], str(row["batch_size"]), row["device"], peak, str(row["trials"]))
        # The advice is ours; names of models and devices may hold what rich takes for markup.
        table.add_row(*map(escape, cells), row["advice"])
    return table
