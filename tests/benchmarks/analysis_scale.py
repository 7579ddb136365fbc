"""What it costs to read studies of many trials: `analysis.load` from raw records and compacted, and
the report.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import analysis
from tests.benchmarks.many_trials import write_study
from tests.benchmarks.rows import Row

SIZES = ((100, 200), (300, 200), (1_000, 200), (10_000, 5), (100_000, 5))
"""Trials, and evaluations of each."""
LIMITS = {
    (1_000, 200): {"load, from the ledger": 3, "load, compacted": 1, "report": 10},
    (100_000, 5): {"load, from the ledger": 10},
}
"""Seconds at most."""
REPORTED = 10_000
"""Trials up to which the report is timed."""


def scale_rows(rounds: int) -> list[Row]:
    """Seconds of the clock that reading takes in each round, and the report's once."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        return [row for size in SIZES for row in _size_rows(Path(folder), *size, rounds)]


def _size_rows(folder: Path, trials: int, evaluations: int, rounds: int) -> Iterator[Row]:
    path = write_study(folder / f"{trials}-{evaluations}", trials, evaluations)
    written = sum(file.stat().st_size for file in (path / "ledger").iterdir())
    results = analysis.load(path)  # the first reading of all imports what it needs
    counts = f"{len(results.trials()):,} trials, {len(results.history()):,} evaluations"
    title = f"{counts}, {written / 2**20:,.0f} MiB"
    limits = LIMITS.get((trials, evaluations), {})

    def row(name: str, work: Callable[[], object], times: int, **notes: float) -> Row:
        return Row(
            title, name, [_clock(work) for _ in range(times)], at_most=limits.get(name), notes=notes
        )

    yield row("load, from the ledger", lambda: analysis.load(path), rounds)
    yield row("load and all tables", lambda: _tables(path), rounds)
    kept = row("load, and compact", lambda: analysis.load(path, compact=True), 1)
    size = sum(file.stat().st_size for file in (path / "tables").glob("*.parquet"))
    yield Row(title, kept.name, kept.seconds, notes={"mebibytes": size / 2**20})
    yield row("load, compacted", lambda: analysis.load(path), rounds)
    yield row("load and all tables, compacted", lambda: _tables(path), rounds)
    if trials <= REPORTED:
        seconds = _clock(lambda: analysis.report(path))
        page = os.stat(path / "report" / "index.html").st_size / 2**20
        yield Row(
            title, "report", [seconds], at_most=limits.get("report"), notes={"mebibytes": page}
        )


def _tables(path: Path) -> None:
    results = analysis.load(path)
    for name in ("trials", "history", "uses", "cells"):
        getattr(results, name)()


def _clock(work: Callable[[], object]) -> float:
    start = time.perf_counter()  # of the clock: Arrow has threads of its own
    work()
    return time.perf_counter() - start
