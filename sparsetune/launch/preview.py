"""What a study would run: cells, trials, schedules and cost. Needs no data and trains nothing, unless asked to time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sparsetune.costs.configurations import train_flops
from sparsetune.costs.forecast import forecast_on_this_machine
from sparsetune.durations import round_half_up
from sparsetune.launch.preflight import require_runnable
from sparsetune.search.halving import HalvingRungs
from sparsetune.search.planner import Planner, build_planner
from sparsetune.search.plans import trial_from_recipe
from sparsetune.search.sampling import quiet_optuna
from sparsetune.sparsity.methods.changes import MaskChange, regrow_until
from sparsetune.sparsity.methods.plan import mask_schedule
from sparsetune.spec import TrialSpec
from sparsetune.spec.schedule import (
    decay_steps,
    image_resolution,
    learning_rate,
    rewind_steps,
    warmup_steps,
)
from sparsetune.study import Study
from sparsetune.study.cells import Cell
from sparsetune.train import evaluation_steps

BAR_CHARACTERS = "▁▂▃▄▅▆▇█"
WIDTH_CHARACTERS = 60


def preview_study(study: Study, *, probe: bool = False, **options: Any) -> dict[str, Any]:
    """Cells with their schedules, and totals, as plain JSON values.

    Args:
        study: The declaration.
        probe: Whether to time some steps of each kind of trial here, for a forecast of time and bytes.
        options: Of `sparsetune.costs.forecast.forecast_on_this_machine`, where it is asked for.

    Raises:
        DeclarationError: naming every problem of the declaration.
    """
    quiet_optuna()
    study = require_runnable(study, needs_data=False)
    planner = build_planner(study, {})
    outlook = planner.expected_epochs()
    cells = [
        _cell_facts(
            plan_.cell.name, trial_from_recipe(study, plan_.cell.spec), list(plan_.cell.search)
        )
        | _rung_facts(study, plan_.cell)
        for plan_ in planner.plans.values()
    ]
    return {
        "study": study.name,
        "question": study.question,
        "tried_first": list(study.known),
        "trials_at_most": len(outlook),
        "epochs_at_most": sum(outlook.values()),
        "cells": cells,
        "forecast": _forecast_facts(planner, **options) if probe else None,
    }


def _forecast_facts(planner: Planner, **options: Any) -> dict[str, Any]:
    expected, slots = forecast_on_this_machine(planner, **options)
    return expected.facts(slots) | {"summary": expected.lines(slots)}


def _cell_facts(name: str, spec: TrialSpec, searched: list[str]) -> dict[str, Any]:
    total = spec.total_steps()
    per_epoch = spec.steps_per_epoch()
    changes = mask_schedule(spec)
    rate = learning_rate(spec)
    epochs = [min(step, total - 1) for step in range(0, total + 1, per_epoch)]
    return {
        "cell": name,
        "search": searched,
        "batch_size": spec.task.batch_size,
        "steps": total,
        "steps_per_epoch": per_epoch,
        "epochs": total / per_epoch,
        "train_flops": train_flops(spec),
        "mask_changes": [_change_facts(change, per_epoch) for change in changes],
        "learning_rate_at_epochs": [rate(step) for step in epochs],
        "learning_rate_falls": decay_steps(spec),
        "learning_rate_rewinds": rewind_steps(spec),
        "warmup_steps": warmup_steps(spec),
        "resolution_at_epochs": [image_resolution(spec, step) for step in epochs]
        if _image_size_grows(spec)
        else None,
        "regrow": _regrow_facts(spec, changes)
        if any(change.action == "regrow" for change in changes)
        else None,
    }


def _change_facts(change: MaskChange, per_epoch: int) -> dict[str, Any]:
    return {
        "step": change.step,
        "epoch": change.step / per_epoch,
        "phase": change.phase,
        "sparsity": change.sparsity,
        "action": change.action,
        "exchanged": change.exchanged,
    }


def _regrow_facts(spec: TrialSpec, changes: list[MaskChange]) -> dict[str, Any]:
    """The steps of drop and grow, the one from which the mask stays, and training examples from one to the next."""
    every = spec.sparsity.regrow.every.steps(spec.clock())
    return {
        "updates": [change.step for change in changes if change.action == "regrow"],
        "until": regrow_until(spec),
        "samples_per_update": round_half_up(every * spec.task.batch_size),
    }


def _image_size_grows(spec: TrialSpec) -> bool:
    """Whether training images change their size."""
    return image_resolution(spec, 0) is not None


def _rung_facts(study: Study, cell: Cell) -> dict[str, Any]:
    """The evaluation of the cell's base at each rung, and whether it is at target for long enough to be compared."""
    if study.stopping is None or not cell.search:
        return {}
    spec = trial_from_recipe(study, cell.spec)
    rungs = HalvingRungs(study.stopping, study.objective, study.equal)
    evaluated = sorted(evaluation_steps(spec))
    steps = [
        evaluated[bisect_left(evaluated, rung * spec.total_steps() - 1e-9)]
        for rung in study.stopping.rungs
    ]
    compared = [
        rungs.planned_group(spec, step) is not None and step < spec.total_steps() for step in steps
    ]
    epochs = [step / spec.steps_per_epoch() for step in steps]
    return {
        "rungs": [{"epoch": at, "compared": is_} for at, is_ in zip(epochs, compared, strict=True)]
    }


