"""What sparse training and studies cost, in one table.

    uv run python -m tests.benchmarks [SECTION ...] [--quick] [--json FILE] [--device cuda]

On one thread, and with two workers where Ray is started. Sections, with their minutes on two idle
cores:

- ``steps`` (3): steps of training, against a plain loop and torch's own pruning; on a GPU, of
  ResNet-50 too.
- ``own_task`` (1): steps of a user's own task, against those of its built-in twin.
- ``masks`` (3): mask updates, against four other ways to find a threshold.
- ``trials`` (8): what a trial costs beyond its training, against plain Ray Tune scripts.
- ``resume`` (4): going on with 1,000 and 5,000 finished trials, and the driver's memory.
- ``ledger`` (1): durable appends, against a bare loop.
- ``analysis_scale`` (6): reading studies of up to 100,000 trials, from the ledger and compacted,
  and their reports.
- ``fisher`` (2): estimates of the Fisher, against a bare loop that only computes their gradients.
- ``text`` (4): tokens a second of an encoder's fine-tuning, against transformers' trainer; padding.
- ``data`` (8): images a second of each kind of data, against torchvision's pipelines; how long
  steps wait for them.
- ``followers`` (10): whole launches whose followers are slow or fail, against one without.
- ``landscapes`` (15): searches replayed over recorded studies: what they find, for how many epochs.
- ``suggestions`` (2): a suggestion of the Gaussian process, against Optuna's alone.
- ``sharing`` (2): trials an hour of 1, 4 and 16 processes that share a device; meant for GPUs.

``--quick`` takes a quarter of the rounds; a busy machine twice the time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks.analysis_scale import scale_rows
from tests.benchmarks.data_cost import folder_rows, resident_rows
from tests.benchmarks.data_wait import waiting_rows
from tests.benchmarks.device_sharing import sharing_rows
from tests.benchmarks.fisher import fisher_rows
from tests.benchmarks.follower_cost import follower_rows
from tests.benchmarks.landscapes import landscape_rows
from tests.benchmarks.ledger_cost import ledger_rows
from tests.benchmarks.mask_update import mask_rows
from tests.benchmarks.own_task import own_task_rows
from tests.benchmarks.resume_cost import resume_rows
from tests.benchmarks.rows import Row, quartiles
from tests.benchmarks.step_cost import LENET, RESNET18, RESNET50, step_rows
from tests.benchmarks.suggestion_cost import suggestion_rows
from tests.benchmarks.text_cost import text_rows
from tests.benchmarks.trial_cost import trial_rows

SETTINGS = [LENET, RESNET18]
GPU_SETTINGS = [RESNET50]
OWN_TASK_ROUNDS = 100
MASK_ROUNDS = 8
TRIALS = 100
RESUME_ROUNDS = 5
LEDGER_ROUNDS = 20
SCALE_ROUNDS = 8
FISHER_ROUNDS = 8
TEXT_ROUNDS = 12
DATA_ROUNDS = 8
SHARING_ROUNDS = 4
FOLLOWER_ROUNDS = 5
LANDSCAPE_REPLICATES = 8
SUGGESTION_ROUNDS = 8
QUICK = 4
"""By what the number of rounds is divided."""


def _steps(divisor: int, device: str) -> list[Row]:
    settings = SETTINGS if device == "cpu" else [*SETTINGS, *GPU_SETTINGS]
    return [
        row for setting in settings for row in step_rows(setting, setting.rounds // divisor, device)
    ]


def _data(divisor: int, device: str) -> list[Row]:
    rounds = DATA_ROUNDS // divisor
    return [
        *resident_rows(rounds, device),
        *folder_rows(rounds, device),
        *waiting_rows(rounds, device),
    ]


SECTIONS: dict[str, Callable[[int, str], list[Row]]] = {
    "steps": _steps,
    "own_task": lambda divisor, device: own_task_rows(OWN_TASK_ROUNDS // divisor, device),
    "masks": lambda divisor, device: mask_rows(MASK_ROUNDS // divisor, device),
    "trials": lambda divisor, device: trial_rows(TRIALS // divisor),
    "resume": lambda divisor, device: resume_rows(max(2, RESUME_ROUNDS // divisor)),
    "ledger": lambda divisor, device: ledger_rows(LEDGER_ROUNDS // divisor),
    "analysis_scale": lambda divisor, device: scale_rows(SCALE_ROUNDS // divisor),
    "fisher": lambda divisor, device: fisher_rows(FISHER_ROUNDS // divisor, device),
    "text": lambda divisor, device: text_rows(TEXT_ROUNDS // divisor, device),
    "data": _data,
    "followers": lambda divisor, device: follower_rows(FOLLOWER_ROUNDS // divisor),
    "landscapes": lambda divisor, device: landscape_rows(LANDSCAPE_REPLICATES // divisor),
    "suggestions": lambda divisor, device: suggestion_rows(SUGGESTION_ROUNDS // divisor),
    "sharing": lambda divisor, device: sharing_rows(SHARING_ROUNDS // divisor, device),
}


def main(given: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"{', '.join(SECTIONS)}; all by default"
    )
    parser.add_argument("--quick", action="store_true", help="a quarter of the rounds")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="where to write every time measured"
    )
    parser.add_argument("--device", default="cpu", help="as torch names it; cpu by default")
    arguments = parser.parse_args(given)
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"sections are {', '.join(SECTIONS)}, got {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    divisor = QUICK if arguments.quick else 1
    device = arguments.device
    rows = [
        row for name in arguments.sections or SECTIONS for row in SECTIONS[name](divisor, device)
    ]
    console = Console(width=150)  # files and pipes get the whole table too
    console.print(table(rows))
    if any("regret_points" in row.notes for row in rows):
        console.print(regret_table(rows))
    if arguments.json:
        content = {"machine": machine(device), "rows": [row.as_json(rows) for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


def machine(device: str) -> dict[str, str | int]:
    """What the times are of."""
    name = (
        platform.processor() or platform.machine()
        if device == "cpu"
        else torch.cuda.get_device_name()
    )
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    return {
        "device": name,
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        **versions,
    }


def table(rows: list[Row]) -> Table:
    """Medians, with quartiles beside them."""
    made = Table(title="Medians of rounds, and their quartiles")
    for column in (
        "",
        "ms",
        "quartiles",
        "ratio",
        "quartiles",
        "limit",
        "mean ms",
        "memory",
        "rate",
    ):
        made.add_column(column, justify="right" if made.columns else "left", no_wrap=True)
    for place, row in enumerate(rows):
        if place == 0 or rows[place - 1].table != row.table:
            made.add_section()
            made.add_row(f"[bold]{row.table}[/bold]")
        made.add_row(*_cells(row, row.ratios(rows)))
    return made


def regret_table(rows: list[Row]) -> Table:
    """What replayed searches find, and for how many epochs."""
    made = Table(title="Regret against whole training, in points; 95 % intervals")
    made.add_column("")
    for column in ("epochs", "regret", "95 %", "optimism", "failed"):
        made.add_column(column, justify="right", no_wrap=True)
    last = ""
    for row in rows:
        if "regret_points" not in row.notes:
            continue
        if row.table != last:
            made.add_section()
            deviation = row.notes["seed_sd_points"]
            made.add_row(f"[bold]{row.table}: a seed's sd is {deviation:.2f} points[/bold]")
            last = row.table
        notes = row.notes
        made.add_row(
            f"  {row.name}",
            f"{notes['epochs_fraction']:.3f}",
            f"{notes['regret_points']:.2f}",
            f"{notes['regret_low']:.2f} to {notes['regret_high']:.2f}",
            f"{notes['optimism_points']:.2f}",
            f"{notes['failed_fraction']:.1%}",
        )
    return made


def _cells(row: Row, ratios: list[float]) -> list[str]:
    mean = row.notes.get("mean_seconds")
    return [
        f"  {row.name}",
        *_spread([1000 * seconds for seconds in row.seconds]),
        *(_spread(ratios) if ratios else ("", "")),
        _limit(row),
        "" if mean is None else _short(1000 * mean),
        _memory(row),
        _rate(row),
    ]


def _limit(row: Row) -> str:
    """Of the ratio, or of the time."""
    if row.at_most is not None:
        return f"{1000 * row.at_most:,.0f} ms"
    return "" if row.limit is None else f"{row.limit:.2f}"


def _memory(row: Row) -> str:
    """Per weight, or what a process has grown by; of texts the share that is padding."""
    if (padding := row.notes.get("padding")) is not None:
        return f"{padding:.0%} padding"
    if (peak := row.notes.get("peak_bytes_per_weight")) is not None:
        return f"{peak:.1f} B/weight"
    grown = row.notes.get("mebibytes")
    return "" if grown is None else f"{grown:,.0f} MiB"


def _rate(row: Row) -> str:
    """Of what the table counts."""
    rates = {unit: row.notes.get(f"per_{unit}") for unit in ("second", "hour")}
    return next((f"{rate:,.0f} /{unit[0]}" for unit, rate in rates.items() if rate is not None), "")


def _spread(values: list[float]) -> tuple[str, str]:
    low, middle, high = quartiles(values)
    return _short(middle), f"{_short(low)}-{_short(high)}"


def _short(value: float) -> str:
    """Three digits or so."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    main()
