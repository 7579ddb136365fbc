"""What a study would run: cells, trials, schedules and cost. Needs no data, trains nothing."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sparsetune.optim import learning_rate
from sparsetune.preflight import check
from sparsetune.sparsity.plan import plan
from sparsetune.spec import TrialSpec
from sparsetune.study import Study
from sparsetune.tune.journal import Journal
from sparsetune.tune.planner import Planner
from sparsetune.tune.sampling import quiet_optuna

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def preview(study: Study) -> dict[str, Any]:
    """Cells with their schedules, and totals, as plain JSON values.

    Raises:
        DeclarationError: naming every problem of the declaration.
    """
    quiet_optuna()
    study = check(study, needs_data=False)
    planner = Planner(study, {}, Journal(None, study, study.cells()))
    outlook = planner.outlook()
    cells = [_cell(plan_.cell.name, plan_.cell.spec, list(plan_.cell.search)) for plan_ in planner.plans.values()]
    return {
        "study": study.name,
        "question": study.question,
        "trials_at_most": len(outlook),
        "epochs_at_most": sum(outlook.values()),
        "cells": cells,
    }


def _cell(name: str, spec: TrialSpec, searched: list[str]) -> dict[str, Any]:
    total, per_epoch = spec.total_steps(), spec.steps_per_epoch()
    changes = [
        {"step": c.step, "epoch": c.step / per_epoch, "phase": c.phase, "sparsity": c.sparsity, "action": c.action}
        for c in plan(spec)
    ]
    rates = [learning_rate(spec, min(step, total - 1), total) for step in range(0, total + 1, per_epoch)]
    return {
        "cell": name,
        "search": searched,
        "steps": total,
        "steps_per_epoch": per_epoch,
        "epochs": total / per_epoch,
        "mask_changes": changes,
        "learning_rate_at_epochs": rates,
    }


def show(study: Study) -> None:
    """Print the preview for a person."""
    facts = preview(study)
    console = Console(highlight=False)
    console.print(f"[bold]{escape(facts['study'])}[/] {escape(facts['question'])}")
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("cell", no_wrap=True)
    for column in ("epochs", "steps", "mask changes"):
        table.add_column(column, justify="right")
    for cell in facts["cells"]:
        changes = str(len(cell["mask_changes"]) - 1)
        table.add_row(escape(cell["cell"]), f"{cell['epochs']:g}", str(cell["steps"]), changes)
    console.print(table)
    for name, spec in _examples(study).items():
        console.print(
            f"\n{escape(name)}\n  learning rate  {_bars(_rates(spec))}\n  sparsity       {_bars(_sparsities(spec))}"
        )
    console.print()
    for axis in _axes(study):
        console.print(escape(f"searched in each cell: {axis}"))
    console.print(f"At most {facts['trials_at_most']} trials, {facts['epochs_at_most']:.0f} epochs of training in all.")


def _examples(study: Study) -> dict[str, TrialSpec]:
    """The last cell of each arm: its longest and sparsest."""
    return {cell.arm: cell.spec for cell in study.cells()}


def _axes(study: Study) -> list[str]:
    """Every search axis with what it ranges over; arms may search the same field in ranges of their own."""
    axes = [pair for cell in study.cells() for pair in cell.search.items()]
    return list(dict.fromkeys(f"{path}, {axis.kind.replace('_', ' ')} over {axis.ends()}" for path, axis in axes))


def _rates(spec: TrialSpec) -> list[float]:
    total = spec.total_steps()
    return [learning_rate(spec, i * (total - 1) // (WIDTH - 1), total) / spec.optim.lr for i in range(WIDTH)]


def _sparsities(spec: TrialSpec) -> list[float]:
    changes, total = plan(spec), spec.total_steps()
    at = [i * (total - 1) // (WIDTH - 1) for i in range(WIDTH)]
    return [[c.sparsity for c in changes if c.step <= step][-1] for step in at]


def _bars(values: list[float]) -> str:
    """Values in [0, 1] as a line of blocks."""
    return "".join(BARS[min(len(BARS) - 1, int(value * len(BARS)))] for value in values)
