"""Preview of a study: cells, trials, schedules and cost.

Needs no data and trains nothing, unless it is asked to time some steps.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from sparsetune.costs.training_flops import train_flops
from sparsetune.durations import round_half_up
from sparsetune.launch.local_forecast import forecast_on_this_machine
from sparsetune.launch.preflight import check_study
from sparsetune.launch.question_preview import question_facts, question_lines
from sparsetune.search.expected_regret import RECORDED_SEARCHES, regret_sentence
from sparsetune.search.planner import Planner, build_planner
from sparsetune.search.plans import trial_from_recipe
from sparsetune.search.sampling.points import quiet_optuna
from sparsetune.search.stopping.halving import HalvingRungs
from sparsetune.sparsity.plans.changes import MaskChange
from sparsetune.sparsity.plans.exchanges import regrow_until
from sparsetune.sparsity.plans.schedule import mask_schedule
from sparsetune.spec import TrialSpec
from sparsetune.spec.rates import (
    decay_steps,
    image_resolution,
    learning_rate,
    rewind_steps,
    warmup_steps,
)
from sparsetune.study import Study
from sparsetune.study.budget import trained_epochs
from sparsetune.study.cells import Cell, is_searched
from sparsetune.study.rules.budgets import expected_cost
from sparsetune.study.samplers import GP, startup_points
from sparsetune.terminal import TextConsole
from sparsetune.train import evaluation_steps

BAR_CHARACTERS = "▁▂▃▄▅▆▇█"
WIDTH_CHARACTERS = 60
STEP_TOLERANCE = 1e-9
"""A rung at 0.7 of 10 steps lies at step 7, whatever the product's last digit."""


def preview_study(
    study: Study, *, probe: bool = False, data_root: Path | None = None, **options: Any
) -> dict[str, Any]:
    """Cells with their schedules, and totals, as plain JSON values.

    Args:
        study: The declaration.
        data_root: Folder that data sets lie in, which a task of a user's own may read.
        probe: Whether to time some steps of each kind of trial here, for a forecast of time and
            bytes.
        options: Arguments of `forecast_on_this_machine`, which times them.

    Raises:
        DeclarationError: naming every problem of the declaration.
    """
    quiet_optuna()
    checked = check_study(study, needs_data=False, data_root=data_root)
    study = checked.study
    # No trial has run yet: what is left is the whole study, with the seeds of every look.
    planner = build_planner(study, {}).at_last_look()
    expected_epochs = planner.expected_epochs()
    cells = [_cell_facts(study, plan.cell) for plan in planner.plans.values()]
    return {
        "study": study.name,
        "question": study.question,
        "questions": question_facts(study),
        "tried_first": list(study.known),
        "trials_at_most": len(expected_epochs),
        "epochs_at_most": sum(expected_epochs.values()),
        "budget": _budget_facts(study),
        "expected_regret": _regret_facts(study),
        "cells": cells,
        "warnings": [str(found) for found in checked.warnings],
        "unresolved": any(cell["steps"] is None for cell in cells),
        "forecast": _forecast_facts(planner, data_root=data_root, **options) if probe else None,
    }


def _budget_facts(study: Study) -> dict[str, Any] | None:
    """The budget of the whole study with the counts that it pays for; None without one."""
    if study.budget is None:
        return None
    return {
        "limit": study.budget.limits()[study.equal],
        "unit": study.equal,
        "configurations_per_cell": study.configurations_per_cell,
        "report_seeds": study.report_seeds,
        "expected": expected_cost(study, study.cells()),
    }


def _regret_facts(study: Study) -> list[dict[str, Any]] | None:
    """Regret of default searches of several sizes; None for a search of another kind."""
    is_default = regret_sentence(study) is not None
    return [recorded._asdict() for recorded in RECORDED_SEARCHES] if is_default else None


def _forecast_facts(planner: Planner, **options: Any) -> dict[str, Any]:
    expected, slots = forecast_on_this_machine(planner.remaining_work(), **options)
    return expected.facts(slots) | {"summary": expected.lines(slots)}


def _cell_facts(study: Study, cell: Cell) -> dict[str, Any]:
    if not cell.spec.task.is_resolved:
        return _unresolved_facts(cell)
    spec = trial_from_recipe(study, cell.spec)
    total = spec.total_steps()
    per_epoch = spec.steps_per_epoch()
    changes = mask_schedule(spec)
    rate = learning_rate(spec)
    rates = []
    sizes = []
    for epoch_start in range(0, total + 1, per_epoch):
        # The end of training has no step of its own: its last step stands for it.
        step = min(epoch_start, total - 1)
        rates.append(rate(step))
        sizes.append(image_resolution(spec, step))
    return {
        "cell": cell.name,
        "search": list(cell.search),
        "batch_size": spec.task.batch_size,
        "steps": total,
        "steps_per_epoch": per_epoch,
        "epochs": total / per_epoch,
        "train_flops": train_flops(spec),
        "mask_changes": [_change_facts(change, per_epoch) for change in changes],
        "learning_rate_at_epochs": rates,
        "learning_rate_falls": decay_steps(spec),
        "learning_rate_rewinds": rewind_steps(spec),
        "warmup_steps": warmup_steps(spec),
        "resolution_at_epochs": sizes if _image_size_grows(spec) else None,
        "regrow": _regrow_facts(spec, changes),
        **_rung_facts(study, cell),
    }


