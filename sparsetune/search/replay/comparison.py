"""Schedulers replayed over a recorded study: what each would have saved, and the winner's fate."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, NamedTuple

from rich.markup import escape
from rich.table import Table

from sparsetune.errors import StudyDirectoryError
from sparsetune.imports import without_own_code
from sparsetune.paths import Place
from sparsetune.search.replay.clock import RecordedTrial, SchedulerFactory, WorkerPool
from sparsetune.sparsity.methods.registry import known_method
from sparsetune.sparsity.plans.ramps import ramp_steps
from sparsetune.spec import TrialSpec
from sparsetune.storage import StudyDirectory
from sparsetune.storage.records import Proposed, Record
from sparsetune.storage.trial_state import TrialState, fold_records
from sparsetune.study import Minimize, Study
from sparsetune.study.cells import Cell
from sparsetune.study.questions.points import study_points
from sparsetune.study.questions.words import cell_words
from sparsetune.study.selection import objective_of, winner_of
from sparsetune.study.stopping import Halving
from sparsetune.terminal import TextConsole

COMPLETED_STATUSES = ("COMPLETE", "DIVERGED")
"""Statuses of trials that ran to their own end."""
RAMP_PREFIX = "sparsity.ramp."


@dataclass(frozen=True)
class ReplayResult:
    """Comparison of schedulers over a recorded study: what each would have done to it.

    Args:
        study: The study's name.
        objective: The column that was optimised.
        names: Each cell in words.
        workers: Trials at once on the simulated clock.
        rule: The project's halving as it was replayed: ``rungs reduction settle early``.
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
    names: Mapping[str, str]
    workers: int
    rule: dict[str, Any]
    left_out: int
    table: list[dict[str, Any]]
    configurations: list[dict[str, Any]]


