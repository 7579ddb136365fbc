"""Which trials count: the winner of each cell, its report trials, the dense twins and the control."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.tables.declared import narrow_dtype
from analysis.tables.design import declared_axes
from analysis.tables.results import Results, cached_per_results
from sparsetune.spec.columns import FINISHED_STATUSES
from sparsetune.storage.trial_state import TrialState
from sparsetune.study import Minimize, Study
from sparsetune.study.cells import Cell
from sparsetune.study.samplers import Grid
from sparsetune.study.selection import objective_of, winner_of
from sparsetune.study.space import Choice, IntRange

_USE_DTYPES = {
    "cell": "string",
    "arm": "string",
    "role": "string",
    "config_id": "string",
    "source": "string",
}
_USE_DTYPES |= {"index": "Int64", "seed": "Int64", "trial_id": "string", "twin_id": "string"}
_CELL_DTYPES = {
    "study": "string",
    "arm": "string",
    "cell": "string",
    "added": "boolean",
    "finished": "boolean",
}
_CELL_DTYPES |= {"configurations": "Int64", "configurations_asked": "Int64", "stopped": "Int64"}
_CELL_DTYPES |= {"diverged": "Int64", "failed": "Int64"}
_CELL_DTYPES |= {"winner_id": "string", "objective": "float64", "control_id": "string"}
_CELL_DTYPES |= {"report_trials": "Int64", "report_trials_asked": "Int64", "flops_ratio": "float64"}


def uses(states: Mapping[str, TrialState]) -> pd.DataFrame:
    """One row per trial, cell and role: ``cell arm role config_id source index seed trial_id twin_id``."""
    proposed = [
        {name: getattr(record, name) for name in _USE_DTYPES}
        for state in states.values()
        for record in state.proposed
    ]
    return (
        pd.DataFrame(proposed, columns=list(_USE_DTYPES))
        .astype(_USE_DTYPES)
        .drop_duplicates(ignore_index=True)
    )


def cells(study: Study, uses: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """One row per declared cell, in the study's order.

    Columns: ``study arm cell added``, each sweep axis, ``configurations configurations_asked stopped`` (those that a
    rung stopped, which cannot win) ``diverged failed`` (trials of the cell that diverged; that failed or are
    invalid), ``winner_id objective``, each search axis (the
    winner's value), ``control_id report_trials report_trials_asked flops_ratio`` (training FLOPs of its report trials
    over those of their dense twins) ``finished``. The winner is provisional until ``finished``.
    """
    trials = trials.set_index("trial_id")
    by_cell = dict(list(uses.groupby("cell", sort=False)))
    rows = [
        _cell_row(study, cell, by_cell.get(cell.name, uses[:0]), trials) for cell in study.cells()
    ]
    frame = pd.DataFrame(rows).astype(_CELL_DTYPES)
    return frame.assign(
        **{path: narrow_dtype(frame[path]) for path in frame.columns if "." in path}
    )


def _cell_row(study: Study, cell: Cell, uses: pd.DataFrame, trials: pd.DataFrame) -> dict[str, Any]:
    status = uses["trial_id"].map(trials["status"])
    uses = uses.assign(
        finished=status.isin(FINISHED_STATUSES),
        value=uses["trial_id"].map(trials[study.objective.column]),
    )
    uses["value"] = uses["value"].where(status == "COMPLETE")
    compared = uses[uses["role"] == ("search" if cell.search else "report")]
    objectives = _objectives(compared, study.seeds("search" if cell.search else "report"))
    minimize = isinstance(study.objective, Minimize)
    winner = (
        winner_of(objectives, minimize=minimize) if cell.search else next(iter(objectives), None)
    )
    seeds = len(study.seeds("search" if cell.search else "report"))
    asked = study.configurations_per_cell if cell.search else 1
    stopped = (
        compared["trial_id"].map(trials["status"]).eq("PRUNED").groupby(compared["config_id"]).any()
    )
    complete = (compared.groupby("config_id")["finished"].sum() >= seeds) | stopped
    configurations = compared.loc[compared["config_id"].map(complete).eq(True), "index"].nunique()
    rerun = uses[
        (uses["role"] == "report") & (uses["config_id"] == (winner or ""))
    ].drop_duplicates("trial_id")
    reports = int(rerun["finished"].sum())
    reports_asked = len(study.seeds("report"))
    discrete = all(isinstance(axis, Choice | IntRange) for axis in cell.search.values())
    small = bool(complete.all()) and (
        discrete or isinstance(study.sampler, Grid) or study.at_most is not None
    )
    searched = configurations >= asked or (
        small and reports > 0
    )  # a small space may hold fewer configurations
    own = uses[uses["role"] != "twin"].drop_duplicates("trial_id")["trial_id"].map(trials["status"])
    return {
        **{"study": study.name, "arm": cell.arm, "cell": cell.name, "added": cell.added},
        **_sweep_values(study, cell),
        **{
            "configurations": int(configurations),
            "configurations_asked": asked,
            "stopped": int(stopped.sum()),
        },
        **{
            "diverged": int((own == "DIVERGED").sum()),
            "failed": int(own.isin(["FAILED", "INVALID"]).sum()),
        },
        **{"winner_id": winner, "objective": objectives.get(winner or "")},
        **_winner_values(study, cell, uses, trials, winner),
        **{"control_id": next(iter(uses.loc[uses["source"] == "control", "config_id"]), None)},
        **{"report_trials": reports, "report_trials_asked": reports_asked},
        "flops_ratio": _flops_ratio(rerun, trials),
        "finished": searched and (winner is None or reports >= reports_asked),
    }


def _flops_ratio(reports: pd.DataFrame, trials: pd.DataFrame) -> float:
    """Mean over the pairs of which both are COMPLETE; NaN where there is none."""
    spent = trials["train_flops"].where(trials["status"] == "COMPLETE")
    pairs = reports.dropna(subset="twin_id")
    ratios = (
        spent.reindex(pairs["trial_id"]).to_numpy() / spent.reindex(pairs["twin_id"]).to_numpy()
    )
    return float(pd.Series(ratios, dtype="float64").mean())


def _objectives(rows: pd.DataFrame, seeds: Sequence[int]) -> dict[str, float | None]:
    """Mean over the seeds of each configuration, in order of proposal; None unless every one is COMPLETE."""
    each = rows.drop_duplicates(["config_id", "seed"])
    values = each.assign(seed=each["seed"].astype("int64")).pivot(
        index="config_id", columns="seed", values="value"
    )
    values = values.reindex(index=each["config_id"].unique(), columns=list(seeds))
    lists = values.astype("float64").to_numpy().tolist()
    return {
        str(config): objective_of([None if math.isnan(value) else value for value in row])
        for config, row in zip(values.index, lists, strict=True)
    }


def _sweep_values(study: Study, cell: Cell) -> dict[str, Any]:
    """The sweep axes' values; a dense cell has the target 0."""
    given = {"sparsity.target": cell.spec.sparsity.target, **cell.point}
    return {
        path: given.get(path)
        for path in dict.fromkeys(["sparsity.target", *declared_axes(study, "sweep")])
    }


