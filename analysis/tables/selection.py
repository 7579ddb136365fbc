"""Selection of the trials that count: each cell's winner, report trials, twins and control."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from sparsetune.spec.columns import FINISHED_STATUSES
from sparsetune.storage.records import Proposed
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Minimize, Study
from sparsetune.study.cells import Cell, is_searched
from sparsetune.study.samplers import Grid
from sparsetune.study.selection import objective_of, winner_of
from sparsetune.study.space import Choice, IntRange

from ..wording import cell_phrase
from .declared import narrow_dtype
from .design import TARGET_FIELD, declared_axes
from .results import Results, cached_per_results

USE_DTYPES = {
    "cell": "string",
    "arm": "string",
    "role": "string",
    "config_id": "string",
    "source": "string",
    "index": "Int64",
    "seed": "Int64",
    "trial_id": "string",
    "twin_id": "string",
}
"""Columns of `uses` with their dtypes."""

NOTHING_GRANTED: Mapping[str, int] = {}

_CELL_DTYPES = {
    "study": "string",
    "arm": "string",
    "cell": "string",
    "added": "boolean",
    "finished": "boolean",
    "configurations": "Int64",
    "configurations_asked": "Int64",
    "stopped": "Int64",
    "diverged": "Int64",
    "failed": "Int64",
    "winner_id": "string",
    "objective": "float64",
    "control_id": "string",
    "report_trials": "Int64",
    "report_trials_asked": "Int64",
    "learned_nothing": "Int64",
    "flops_ratio": "float64",
}


def uses(states: Mapping[str, TrialState]) -> pd.DataFrame:
    """One row per trial, cell and role.

    Args:
        states: State of each trial by its id.

    Returns:
        ``cell arm role config_id source index seed trial_id twin_id``.
    """
    proposed = [_use_row(record) for state in states.values() for record in state.proposed]
    frame = pd.DataFrame(proposed, columns=list(USE_DTYPES)).astype(USE_DTYPES)
    return frame.drop_duplicates(ignore_index=True)


def _use_row(record: Proposed) -> dict[str, Any]:
    return {name: getattr(record, name) for name in USE_DTYPES}


def cells(
    study: Study,
    uses: pd.DataFrame,
    trials: pd.DataFrame,
    granted: Mapping[str, int] = NOTHING_GRANTED,
) -> pd.DataFrame:
    """One row per declared cell, in the study's order.

    Args:
        study: The declaration.
        uses: Table that the function `uses` returns.
        trials: One row per trial, with its status, objective and configuration.
        granted: Report seeds of cells beyond those of every cell.

    Returns:
        ``study arm cell added``; each sweep axis; ``configurations configurations_asked stopped``
        (configurations that a rung stopped, which cannot win) ``diverged failed`` (trials of the
        cell that diverged, and those that failed or are invalid); ``winner_id objective``; each
        search axis (the winner's value); ``control_id report_trials report_trials_asked
        learned_nothing`` (report trials of the winner that have learned nothing, see
        `sparsetune.spec.columns`; missing where none was judged) ``flops_ratio`` (training FLOPs of
        its report trials over those of their dense twins) ``finished``. The winner is provisional
        until ``finished``.
    """
    trials = trials.set_index("trial_id")
    by_cell = dict(list(uses.groupby("cell", sort=False)))
    rows: list[dict[str, Any]] = []
    for cell in study.cells():
        own = by_cell.get(cell.name, uses[:0])
        seeds = study.seeds("report", granted.get(cell.name, 0))
        rows.append(_cell_row(study, cell, own, trials, seeds))
    frame = pd.DataFrame(rows).astype(_CELL_DTYPES)
    fields = [path for path in frame.columns if "." in path]
    return frame.assign(**{path: narrow_dtype(frame[path]) for path in fields})


def _cell_row(
    study: Study,
    cell: Cell,
    uses: pd.DataFrame,
    trials: pd.DataFrame,
    report_seeds: Sequence[int],
) -> dict[str, Any]:
    """Row of one cell, from its uses, all trials by their ids, and its report seeds."""
    status = uses["trial_id"].map(trials["status"])
    value = uses["trial_id"].map(trials[study.objective.column])
    uses = uses.assign(
        status=status,
        finished=status.isin(FINISHED_STATUSES),
        value=value.where(status == "COMPLETE"),
    )
    role: Literal["search", "report"] = "search" if is_searched(study, cell) else "report"
    compared = uses[uses["role"] == role]
    seeds = study.seeds("search") if role == "search" else report_seeds
    objectives = _objectives(compared, seeds)
    winner = _winner(study, cell, objectives)

    # A stopped configuration gets no further seeds, and counts as complete with those it has.
    stopped = compared["status"].eq("PRUNED").groupby(compared["config_id"]).any()
    finished_seeds = compared.groupby("config_id")["finished"].sum()
    complete = (finished_seeds >= len(seeds)) | stopped
    is_complete = compared["config_id"].map(complete).eq(True)
    configurations = compared.loc[is_complete, "index"].nunique()
    asked = study.configurations_per_cell if is_searched(study, cell) else 1

    # Without a winner the text is empty, which no configuration has as its id.
    of_winner = (uses["role"] == "report") & (uses["config_id"] == (winner or ""))
    report = uses[of_winner].drop_duplicates("trial_id")
    report_trials = int(report["finished"].sum())
    report_trials_asked = len(report_seeds)
    # A small space may hold fewer configurations than were asked for.
    exhausted = bool(complete.all()) and _may_run_out(study, cell) and report_trials > 0
    searched = configurations >= asked or exhausted

    # Twins belong to a dense cell, where their own failures count.
    own_status = uses[uses["role"] != "twin"].drop_duplicates("trial_id")["status"]
    # Twins of the control have its source, and another recipe: they prune nothing.
    is_control = (uses["source"] == "control") & (uses["role"] != "twin")
    controls = uses.loc[is_control, "config_id"]
    return {
        "study": study.name,
        "arm": cell.arm,
        "cell": cell.name,
        "added": cell.added,
        **_sweep_values(study, cell),
        "configurations": int(configurations),
        "configurations_asked": asked,
        "stopped": int(stopped.sum()),
        "diverged": int((own_status == "DIVERGED").sum()),
        "failed": int(own_status.isin(["FAILED", "INVALID"]).sum()),
        "winner_id": winner,
        "objective": objectives.get(winner or ""),
        **_winner_values(study, cell, uses, trials, winner),
        "control_id": next(iter(controls), None),
        "report_trials": report_trials,
        "report_trials_asked": report_trials_asked,
        "learned_nothing": report["trial_id"].map(trials["learned_nothing"]).sum(min_count=1),
        "flops_ratio": _flops_ratio(report, trials),
        "finished": searched and (winner is None or report_trials >= report_trials_asked),
    }


def _winner(study: Study, cell: Cell, objectives: Mapping[str, float | None]) -> str | None:
    """Configuration that stands for the cell; None before any can."""
    if is_searched(study, cell):
        return winner_of(objectives, minimize=isinstance(study.objective, Minimize))
    return next(iter(objectives), None)


def _may_run_out(study: Study, cell: Cell) -> bool:
    """True if the cell's search may propose fewer configurations than the study asks for."""
    is_discrete = all(isinstance(axis, Choice | IntRange) for axis in cell.search.values())
    return is_discrete or isinstance(study.sampler, Grid) or study.at_most is not None


def _flops_ratio(reports: pd.DataFrame, trials: pd.DataFrame) -> float:
    """Mean ratio of training FLOPs, report trial to twin; NaN where no pair is COMPLETE."""
    spent = trials["train_flops"].where(trials["status"] == "COMPLETE")
    pairs = reports.dropna(subset="twin_id")
    own = spent.reindex(pairs["trial_id"]).to_numpy()
    twin = spent.reindex(pairs["twin_id"]).to_numpy()
    return float(pd.Series(own / twin, dtype="float64").mean())


def _objectives(rows: pd.DataFrame, seeds: Sequence[int]) -> dict[str, float | None]:
    """Mean objective of each configuration over the seeds, in order of proposal.

    None unless the configuration's trial is COMPLETE on every seed.
    """
    distinct = rows.drop_duplicates(["config_id", "seed"])
    distinct = distinct.assign(seed=distinct["seed"].astype("int64"))
    table = distinct.pivot(index="config_id", columns="seed", values="value")
    table = table.reindex(index=distinct["config_id"].unique(), columns=list(seeds))
    objectives: dict[str, float | None] = {}
    for config, row in zip(table.index, table.astype("float64").to_numpy().tolist(), strict=True):
        values = [None if math.isnan(value) else value for value in row]
        objectives[str(config)] = objective_of(values)
    return objectives


def _sweep_values(study: Study, cell: Cell) -> dict[str, Any]:
    """Value of each sweep axis in the cell, None where it does not apply; 0 is a dense target."""
    given = {TARGET_FIELD: cell.spec.sparsity.target, **cell.point}
    paths = dict.fromkeys([TARGET_FIELD, *declared_axes(study, "sweep")])
    return {path: given.get(path) for path in paths}


def _winner_values(
    study: Study, cell: Cell, uses: pd.DataFrame, trials: pd.DataFrame, winner: str | None
) -> dict[str, Any]:
    """Winner's value of each search axis; axes that are swept in another arm are left out."""
    swept = declared_axes(study, "sweep")
    first = next(iter(uses.loc[uses["config_id"] == winner, "trial_id"]), None)
    values: dict[str, Any] = {}
    for path in declared_axes(study, "search"):
        if path in swept:
            continue
        is_known = first and path in cell.search and path in trials
        values[path] = trials[path].get(first) if is_known else None
    return values


def cell_phrases(results: Results) -> dict[str, str]:
    """Names of the cells within a sentence, by their ids: ``GMP at 98 % (2x training)``."""
    cells = results.cells()
    axes = [path for path in results.design.points() if path in cells]
    rows = cells[["cell", "arm", *axes]].to_dict("records")
    return {str(row["cell"]): cell_phrase(row) for row in rows}


def report_rows(results: Results) -> pd.DataFrame:
    """One row per report trial of a cell's current winner.

    Returns:
        The columns of `Results.trials`, plus ``epochs``. ``cell`` and ``arm`` are those that the
        trial reports for. ``epochs`` is the whole training with its multiplier; where the study
        equals training FLOPs, it is the length of the dense twin.
    """
    return _report_rows(results).copy(deep=False)


@cached_per_results
def _report_rows(results: Results) -> pd.DataFrame:
    # A trial may report for several cells: what depends on the cell comes from its uses.
    trials = results.trials().drop(columns=["arm", "cell", "config_id", "role", "seed", "twin_id"])
    winners = results.cells()[["cell", "winner_id"]]
    winners = winners.rename(columns={"winner_id": "config_id"}).dropna()
    uses = results.uses()
    reports = uses[uses["role"] == "report"]
    reports = reports.merge(winners.astype("string"), on=["cell", "config_id"])
    rows = reports.drop_duplicates(["cell", "trial_id"]).merge(trials, on="trial_id")
    epochs = rows["schedule.epochs"] * rows["schedule.epoch_multiplier"]
    # Where FLOPs are equal, the stretch only makes up for the FLOPs that sparsity saves.
    if results.design.equal == "epochs" and "schedule.stretch" in rows:
        epochs = epochs * rows["schedule.stretch"].fillna(1.0)
    return rows.assign(epochs=epochs)


def dense_arm_of(arm: str, dense: list[str]) -> str | None:
    """Dense arm that belongs to ``arm``: ``dense-ARM``, else ``dense``, else the only one.

    Returns:
        None where ``dense`` holds none of these.
    """
    for name in (f"dense-{arm}", "dense"):
        if name in dense:
            return name
    return dense[0] if len(dense) == 1 else None
