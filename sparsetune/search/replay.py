"""Schedulers replayed over a recorded study: what each would have saved, and the winner's fate."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sparsetune.errors import StudyDirectoryError
from sparsetune.paths import Place
from sparsetune.search.simulation import RecordedTrial, Scheduler, WorkerPool
from sparsetune.sparsity.methods.ramps import ramp_steps
from sparsetune.spec import TrialSpec
from sparsetune.spec.sparsity import METHOD_FIELDS
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import read_records
from sparsetune.storage.records import Proposed, Record
from sparsetune.storage.trial_state import TrialState, fold_records
from sparsetune.study import Minimize, Study
from sparsetune.study.cells import Cell
from sparsetune.study.selection import objective_of, winner_of
from sparsetune.study.stopping import Halving

COMPLETED_STATUSES = ("COMPLETE", "DIVERGED")
"""Statuses of trials that ran to their own end."""
RAMP_PREFIX = "sparsity.ramp."


SchedulerFactory = Callable[[Study, Sequence[RecordedTrial]], Scheduler]
"""Makes a scheduler for the recorded trials of one cell."""


@dataclass(frozen=True)
class ReplayResult:
    """Comparison of schedulers over a recorded study: what each would have done to it.

    Args:
        study: The study's name.
        objective: The column that was optimised.
        workers: Trials at once on the simulated clock.
        rule: The project's halving as it was replayed: ``rungs reduction settle``.
        left_out: Configurations that did not train to their end, and so cannot be replayed.
        table: A row per cell and scheduler: ``cell scheduler configurations stopped epochs
            epochs_fraction`` (of no stopping) ``seconds`` (simulated) ``winner_survived regret``
            (how much worse the best surviving final objective is than the winner's), ``ramp_start
            ramp_end`` (mean of the survivors, fractions of training) and ``top_ramp_start
            top_ramp_end`` (mean of the better half by final objective); None where no ramp is
            searched.
        configurations: A row per cell, scheduler and configuration: ``cell scheduler config_id
            ramp_start ramp_end objective survived top_half winner``.
    """

    study: str
    objective: str
    workers: int
    rule: dict[str, Any]
    left_out: int
    table: list[dict[str, Any]]
    configurations: list[dict[str, Any]]


def replay_study(
    path: Place,
    changes: Mapping[str, Any] = {},
    *,
    schedulers: Callable[[Halving], Mapping[str, SchedulerFactory]],
    workers: int = 2,
) -> ReplayResult:
    """Replay schedulers over every cell of a recorded study that searched.

    Args:
        path: The study directory.
        changes: Fields of `Halving` that replace the study's own, or the defaults where it declares
            no stopping.
        schedulers: Returns the schedulers to compare by name, the one that stops nothing first,
            from the rule that is replayed.
        workers: Trials that run at once, at least one.

    Raises:
        StudyDirectoryError: if it is no study directory, or no cell has two configurations that
            trained to their end.
        DeclarationError: if the rule is not valid.
    """
    directory = StudyDirectory(path)
    records = read_records(directory.ledger)
    study = directory.study().extended(records)
    rule = Halving(**{**(study.stopping or Halving()).given(), **changes}).checked()
    cells, left_out = recorded_cells(study, records)
    if not cells:
        raise StudyDirectoryError(
            f"`{directory.path}` must hold a cell with at least two configurations that trained to"
            f" their end, got none ({left_out} configurations were stopped, failed or still run);"
            " record one without `stopping`"
        )
    compared = schedulers(rule)
    table: list[dict[str, Any]] = []
    configurations: list[dict[str, Any]] = []
    for cell, trials in cells:
        rows, points = _compare_schedulers(study, cell, trials, workers, compared)
        table += rows
        configurations += points
    return ReplayResult(
        study.name,
        study.objective.column,
        workers,
        rule.model_dump(mode="json"),
        left_out,
        table,
        configurations,
    )


def recorded_cells(
    study: Study, records: Sequence[Record]
) -> tuple[list[tuple[Cell, list[RecordedTrial]]], int]:
    """Cells with their search trials, and the number of configurations that are left out.

    Returns:
        Each cell with at least two configurations that did, with their trials in order of proposal;
        and the number of configurations, over all cells, that did not train to their end.
    """
    states = fold_records(records)
    searched = [one for one in records if isinstance(one, Proposed) and one.role == "search"]
    left_out = 0
    found = []
    for cell in study.cells():
        own = [proposed for proposed in searched if proposed.cell == cell.name]
        trials = [_recorded_trial(proposed, states[proposed.trial_id]) for proposed in own]
        whole = [trial for trial in trials if trial.status in COMPLETED_STATUSES and trial.rows]
        seeds = Counter(trial.config_id for trial in whole)
        ended = [trial for trial in trials if seeds[trial.config_id] == study.search_seeds]
        kept = {trial.config_id for trial in ended}
        left_out += len({trial.config_id for trial in trials} - kept)
        if len(kept) > 1:
            found.append((cell, ended))
    return found, left_out


def _recorded_trial(proposed: Proposed, state: TrialState) -> RecordedTrial:
    rows = [row for _, row in sorted(state.reports.items())]
    spec = TrialSpec.model_validate(proposed.spec)
    return RecordedTrial(proposed.trial_id, proposed.config_id, spec, state.status, rows)


def _compare_schedulers(
    study: Study,
    cell: Cell,
    trials: Sequence[RecordedTrial],
    workers: int,
    compared: Mapping[str, SchedulerFactory],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of `ReplayResult.table` and of `ReplayResult.configurations` for one cell."""
    facts = _configuration_facts(study, cell, trials)
    better_half = [fact for fact in facts if fact["top_half"]]
    rows: list[dict[str, Any]] = []
    points: list[dict[str, Any]] = []
    for name, make in compared.items():
        pool = WorkerPool(trials, make(study, trials), workers).run()
        stopped = {trial.config_id for trial in trials if trial.trial_id in pool.stopped}
        survivors = [fact for fact in facts if fact["config_id"] not in stopped]
        measured = [fact for fact in survivors if fact["objective"] is not None]
        spent = sum(pool.epochs.values())
        unstopped = rows[0]["epochs"] if rows else spent
        rows.append(
            {
                "cell": cell.name,
                "scheduler": name,
                "configurations": len(facts),
                "stopped": len(stopped),
                "epochs": spent,
                "epochs_fraction": spent / unstopped,
                "seconds": pool.seconds,
                "winner_survived": any(fact["winner"] for fact in survivors),
                "regret": _objective_regret(study, facts, survivors),
                **_mean_ramp("", measured),
                **_mean_ramp("top_", better_half),
            }
        )
        for fact in facts:
            survived = fact["config_id"] not in stopped
            points.append({"cell": cell.name, "scheduler": name, **fact, "survived": survived})
    return rows, points


def _configuration_facts(
    study: Study, cell: Cell, trials: Sequence[RecordedTrial]
) -> list[dict[str, Any]]:
    """Facts of each configuration that no scheduler changes."""
    by_config: dict[str, list[RecordedTrial]] = {}
    for trial in trials:
        by_config.setdefault(trial.config_id, []).append(trial)
    objectives = {
        config: _mean_objective(study, of_config) for config, of_config in by_config.items()
    }
    minimize = isinstance(study.objective, Minimize)
    winner = winner_of(objectives, minimize=minimize)
    known = {config: value for config, value in objectives.items() if value is not None}
    best = sorted(known, key=known.__getitem__, reverse=not minimize)[: math.ceil(len(known) / 2)]
    facts = []
    for config, of_config in by_config.items():
        facts.append(
            {
                "config_id": config,
                **_ramp_bounds(cell, of_config[0].spec),
                "objective": objectives[config],
                "top_half": config in best,
                "winner": config == winner,
            }
        )
    return facts


def _mean_objective(study: Study, trials: Sequence[RecordedTrial]) -> float | None:
    column = study.objective.column
    complete = [trial.rows[-1] if trial.status == "COMPLETE" else None for trial in trials]
    return objective_of([row.number(column) if row else None for row in complete])


def _ramp_bounds(cell: Cell, spec: TrialSpec) -> dict[str, float | None]:
    """Start and end of the ramp as fractions of training, where a part of it is searched."""
    searched = (
        any(path.startswith(RAMP_PREFIX) for path in cell.search)
        and "ramp" in METHOD_FIELDS[spec.sparsity.method]
    )
    start, end = ramp_steps(spec) if searched else (None, None)
    total = spec.total_steps()
    return {
        "ramp_start": None if start is None else start / total,
        "ramp_end": None if end is None else end / total,
    }


def _mean_ramp(prefix: str, facts: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    ends = {
        name: [fact[name] for fact in facts if fact[name] is not None]
        for name in ("ramp_start", "ramp_end")
    }
    return {prefix + name: fmean(values) if values else None for name, values in ends.items()}


def _objective_regret(
    study: Study, facts: Sequence[Mapping[str, Any]], survivors: Sequence[Mapping[str, Any]]
) -> float | None:
    best = min if isinstance(study.objective, Minimize) else max
    everyone = [fact["objective"] for fact in facts if fact["objective"] is not None]
    left = [fact["objective"] for fact in survivors if fact["objective"] is not None]
    return abs(best(left) - best(everyone)) if left else None


def print_replay(found: ReplayResult) -> None:
    """Print the table for a person."""
    console = Console(highlight=False)
    left_out = (
        f"; {found.left_out} configurations left out: not trained to their end"
        if found.left_out
        else ""
    )
    console.print(
        f"[bold]{escape(found.study)}[/], replayed with {found.workers} workers{left_out}",
        soft_wrap=True,
    )
    for cell in dict.fromkeys(row["cell"] for row in found.table):
        rows = [row for row in found.table if row["cell"] == cell]
        console.print(f"\n{escape(cell)}, {rows[0]['configurations']} configurations", style="bold")
        console.print(_result_table(rows))
    console.print(
        "\nwinner: the configuration that is best in the end\n"
        f"lost: {found.objective} of the best that is left, beyond the winner's\n"
        "mean ramp: of those left, start to end, in percent of training\n"
        "the better half: of all configurations, by what they reach in the end",
        style="dim",
    )


def _result_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    ramps = rows[0]["top_ramp_start"] is not None
    columns = ["stopped", "epochs", "minutes", "winner", "lost", *(["mean ramp"] if ramps else [])]
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        regret = "" if row["regret"] is None else f"{row['regret']:.4f}"
        epochs = f"{row['epochs']:.0f} ({100 * row['epochs_fraction']:.0f} %)"
        kept = "kept" if row["winner_survived"] else "[red]stopped[/]"
        ramp = [_format_span(row["ramp_start"], row["ramp_end"])] if ramps else []
        table.add_row(
            row["scheduler"],
            str(row["stopped"]),
            epochs,
            f"{row['seconds'] / 60:.1f}",
            kept,
            regret,
            *ramp,
        )
    if ramps:
        top = _format_span(rows[0]["top_ramp_start"], rows[0]["top_ramp_end"])
        table.add_row("the better half", "", "", "", "", "", top, style="dim")
    return table


def _format_span(start: float | None, end: float | None) -> str:
    return "" if start is None or end is None else f"{100 * start:.0f} to {100 * end:.0f} %"