def _winner_values(
    study: Study, cell: Cell, uses: pd.DataFrame, trials: pd.DataFrame, winner: str | None
) -> dict[str, Any]:
    """The winner's value on each search axis that is no sweep axis elsewhere."""
    paths = [
        path for path in declared_axes(study, "search") if path not in declared_axes(study, "sweep")
    ]
    first = next(iter(uses.loc[uses["config_id"] == winner, "trial_id"]), None)
    return {
        p: trials[p].get(first) if first and p in cell.search and p in trials else None
        for p in paths
    }


def report_rows(results: Results) -> pd.DataFrame:
    """One row per report trial of a cell's current winner: the columns of `trials()`, plus ``epochs``.

    ``cell`` and ``arm`` are those it reports for; ``epochs`` is the whole training, multiplier included, or that of the
    dense twin where the study equals training FLOPs.
    """
    return _report_rows(results).copy(deep=False)


@cached_per_results
def _report_rows(results: Results) -> pd.DataFrame:
    trials = results.trials().drop(columns=["arm", "cell", "config_id", "role", "seed", "twin_id"])
    winners = (
        results.cells()[["cell", "winner_id"]].rename(columns={"winner_id": "config_id"}).dropna()
    )
    uses = results.uses()
    kept = uses[uses["role"] == "report"].merge(winners.astype("string"), on=["cell", "config_id"])
    rows = kept.drop_duplicates(["cell", "trial_id"]).merge(trials, on="trial_id")
    epochs = rows["schedule.epochs"] * rows["schedule.epoch_multiplier"]
    if results.design.equal == "epochs" and "schedule.stretch" in rows:
        epochs = epochs * rows["schedule.stretch"].fillna(1.0)
    return rows.assign(epochs=epochs)


def dense_arm_of(arm: str, dense: list[str]) -> str | None:
    """Which of the dense arms belongs to ``arm``: its own, the one named ``dense``, or the only one."""
    named = [name for name in (f"dense-{arm}", "dense") if name in dense]
    return named[0] if named else (dense[0] if len(dense) == 1 else None)
