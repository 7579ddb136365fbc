"""What it costs to read studies of many trials: `analysis.load` from raw records and compacted,
the report, and `analysis.load_table` of a CSV file.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

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
TABLE_ROWS = 100_000
EVALUATIONS = 10
"""Rows of one run in the table."""
MAX_SECONDS_BEYOND_PANDAS = 2.0
"""Seconds that `load_table` may take more than `pandas.read_csv` of the same file."""


def scale_rows(rounds: int) -> list[Row]:
    """Seconds of the clock that reading takes in each round, and the report's once."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        rows = [row for size in SIZES for row in _size_rows(Path(folder), *size, rounds)]
        return [*rows, *table_rows(Path(folder), TABLE_ROWS, rounds)]


def table_rows(folder: Path, count: int, rounds: int) -> list[Row]:
    """Seconds of reading a CSV file of evaluations, by pandas alone and as results.

    Args:
        folder: Where the file is written.
        count: Rows of the file.
        rounds: Times that each is measured.
    """
    path = folder / "runs.csv"
    _evaluations(count).to_csv(path, index=False)
    columns = {"optim.lr": "rate", "sparsity.target": "sparsity"}
    title = f"a CSV file of {count:,} rows"
    read = [_clock(lambda: pd.read_csv(path)) for _ in range(rounds)]
    loaded = [_clock(lambda: analysis.load_table(path, columns)) for _ in range(rounds)]
    limit = MAX_SECONDS_BEYOND_PANDAS + sorted(read)[len(read) // 2]
    return [
        Row(title, "pandas.read_csv", read),
        Row(title, "load_table", loaded, "pandas.read_csv", at_most=limit),
    ]


def _evaluations(count: int) -> pd.DataFrame:
    """Rows of runs with ten evaluations each, five seeds of a configuration."""
    random = np.random.default_rng(0)
    runs = np.arange(count) // EVALUATIONS
    configurations = runs // 5
    recipes = configurations.max() + 1
    return pd.DataFrame(
        {
            "trial_id": [f"run-{run}" for run in runs],
            "epoch": np.arange(count) % EVALUATIONS + 1,
            "seed": runs % 5,
            "rate": random.uniform(0.01, 1.0, recipes)[configurations],
            "sparsity": random.choice([0.0, 0.9, 0.95], recipes)[configurations],
            "val_loss": random.random(count),
            "val_accuracy": random.random(count),
            "test_accuracy": random.random(count),
            "notes": "none",
        }
    )


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
