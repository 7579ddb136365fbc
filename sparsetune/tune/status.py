"""The state of a study from its directory alone, while it runs or after; takes no lock and trains nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from sparsetune import ledger
from sparsetune.store import StudyDirectory
from sparsetune.tune.board import Board, clock
from sparsetune.tune.journal import Journal
from sparsetune.tune.planner import Planner
from sparsetune.tune.sampling import quiet_optuna


def status(path: Path) -> dict[str, Any]:
    """Cells, trials by status, rate, time left and the last errors, as plain JSON values.

    Raises:
        StudyDirectoryError: if ``path`` is not a study directory.
    """
    directory = StudyDirectory(path)
    return _facts(directory, read_board(directory))


def _facts(directory: StudyDirectory, board: Board) -> dict[str, Any]:
    done, total = board.epochs()
    errors = [trial.ended for trial in board.trials() if trial.ended and trial.ended.get("error")]
    facts = {
        "study": board.planner.study.name,
        "directory": str(directory.path),
        "driver": directory.driver(),
        "trials": dict(board.counts()),
        "expected": len(board.planner.outlook()),
        "progress": done / total if total else 1.0,
        "cells": board.cells(),
        "errors": [{"trial_id": e["trial_id"], "status": e["status"], "error": e["error"]} for e in errors[-5:]],
    }
    return facts | {"seconds_left": _seconds_left(directory, board) if facts["driver"] else None}


def read_board(directory: StudyDirectory) -> Board:
    """The board of a study as its ledger stands."""
    quiet_optuna()
    records = ledger.read(directory.ledger)
    study = directory.study().extended(records)
    return Board(Planner(study, ledger.fold(records), Journal(None, study, study.cells())))


def _seconds_left(directory: StudyDirectory, board: Board) -> float | None:
    """From the epochs reported since the last launch."""
    launches = directory.launches()
    if not launches:  # the driver has only just begun
        return None
    since = launches[-1]["time"]
    rows = [max(t.reports.values(), key=lambda r: r["step"]) for t in board.trials() if t.reports]
    recent = sum(row["epoch"] for row in rows if row["time"] > since)
    done, total = board.epochs()
    return (total - done) * (time.time() - since) / recent if recent else None


def show(path: Path) -> None:
    """Print the state for a person."""
    directory = StudyDirectory(path)
    board = read_board(directory)
    facts = _facts(directory, board)
    console = Console(highlight=False)
    running = f"running ({facts['driver']})" if facts["driver"] else "not running"
    console.print(f"[bold]{escape(facts['study'])}[/], {running}, {facts['directory']}")
    console.print(board.grid())
    counts = ", ".join(f"{count} {name.lower()}" for name, count in sorted(facts["trials"].items())) or "no trial yet"
    left = f", about {clock(facts['seconds_left'])} left" if facts["seconds_left"] else ""
    console.print(f"{counts}; {facts['expected']} expected; {100 * facts['progress']:.0f} % of all epochs done{left}")
    for error in facts["errors"]:
        console.print(f"  [red]{error['status']}[/] {error['trial_id']}: {escape(str(error['error']))}")
