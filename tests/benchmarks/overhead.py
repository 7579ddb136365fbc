"""What a trial costs beyond its training: 50 one-epoch digits trials through Tune, and as plain calls of `train`.

    uv run python -m tests.benchmarks.overhead

Both in one run, so that the machine's speed cancels. Start-up (Ray, each worker's import of torch) is told apart.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from sparsetune import LogUniform, ScheduleSpec, Study, TrialSpec, ledger
from sparsetune.train import train

TRIALS = 50


def study() -> Study:
    """49 searched configurations of one dense cell and one report trial."""
    return Study(
        name="overhead",
        base=TrialSpec(schedule=ScheduleSpec(epochs=1)),
        search={"optim.lr": LogUniform(0.01, 0.5)},
        configurations_per_cell=TRIALS - 1,
        report_seeds=1,
    )


def through_tune(folder: Path) -> tuple[float, float, int, list[TrialSpec]]:
    """Seconds to the last worker's first trial, seconds a trial in a warm worker, workers, and what ran."""
    from sparsetune.tune.launch import Options, launch

    began = time.time()
    records = ledger.read(launch(study(), Options(storage=folder, quiet=True)).directory / "ledger")
    first: dict[int, float] = {}
    for record in records:
        if record["type"] == "started":
            first.setdefault(record["pid"], record["time"])
    warm = max(first.values())
    ends = [record["time"] for record in records if record["type"] == "ended" and record["time"] > warm]
    per_trial = (max(ends) - warm) * len(first) / len(ends)
    specs = [TrialSpec.model_validate(record["spec"]) for record in records if record["type"] == "proposed"]
    return warm - began, per_trial, len(first), specs


def bare(specs: list[TrialSpec]) -> float:
    """Seconds a trial as plain calls in this process, on one thread, after one call to warm up."""
    torch.set_num_threads(1)
    train(specs[0])
    began = time.perf_counter()
    for spec in specs:
        train(spec)
    return (time.perf_counter() - began) / len(specs)


def main() -> None:
    """Measure both and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        startup, per_trial, workers, specs = through_tune(Path(folder))
    alone = bare(specs)
    table = Table(title=f"{len(specs)} one-epoch digits trials, {workers} workers")
    for column in ("", "seconds a trial", "of `train` alone"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("`train` in one bare process", f"{alone:.3f}", "1.00")
    table.add_row("through Tune, of one worker's time", f"{per_trial:.3f}", f"{per_trial / alone:.2f}")
    table.add_row("  beyond training", f"{per_trial - alone:.3f}", "")
    Console().print(table)
    Console().print(f"Start-up to the last worker's first trial: {startup:.1f} s")


if __name__ == "__main__":
    main()