@without_own_code()
def replay_study(
    path: Place,
    changes: Mapping[str, Any] = {},
    *,
    schedulers: Callable[[Halving], Mapping[str, SchedulerFactory]],
    workers: int = 2,
    salvage: bool = False,
) -> ReplayResult:
    """Replay schedulers over every cell of a recorded study that searched.

    Args:
        path: The study directory.
        changes: Fields of `Halving` that replace the study's own, or the defaults where it declares
            no stopping.
        schedulers: Returns the schedulers to compare by name, the one that stops nothing first,
            from the rule that is replayed.
        workers: Trials that run at once, at least one.
        salvage: True to read a damaged ledger up to its first damage.

    Raises:
        StudyDirectoryError: if it is no study directory, or no cell has two configurations that
            trained to their end.
        DeclarationError: if the rule is not valid.
    """
    directory = StudyDirectory(path)
    recorded = directory.recorded(salvage=salvage)
    study = recorded.study
    declared = study.stopping or Halving()
    rule = Halving(**{**declared.given(), **changes}).checked()
    cells, left_out = recorded_cells(study, recorded.records)
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
        cell_rows, configuration_rows = _compare_schedulers(study, cell, trials, workers, compared)
        table += cell_rows
        configurations += configuration_rows
    return ReplayResult(
        study.name,
        study.objective.column,
        {point.cell: cell_words(point) for point in study_points(study)},
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
    cells = study.cells()
    trials_by_cell: dict[str, list[RecordedTrial]] = {cell.name: [] for cell in cells}
    for record in records:
        if not isinstance(record, Proposed) or record.role != "search":
            continue
        if record.cell in trials_by_cell:
            trial = _recorded_trial(record, states[record.trial_id])
            trials_by_cell[record.cell].append(trial)
    left_out = 0
    found = []
    for cell in cells:
        trials = trials_by_cell[cell.name]
        whole = _trials_of_whole_configurations(trials, study.search_seeds)
        n_whole = _count_configurations(whole)
        left_out += _count_configurations(trials) - n_whole
        # A single configuration has no rival, so no scheduler could stop it.
        if n_whole > 1:
            found.append((cell, whole))
    return found, left_out


def _trials_of_whole_configurations(
    trials: Sequence[RecordedTrial], search_seeds: int
) -> list[RecordedTrial]:
    """Trials of the configurations of which every search seed trained to its own end."""
    seeds_ended: Counter[str] = Counter()
    for trial in trials:
        if trial.status in COMPLETED_STATUSES and trial.rows:
            seeds_ended[trial.config_id] += 1
    return [trial for trial in trials if seeds_ended[trial.config_id] == search_seeds]


def _count_configurations(trials: Sequence[RecordedTrial]) -> int:
    return len({trial.config_id for trial in trials})


def _recorded_trial(proposed: Proposed, state: TrialState) -> RecordedTrial:
    rows = [state.reports[step] for step in sorted(state.reports)]
    spec = TrialSpec.model_validate(proposed.spec)
    return RecordedTrial(proposed.trial_id, proposed.config_id, spec, state.status, rows)


class RecordedOutcome(NamedTuple):
    """A configuration's recipe and end, which no scheduler changes.

    Args:
        config_id: Its id.
        ramp_start: Start of its ramp as a fraction of training; None where no ramp is searched.
        ramp_end: End of its ramp, as ``ramp_start``.
        objective: Mean final objective of its seeds; None if one diverged.
        top_half: True if its objective is in the better half of its cell.
        winner: True if it is the best of its cell.
    """

    config_id: str
    ramp_start: float | None
    ramp_end: float | None
    objective: float | None
    top_half: bool
    winner: bool


def _compare_schedulers(
    study: Study,
    cell: Cell,
    trials: Sequence[RecordedTrial],
    workers: int,
    compared: Mapping[str, SchedulerFactory],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of `ReplayResult.table` and of `ReplayResult.configurations` for one cell."""
    outcomes = _recorded_outcomes(study, cell, trials)
    better_half = [outcome for outcome in outcomes if outcome.top_half]
    top_ramp_start, top_ramp_end = _mean_ramp(better_half)
    # The first scheduler stops nothing: its epochs are what the others are compared with.
    unstopped_epochs: float | None = None
    cell_rows: list[dict[str, Any]] = []
    configuration_rows: list[dict[str, Any]] = []
    for name, make in compared.items():
        pool = WorkerPool(trials, make(study, trials), workers).run()
        stopped = {trial.config_id for trial in trials if trial.trial_id in pool.stopped}
        survivors = [outcome for outcome in outcomes if outcome.config_id not in stopped]
        ramp_start, ramp_end = _mean_ramp(survivors)
        epochs = sum(pool.epochs.values())
        if unstopped_epochs is None:
            unstopped_epochs = epochs
        cell_rows.append(
            {
                "cell": cell.name,
                "scheduler": name,
                "configurations": len(outcomes),
                "stopped": len(stopped),
                "epochs": epochs,
                "epochs_fraction": epochs / unstopped_epochs,
                "seconds": pool.seconds,
                "winner_survived": any(outcome.winner for outcome in survivors),
                "regret": _objective_regret(study, outcomes, survivors),
                "ramp_start": ramp_start,
                "ramp_end": ramp_end,
                "top_ramp_start": top_ramp_start,
                "top_ramp_end": top_ramp_end,
            }
        )
        for outcome in outcomes:
            row = {"cell": cell.name, "scheduler": name, **outcome._asdict()}
            row["survived"] = outcome.config_id not in stopped
            configuration_rows.append(row)
    return cell_rows, configuration_rows


def _recorded_outcomes(
    study: Study, cell: Cell, trials: Sequence[RecordedTrial]
) -> list[RecordedOutcome]:
    """The outcome of each configuration of a cell, in order of proposal."""
    by_config: dict[str, list[RecordedTrial]] = {}
    for trial in trials:
        by_config.setdefault(trial.config_id, []).append(trial)
    objectives: dict[str, float | None] = {}
    for config_id, seeds in by_config.items():
        objectives[config_id] = _mean_objective(study, seeds)
    minimize = isinstance(study.objective, Minimize)
    winner = winner_of(objectives, minimize=minimize)
    better_half = _better_half(objectives, minimize=minimize)
    outcomes = []
    for config_id, seeds in by_config.items():
        # The seeds of a configuration share their recipe, and so their ramp.
        ramp_start, ramp_end = _ramp_fractions(cell, seeds[0].spec)
        outcomes.append(
            RecordedOutcome(
                config_id=config_id,
                ramp_start=ramp_start,
                ramp_end=ramp_end,
                objective=objectives[config_id],
                top_half=config_id in better_half,
                winner=config_id == winner,
            )
        )
    return outcomes


def _better_half(objectives: Mapping[str, float | None], *, minimize: bool) -> list[str]:
    """Ids of the better half of the configurations that have an objective, rounded up."""
    known = {config: value for config, value in objectives.items() if value is not None}
    ranked = sorted(known, key=known.__getitem__, reverse=not minimize)
    return ranked[: math.ceil(len(ranked) / 2)]


def _mean_objective(study: Study, trials: Sequence[RecordedTrial]) -> float | None:
    """Mean final objective of a configuration's seeds; None if one diverged."""
    column = study.objective.column
    values: list[float | None] = []
    for trial in trials:
        # The last row of a diverged trial may hold a number, which says nothing about its end.
        complete = trial.status == "COMPLETE"
        values.append(trial.rows[-1].number(column) if complete else None)
    return objective_of(values)


def _ramp_fractions(cell: Cell, spec: TrialSpec) -> tuple[float | None, float | None]:
    """Start and end of the ramp as fractions of training; None where no part is searched."""
    searches_ramp = any(path.startswith(RAMP_PREFIX) for path in cell.search)
    # An axis of the ramp does not apply to a method without one.
    if not searches_ramp or "ramp" not in known_method(spec.sparsity.method).fields:
        return None, None
    start, end = ramp_steps(spec)
    total = spec.total_steps()
    return start / total, end / total


def _mean_ramp(outcomes: Iterable[RecordedOutcome]) -> tuple[float | None, float | None]:
    """Mean start and end of the ramps, as fractions of training, without diverged configurations.

    None where no ramp is searched.
    """
    starts = []
    ends = []
    for outcome in outcomes:
        if outcome.objective is None or outcome.ramp_start is None or outcome.ramp_end is None:
            continue
        starts.append(outcome.ramp_start)
        ends.append(outcome.ramp_end)
    return (fmean(starts), fmean(ends)) if starts else (None, None)


def _objective_regret(
    study: Study, everyone: Iterable[RecordedOutcome], survivors: Iterable[RecordedOutcome]
) -> float | None:
    """Distance of the best surviving objective from the best of all, at least 0."""
    best = min if isinstance(study.objective, Minimize) else max
    surviving = _known_objectives(survivors)
    if not surviving:
        return None
    return abs(best(surviving) - best(_known_objectives(everyone)))


def _known_objectives(outcomes: Iterable[RecordedOutcome]) -> list[float]:
    return [outcome.objective for outcome in outcomes if outcome.objective is not None]


def print_replay(found: ReplayResult, objective: str) -> None:
    """Print the table for a person.

    Args:
        found: What was found.
        objective: Name of the objective within a sentence: ``validation error``.
    """
    console = TextConsole()
    left_out = ""
    if found.left_out:
        left_out = f"; {found.left_out} configurations left out: not trained to their end"
    console.print(
        f"[bold]{escape(found.study)}[/], replayed with {found.workers} workers{left_out}",
        soft_wrap=True,
    )
    rows_by_cell: dict[str, list[dict[str, Any]]] = {}
    for row in found.table:
        rows_by_cell.setdefault(row["cell"], []).append(row)
    for cell, rows in rows_by_cell.items():
        name = found.names[cell]
        name = f"{name[:1].upper()}{name[1:]}"
        console.print(f"\n{escape(name)}: {rows[0]['configurations']} configurations", style="bold")
        console.print(_result_table(rows))
    console.print(
        "\nwinner: the configuration that is best in the end\n"
        f"lost: {objective} of the best that is left, beyond the winner's\n"
        "mean ramp: of those left, start to end, in percent of training\n"
        "the better half: of all configurations, by what they reach in the end",
        style="dim",
    )


def _result_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    shows_ramps = rows[0]["top_ramp_start"] is not None
    columns = ["stopped", "epochs", "minutes", "winner", "lost"]
    if shows_ramps:
        columns.append("mean ramp")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        regret = "" if row["regret"] is None else f"{row['regret']:.4f}"
        epochs = f"{row['epochs']:.0f} ({100 * row['epochs_fraction']:.0f} %)"
        minutes = f"{row['seconds'] / 60:.1f}"
        winner = "kept" if row["winner_survived"] else "[red]stopped[/]"
        texts = [row["scheduler"], str(row["stopped"]), epochs, minutes, winner, regret]
        if shows_ramps:
            texts.append(_format_span(row["ramp_start"], row["ramp_end"]))
        table.add_row(*texts)
    if shows_ramps:
        top = _format_span(rows[0]["top_ramp_start"], rows[0]["top_ramp_end"])
        table.add_row("the better half", "", "", "", "", "", top, style="dim")
    return table


def _format_span(start: float | None, end: float | None) -> str:
    return "" if start is None or end is None else f"{100 * start:.0f} to {100 * end:.0f} %"
