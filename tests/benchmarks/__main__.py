"""What sparse training costs: steps of training and mask updates, in one table.

    uv run python -m tests.benchmarks [--quick] [--json FILE] [--device cuda]

On one thread. The whole takes about six minutes, ``--quick`` less than two; twice that on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks.mask_update import mask_rows
from tests.benchmarks.rows import Row, quartiles
from tests.benchmarks.step_cost import LENET, RESNET18, step_rows

SETTINGS = [LENET, RESNET18]
MASK_ROUNDS = 8
QUICK = 4
"""By what the number of rounds is divided."""


def main(given: list[str] | None = None) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write every time measured")
    parser.add_argument("--device", default="cpu", help="as torch names it; cpu by default")
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    divisor, device = QUICK if arguments.quick else 1, arguments.device
    rows: list[Row] = []
    for setting in SETTINGS:
        rows += step_rows(setting, setting.rounds // divisor, device)
    rows += mask_rows(MASK_ROUNDS // divisor, device)
    Console(width=140).print(table(rows))  # files and pipes get the whole table too
    if arguments.json:
        content = {"machine": machine(device), "rows": [row.as_json(rows) for row in rows]}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


def machine(device: str) -> dict[str, str | int]:
    """What the times are of."""
    name = platform.processor() or platform.machine() if device == "cpu" else torch.cuda.get_device_name()
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    return {"device": name, "cores": os.cpu_count() or 1, "threads": torch.get_num_threads(), **versions}


def table(rows: list[Row]) -> Table:
    """Medians, with quartiles beside them."""
    made = Table(title="Medians of rounds, and their quartiles")
    for column in ("", "ms", "quartiles", "ratio", "quartiles", "limit", "mean ms", "peak B/weight"):
        made.add_column(column, justify="right" if made.columns else "left", no_wrap=True)
    for place, row in enumerate(rows):
        if place == 0 or rows[place - 1].table != row.table:
            made.add_section()
            made.add_row(f"[bold]{row.table}[/bold]")
        made.add_row(*_cells(row, row.ratios(rows)))
    return made


def _cells(row: Row, ratios: list[float]) -> list[str]:
    mean, peak = row.notes.get("mean_seconds"), row.notes.get("peak_bytes_per_weight")
    return [
        f"  {row.name}",
        *_spread([1000 * seconds for seconds in row.seconds]),
        *(_spread(ratios) if ratios else ("", "")),
        "" if row.limit is None else f"{row.limit:.2f}",
        "" if mean is None else _short(1000 * mean),
        "" if peak is None else f"{peak:.1f}",
    ]


def _spread(values: list[float]) -> tuple[str, str]:
    low, middle, high = quartiles(values)
    return _short(middle), f"{_short(low)}-{_short(high)}"


def _short(value: float) -> str:
    """Three digits or so."""
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    main()