def _unresolved_facts(cell: Cell) -> dict[str, Any]:
    """Facts of a cell without its data: steps, schedules and cost follow from their sizes."""
    return {
        "cell": cell.name,
        "search": list(cell.search),
        "batch_size": cell.spec.task.batch_size,
        "steps": None,
        "epochs": trained_epochs(cell.spec),
        "mask_changes": [],
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


def _regrow_facts(spec: TrialSpec, changes: list[MaskChange]) -> dict[str, Any] | None:
    """Steps of drop and grow, the step from which the mask stays, and examples between updates.

    None for a method that never regrows.
    """
    updates = [change.step for change in changes if change.action == "regrow"]
    if not updates:
        return None
    every = spec.sparsity.regrow.every.steps(spec.clock())
    return {
        "updates": updates,
        "until": regrow_until(spec),
        "samples_per_update": round_half_up(every * spec.task.batch_size),
    }


def _image_size_grows(spec: TrialSpec) -> bool:
    """True if training images change their size during training."""
    # At any step: the size is None throughout where it does not change.
    return image_resolution(spec, 0) is not None


def _rung_facts(study: Study, cell: Cell) -> dict[str, Any]:
    """Epoch of each rung in the cell's base recipe, and whether it is compared there.

    A trial is compared once it has been at its target for long enough. Empty without stopping.
    """
    if study.stopping is None or not is_searched(study, cell):
        return {}
    spec = trial_from_recipe(study, cell.spec)
    rungs = HalvingRungs(study.stopping, study.objective, study.equal)
    evaluated = sorted(evaluation_steps(spec))
    facts = []
    for rung in study.stopping.rungs:
        # A rung is reached at the first evaluation that is not before it.
        first = bisect_left(evaluated, rung * spec.total_steps() - STEP_TOLERANCE)
        step = evaluated[first]
        compared = rungs.planned_group(spec, step) is not None and step < spec.total_steps()
        facts.append({"epoch": step / spec.steps_per_epoch(), "compared": compared})
    return {"rungs": facts}


def print_preview(
    study: Study, *, probe: bool = False, data_root: Path | None = None, **options: Any
) -> None:
    """Print the preview for a person; arguments as of `preview_study`."""
    study = check_study(study, needs_data=False, data_root=data_root).study
    facts = preview_study(study, probe=probe, data_root=data_root, **options)
    console = TextConsole()
    console.print(f"[bold]{escape(facts['study'])}[/] {escape(facts['question'])}")
    console.print(_cell_table(study, facts["cells"]))
    if facts["unresolved"]:
        console.print(
            "\nunresolved: steps, schedules and cost follow from the data, which could not be read"
            " here; set --data-root, or launch the study to see why",
            soft_wrap=True,
        )
    for name, spec in _example_cells(study).items():
        console.print("\n" + escape(name))
        for curve, values in _schedule_curves(spec).items():
            console.print(f"  {curve:<14} {_bar_text(values)}")
    console.print()
    for line in _stopping_lines(study):
        console.print(line, soft_wrap=True)
    for line in _search_lines(study):
        console.print(escape(line), soft_wrap=True)
    if study.equal == "train_flops":
        line = (
            "Sparse networks train on to the FLOPs of their dense twins, as far as densities are"
            " known before."
        )
        console.print(line, soft_wrap=True)
    for line in facts["warnings"]:
        console.print(f"warning: {escape(line)}", soft_wrap=True)
    for line in question_lines(facts["questions"]):
        console.print(escape(line), soft_wrap=True)
    if facts["budget"]:
        console.print(_budget_line(facts["budget"]), soft_wrap=True)
    trials = f"At most {facts['trials_at_most']} trials"
    console.print(f"{trials}, {facts['epochs_at_most']:.0f} epochs of training in all.")
    if facts["forecast"]:
        for line in facts["forecast"]["summary"]:
            console.print(escape(line), soft_wrap=True)


def _budget_line(budget: dict[str, Any]) -> str:
    unit = budget["unit"].replace("_", " ")
    return (
        f"budget=Budget({budget['unit']}={budget['limit']:g}) pays for"
        f" {budget['configurations_per_cell']} configurations in each cell that searches and"
        f" {budget['report_seeds']} report seeds: about {budget['expected']:,.0f} {unit} in all."
    )


def _cell_table(study: Study, cells: list[dict[str, Any]]) -> Table:
    """Table with a row per cell: epochs, steps, changes of the mask, rungs where it stops early."""
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("cell", no_wrap=True)
    columns = ["epochs", "steps", "mask changes"]
    if study.stopping:
        columns.append("rungs (epochs)")
    for column in columns:
        table.add_column(column, justify="right")
    for cell in cells:
        # The first change sets the mask that training starts with.
        changes = len(cell["mask_changes"]) - 1
        epochs = f"{cell['epochs']:g}"
        counts = ["unresolved", ""] if cell["steps"] is None else [str(cell["steps"]), str(changes)]
        row = [escape(cell["cell"]), epochs, *counts, _rung_text(cell)]
        table.add_row(*row)
    return table


def _search_lines(study: Study) -> Iterator[str]:
    for axis in _axis_lines(study):
        yield f"searched in each cell: {axis}"
    if isinstance(study.sampler, GP):
        yield _process_line(study)
    if sentence := regret_sentence(study):
        yield sentence
    for point in study.known:
        values = [f"{path} {value}" for path, value in point.items()]
        yield f"tried first: {', '.join(values)}"
    if study.at_most:
        for unit, limit in study.at_most.limits().items():
            yield f"each searched configuration costs at most {limit:g} {unit}"


def _process_line(study: Study) -> str:
    """How many points a Gaussian process chooses in each cell."""
    assert isinstance(study.sampler, GP)
    points = study.configurations_per_cell
    shared = startup_points(study.sampler, points)
    if shared >= points:
        return "sampled in each cell: points of a Sobol sequence, the same in every cell"
    return (
        f"sampled in each cell: {shared} points of a Sobol sequence, the same in every cell, then"
        " those that a Gaussian process expects to be best"
    )


def _rung_text(cell: dict[str, Any]) -> str | None:
    """Epochs of the rungs, in brackets where the base is not compared; None without rungs."""
    texts = []
    for rung in cell.get("rungs", ()):
        epoch = f"{rung['epoch']:g}"
        texts.append(epoch if rung["compared"] else f"({epoch})")
    return ", ".join(texts) or None


def _stopping_lines(study: Study) -> Iterator[str]:
    if study.stopping:
        rule = study.stopping
        early = " while nothing of it is pruned, and" if rule.early else ""
        yield (
            f"At a rung the best 1/{rule.reduction:g} of the configurations go on. One is compared"
            f"{early} once it is at target for {100 * rule.settle:g} % of training; ( ): the base"
            " is not."
        )


def _example_cells(study: Study) -> dict[str, TrialSpec]:
    """The longest and sparsest cell of each arm, which is its last."""
    resolved = [cell for cell in study.cells() if cell.spec.task.is_resolved]
    return {cell.arm: trial_from_recipe(study, cell.spec) for cell in resolved}


def _axis_lines(study: Study) -> list[str]:
    """Every search axis with its range; arms may search one field in ranges of their own."""
    # A dict keeps the order of the declaration, which a set would not.
    lines: dict[str, None] = {}
    for cell in study.cells():
        for path, axis in cell.search.items():
            kind = axis.kind.replace("_", " ")
            lines[f"{path}, {kind} over {axis.ends()}"] = None
    return list(lines)


def _schedule_curves(spec: TrialSpec) -> dict[str, list[float]]:
    """Schedules as fractions of their largest value, in [0, 1], at evenly spaced steps."""
    last = spec.total_steps() - 1
    rate = learning_rate(spec)
    changes = mask_schedule(spec)
    rates = []
    sparsities = []
    sizes = []
    for index in range(WIDTH_CHARACTERS):
        step = index * last // (WIDTH_CHARACTERS - 1)
        rates.append(rate(step) / spec.peak_lr())
        sparsities.append(_sparsity_at(changes, step))
        sizes.append(image_resolution(spec, step) or 0)
    curves = {"learning rate": rates, "sparsity": sparsities}
    if _image_size_grows(spec):
        largest = max(sizes)
        curves["resolution"] = [size / largest for size in sizes]
    return curves


def _sparsity_at(changes: list[MaskChange], step: int) -> float:
    """Sparsity in force at a step: that of the last change up to it."""
    after = bisect_right(changes, step, key=lambda change: change.step)
    return changes[after - 1].sparsity


def _bar_text(values: list[float]) -> str:
    """Values in [0, 1] as a line of blocks."""
    levels = len(BAR_CHARACTERS)
    bar = ""
    for value in values:
        # A value of 1 belongs to the highest block, not to one above it.
        height = min(levels - 1, int(value * levels))
        bar += BAR_CHARACTERS[height]
    return bar