def print_preview(study: Study, *, probe: bool = False, **options: Any) -> None:
    """Print the preview for a person; arguments as `preview_study`."""
    facts = preview_study(study, probe=probe, **options)
    console = Console(highlight=False)
    console.print(f"[bold]{escape(facts['study'])}[/] {escape(facts['question'])}")
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("cell", no_wrap=True)
    for column in (
        "epochs",
        "steps",
        "mask changes",
        *(["rungs (epochs)"] if study.stopping else []),
    ):
        table.add_column(column, justify="right")
    for cell in facts["cells"]:
        changes = str(len(cell["mask_changes"]) - 1)
        table.add_row(
            escape(cell["cell"]),
            f"{cell['epochs']:g}",
            str(cell["steps"]),
            changes,
            _rung_text(cell),
        )
    console.print(table)
    for name, spec in _example_cells(study).items():
        console.print("\n" + escape(name))
        for what, values in _schedule_curves(spec).items():
            console.print(f"  {what:<14} {_bar_text(values)}")
    console.print()
    for line in _stopping_lines(study):
        console.print(line, soft_wrap=True)
    for axis in _axis_lines(study):
        console.print(escape(f"searched in each cell: {axis}"))
    for point in study.known:
        console.print(
            escape(f"tried first: {', '.join(f'{path} {value}' for path, value in point.items())}")
        )
    for unit, limit in study.at_most.limits().items() if study.at_most else ():
        console.print(escape(f"each searched configuration costs at most {limit:g} {unit}"))
    if study.equal == "train_flops":
        line = "Sparse networks train on to the FLOPs of their dense twins, as far as densities are known before."
        console.print(line, soft_wrap=True)
    console.print(
        f"At most {facts['trials_at_most']} trials, {facts['epochs_at_most']:.0f} epochs of training in all."
    )
    for line in facts["forecast"]["summary"] if facts["forecast"] else ():
        console.print(escape(line), soft_wrap=True)


def _rung_text(cell: dict[str, Any]) -> str | None:
    """Epochs of the rungs, in brackets those where the base is not compared."""
    rungs = [(f"{rung['epoch']:g}", rung["compared"]) for rung in cell.get("rungs", ())]
    return ", ".join(epoch if compared else f"({epoch})" for epoch, compared in rungs) or None


def _stopping_lines(study: Study) -> Iterator[str]:
    if study.stopping:
        rule = study.stopping
        yield (
            f"At a rung the best 1/{rule.reduction:g} of the configurations go on. One is compared once it is at target"
            f" for {100 * rule.settle:g} % of training; ( ): the base is not."
        )


def _example_cells(study: Study) -> dict[str, TrialSpec]:
    """The last cell of each arm: its longest and sparsest."""
    return {cell.arm: trial_from_recipe(study, cell.spec) for cell in study.cells()}


def _axis_lines(study: Study) -> list[str]:
    """Every search axis with what it ranges over; arms may search the same field in ranges of their own."""
    axes = [pair for cell in study.cells() for pair in cell.search.items()]
    return list(
        dict.fromkeys(
            f"{path}, {axis.kind.replace('_', ' ')} over {axis.ends()}" for path, axis in axes
        )
    )


def _schedule_curves(spec: TrialSpec) -> dict[str, list[float]]:
    """What is drawn of a schedule, each in [0, 1] of its largest, at evenly spaced steps."""
    total = spec.total_steps()
    rate = learning_rate(spec)
    changes = mask_schedule(spec)
    steps = [i * (total - 1) // (WIDTH_CHARACTERS - 1) for i in range(WIDTH_CHARACTERS)]
    sizes = [image_resolution(spec, step) or 0 for step in steps]
    return {
        "learning rate": [rate(step) / spec.peak_lr() for step in steps],
        "sparsity": [
            [change.sparsity for change in changes if change.step <= step][-1] for step in steps
        ],
        **(
            {"resolution": [size / max(sizes) for size in sizes]} if _image_size_grows(spec) else {}
        ),
    }


def _bar_text(values: list[float]) -> str:
    """Values in [0, 1] as a line of blocks."""
    return "".join(
        BAR_CHARACTERS[min(len(BAR_CHARACTERS) - 1, int(value * len(BAR_CHARACTERS)))]
        for value in values
    )
