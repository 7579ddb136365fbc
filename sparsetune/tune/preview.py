"""What a study would run: cells, trials, schedules and cost. Needs no data and trains nothing, unless asked to time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sparsetune.cells import Cell
from sparsetune.preflight import check
from sparsetune.schedule import learning_rate
from sparsetune.sparsity.plan import plan
from sparsetune.spec import TrialSpec
from sparsetune.study import Study
from sparsetune.train import evaluation_steps
from sparsetune.tune.forecast import forecast_here
from sparsetune.tune.planner import Planner, planner_of
from sparsetune.tune.sampling import quiet_optuna
from sparsetune.tune.scheduler import Rungs

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def preview(study: Study, *, probe: bool = False, **options: Any) -> dict[str, Any]:
    """Cells with their schedules, and totals, as plain JSON values.

    Args:
        study: The declaration.
        probe: Whether to time some steps of each kind of trial here, for a forecast of time and bytes.
        options: Of `sparsetune.tune.forecast.forecast_here`, where it is asked for.

    Raises:
        DeclarationError: naming every problem of the declaration.
    """
    quiet_optuna()
    study = check(study, needs_data=False)
    planner = planner_of(study, {})
    outlook = planner.outlook()
    cells = [
        _cell(plan_.cell.name, plan_.cell.spec, list(plan_.cell.search)) | _rungs(study, plan_.cell)
        for plan_ in planner.plans.values()
    ]
    return {
        "study": study.name,
        "question": study.question,
        "tried_first": list(study.known),
        "trials_at_most": len(outlook),
        "epochs_at_most": sum(outlook.values()),
        "cells": cells,
        "forecast": _forecast(planner, **options) if probe else None,
    }


def _forecast(planner: Planner, **options: Any) -> dict[str, Any]:
    expected, slots = forecast_here(planner, **options)
    return expected.facts(slots) | {"summary": expected.lines(slots)}


def _cell(name: str, spec: TrialSpec, searched: list[str]) -> dict[str, Any]:
    total, per_epoch = spec.total_steps(), spec.steps_per_epoch()
    changes = [
        {"step": c.step, "epoch": c.step / per_epoch, "phase": c.phase, "sparsity": c.sparsity, "action": c.action}
        for c in plan(spec)
    ]
    rate = learning_rate(spec)
    rates = [rate(min(step, total - 1)) for step in range(0, total + 1, per_epoch)]
    return {
        "cell": name,
        "search": searched,
        "steps": total,
        "steps_per_epoch": per_epoch,
        "epochs": total / per_epoch,
        "mask_changes": changes,
        "learning_rate_at_epochs": rates,
    }


def _rungs(study: Study, cell: Cell) -> dict[str, Any]:
    """The evaluation of the cell's base at each rung, and whether it is at target for long enough to be compared."""
    if study.stopping is None or not cell.search:
        return {}
    spec, rungs, evaluated = cell.spec, Rungs(study.stopping, study.objective), sorted(evaluation_steps(cell.spec))
    steps = [evaluated[bisect_left(evaluated, rung * spec.total_steps() - 1e-9)] for rung in study.stopping.rungs]
    compared = [rungs.planned(spec, step) is not None and step < spec.total_steps() for step in steps]
    epochs = [step / spec.steps_per_epoch() for step in steps]
    return {"rungs": [{"epoch": at, "compared": is_} for at, is_ in zip(epochs, compared, strict=True)]}


def show(study: Study, *, probe: bool = False, **options: Any) -> None:
    """Print the preview for a person; arguments as `preview`."""
    facts = preview(study, probe=probe, **options)
    console = Console(highlight=False)
    console.print(f"[bold]{escape(facts['study'])}[/] {escape(facts['question'])}")
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("cell", no_wrap=True)
    for column in ("epochs", "steps", "mask changes", *(["rungs (epochs)"] if study.stopping else [])):
        table.add_column(column, justify="right")
    for cell in facts["cells"]:
        changes = str(len(cell["mask_changes"]) - 1)
        table.add_row(escape(cell["cell"]), f"{cell['epochs']:g}", str(cell["steps"]), changes, _rung_text(cell))
    console.print(table)
    for name, spec in _examples(study).items():
        console.print(
            f"\n{escape(name)}\n  learning rate  {_bars(_rates(spec))}\n  sparsity       {_bars(_sparsities(spec))}"
        )
    console.print()
    for line in _stopping(study):
        console.print(line, soft_wrap=True)
    for axis in _axes(study):
        console.print(escape(f"searched in each cell: {axis}"))
    for point in study.known:
        console.print(escape(f"tried first: {', '.join(f'{path} {value}' for path, value in point.items())}"))
    for unit, limit in study.at_most.limits().items() if study.at_most else ():
        console.print(escape(f"each searched configuration costs at most {limit:g} {unit}"))
    console.print(f"At most {facts['trials_at_most']} trials, {facts['epochs_at_most']:.0f} epochs of training in all.")
    for line in facts["forecast"]["summary"] if facts["forecast"] else ():
        console.print(escape(line), soft_wrap=True)


def _rung_text(cell: dict[str, Any]) -> str | None:
    """Epochs of the rungs, in brackets those where the base is not compared."""
    rungs = [(f"{rung['epoch']:g}", rung["compared"]) for rung in cell.get("rungs", ())]
    return ", ".join(epoch if compared else f"({epoch})" for epoch, compared in rungs) or None


def _stopping(study: Study) -> Iterator[str]:
    if study.stopping:
        rule = study.stopping
        yield (
            f"At a rung the best 1/{rule.reduction:g} of the configurations go on. One is compared once it is at target"
            f" for {100 * rule.settle:g} % of training; ( ): the base is not."
        )


def _examples(study: Study) -> dict[str, TrialSpec]:
    """The last cell of each arm: its longest and sparsest."""
    return {cell.arm: cell.spec for cell in study.cells()}


def _axes(study: Study) -> list[str]:
    """Every search axis with what it ranges over; arms may search the same field in ranges of their own."""
    axes = [pair for cell in study.cells() for pair in cell.search.items()]
    return list(dict.fromkeys(f"{path}, {axis.kind.replace('_', ' ')} over {axis.ends()}" for path, axis in axes))


def _rates(spec: TrialSpec) -> list[float]:
    total, rate = spec.total_steps(), learning_rate(spec)
    return [rate(i * (total - 1) // (WIDTH - 1)) / spec.peak_lr() for i in range(WIDTH)]


def _sparsities(spec: TrialSpec) -> list[float]:
    changes, total = plan(spec), spec.total_steps()
    at = [i * (total - 1) // (WIDTH - 1) for i in range(WIDTH)]
    return [[c.sparsity for c in changes if c.step <= step][-1] for step in at]


def _bars(values: list[float]) -> str:
    """Values in [0, 1] as a line of blocks."""
    return "".join(BARS[min(len(BARS) - 1, int(value * len(BARS)))] for value in values)
