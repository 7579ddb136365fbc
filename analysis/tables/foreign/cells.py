"""Cells that runs of a table imply: their axes, what was searched in them, and their winners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from sparsetune.errors import DeclarationError, Problem
from sparsetune.spec.columns import FINISHED_STATUSES
from sparsetune.study.space import Axis, Choice, LogUniform, Uniform

from ...catalogue import paragraph, write
from ...measure import Measure
from ..design import LENGTH_FIELDS, TARGET_FIELD, Design
from .columns.quotes import quote_value
from .rows import dotted_fields
from .runs import ForeignRuns, is_auxiliary
from .uses import OBJECTIVE_LOWER_IS_BETTER, assign_uses

Select = Literal["best", "all", "test"]
_COUNT_COLUMNS = (
    "configurations",
    "configurations_asked",
    "stopped",
    "diverged",
    "failed",
    "report_trials",
    "report_trials_asked",
)
_CELL_DTYPES = {
    **dict.fromkeys(("study", "arm", "cell", "winner_id", "control_id"), "string"),
    **dict.fromkeys((*_COUNT_COLUMNS, "learned_nothing"), "Int64"),
    **dict.fromkeys(("added", "finished"), "boolean"),
    **dict.fromkeys(("objective", "flops_ratio"), "float64"),
}
MIN_LOG_RANGE_RATIO = 10
"""Ratio of the largest to the smallest value above which a range is logarithmic."""


@dataclass(frozen=True)
class ImpliedCells:
    """Cells of a table's runs.

    Args:
        design: Axes and objective.
        trials: Trials of the runs, with ``cell`` and ``role``.
        cells: One row per cell, with the columns of `analysis.tables.selection.cells`.
        uses: One row per cell and role that a run serves.
        fresh_seeds: True if no winner is reported on the runs that chose it.
    """

    design: Design
    trials: pd.DataFrame
    cells: pd.DataFrame
    uses: pd.DataFrame
    fresh_seeds: bool


def infer_cells(
    runs: ForeignRuns,
    name: str,
    select: Select | None,
    sweep: Sequence[str],
    search: Sequence[str] = (),
) -> ImpliedCells:
    """Infer cells, winners and report trials.

    Args:
        runs: Trials and their evaluations.
        name: Name of the table.
        select: ``best``: the configuration with the best validation mean represents its cell;
            ``all``: every run does; None: ``best`` if validation was measured, else ``all``.
        sweep: Dotted fields that are swept besides sparsity and length.
        search: Dotted fields that are searched, though they set the length.

    Raises:
        DeclarationError: if the table lacks the column that ``select`` needs.
    """
    objective, problems = _objective(runs.trials, select)
    if problems:
        raise DeclarationError(problems, f"the table {quote_value(name)}")

    swept = _swept_fields(runs.trials, sweep, search)
    is_twin_or_teacher = is_auxiliary(runs.trials)
    trials = runs.trials[~is_twin_or_teacher]
    trials = trials.assign(cell=_cell_names(trials, swept))
    searched, ranges = _search_ranges(trials, swept)
    uses = assign_uses(trials, searched, objective)
    cells = _sort_cells(_cell_table(runs, trials, uses, swept, searched, objective), swept)
    fresh = objective is None or not _reports_search_runs(uses, cells)
    seeds = trials.groupby(["cell", "config_id"])["trial_id"].nunique()
    design = Design(
        name=name,
        question=_question(trials, cells, objective, fresh),
        objective=objective,
        minimize=OBJECTIVE_LOWER_IS_BETTER.get(objective or "", True),
        sweep=swept,
        search=searched,
        ranges=ranges,
        search_seeds=int(seeds.min()),
    )
    own = trials.assign(role=_trial_roles(trials, uses))
    apart = _assign_served_cells(runs.trials[is_twin_or_teacher], trials)
    # In the order of the rows of the table that was given.
    every = pd.concat([own, apart]).sort_index()
    return ImpliedCells(design, every, _conform_cells(cells), uses, fresh)


def _objective(trials: pd.DataFrame, select: Select | None) -> tuple[str | None, list[Problem]]:
    """Column that chooses winners, None where all runs count; problems of ``select``."""
    measured = [column for column in OBJECTIVE_LOWER_IS_BETTER if trials[column].notna().any()]
    validation = [column for column in measured if not column.startswith("test_")]
    tests = [column for column in measured if column.startswith("test_")]
    match select:
        case "all":
            return None, []
        case None:
            return (validation[0] if validation else None), []
        case "best" if validation:
            return validation[0], []
        case "best":
            names = ", ".join(name for name in OBJECTIVE_LOWER_IS_BETTER if "val_" in name)
            rule = (
                f"`best` chooses by validation: the table must give one of {names}; or take `all`,"
                " or `test`, which chooses on the test set and says so"
            )
            return None, [Problem("select", rule, "best")]
        case "test" if tests:
            return tests[0], []
        case "test":
            return None, [Problem("select", "`test` needs a result on the test set", "none")]
    rule = "must be `best`, `all`, `test` or left out"
    return None, [Problem("select", rule, quote_value(select))]


def _swept_fields(
    trials: pd.DataFrame, sweep: Sequence[str], search: Sequence[str]
) -> tuple[str, ...]:
    """Sparsity, the fields of length that vary and were not searched, and the caller's."""
    lengths = [path for path in LENGTH_FIELDS if trials[path].nunique() > 1 and path not in search]
    return tuple(dict.fromkeys([TARGET_FIELD, *lengths, *sweep]))


def _sort_cells(cells: pd.DataFrame, sweep: Sequence[str]) -> pd.DataFrame:
    """Cells with dense ones first, then by arm in order of appearance, then by the swept values."""
    keys = cells[list(sweep)].assign(
        is_sparse=cells[TARGET_FIELD] > 0, arm=pd.factorize(cells["arm"])[0]
    )
    index = keys.sort_values(["is_sparse", "arm", *sweep], kind="stable").index
    return cells.loc[index].reset_index(drop=True)


def _trial_roles(trials: pd.DataFrame, uses: pd.DataFrame) -> pd.Series[Any]:
    """Role of each trial: as given, else the first that it serves, else ``search``."""
    first = uses.drop_duplicates("trial_id").set_index("trial_id")["role"]
    served = trials["trial_id"].map(first)
    return trials["role"].fillna(served).fillna("search").astype("string")


def _assign_served_cells(apart: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Twins and teachers, with the cell of the first run that they serve."""
    cells = trials.drop_duplicates("twin_id").set_index("twin_id")["cell"]
    return apart.assign(cell=apart["trial_id"].map(cells).astype("string"))


def _cell_names(trials: pd.DataFrame, sweep: Sequence[str]) -> pd.Series[Any]:
    """Name of each trial's cell, as a study names it: ``gmp/target=0.9/epochs=8``.

    A dense cell's name has no target. Points that print alike get the number of their first row.
    """
    labels = _short_labels(sweep)
    points = trials[["arm", *sweep]].drop_duplicates()
    names: list[str] = []
    for point in points.to_dict("records"):
        parts = [str(point["arm"])]
        for path in sweep:
            value = point[path]
            is_dense_target = path == TARGET_FIELD and value == 0
            if not pd.isna(value) and not is_dense_target:
                text = f"{value:g}" if isinstance(value, float) else str(value)
                parts.append(f"{labels[path]}={text}")
        names.append("/".join(parts))
    named = pd.Series(names, points.index, dtype="string")
    # Values that differ in late digits only print alike.
    numbered = named + "#" + points.index.astype("str")
    named = named.mask(named.duplicated(keep=False), numbered)
    group = trials.groupby(["arm", *sweep], sort=False, dropna=False).ngroup()
    return group.map(dict(enumerate(named))).astype("string")


def _short_labels(paths: Sequence[str]) -> dict[str, str]:
    """Last part of each dotted field, or the whole field where two have the same last part."""
    short = {path: path.rpartition(".")[2] for path in paths}
    names = list(short.values())
    return {path: name if names.count(name) == 1 else path for path, name in short.items()}


def _search_ranges(
    trials: pd.DataFrame, sweep: Sequence[str]
) -> tuple[tuple[str, ...], dict[tuple[str, str], Axis]]:
    """Infer what was searched.

    Returns:
        Fields that vary within a cell; by cell and field, the range of values in the whole table.
    """
    fields = [path for path in dotted_fields(trials) if path not in sweep]
    counts = trials.groupby("cell", sort=False)[fields].nunique()
    search: list[str] = []
    ranges: dict[tuple[str, str], Axis] = {}
    for path in fields:
        searching = counts.index[counts[path] > 1]
        if searching.empty:
            continue
        search.append(path)
        # One range for all cells: within a cell, few runs seldom reach the ends.
        axis = _observed_range(trials[path].dropna())
        for cell in searching:
            ranges[str(cell), path] = axis
    return tuple(search), ranges


def _observed_range(values: pd.Series[Any]) -> Axis:
    """Axis over the values: logarithmic where they are positive and span a factor of ten."""
    # Booleans count as numbers for pandas, but have no range.
    kinds = pd.api.types
    if not kinds.is_numeric_dtype(values.dtype) or kinds.is_bool_dtype(values.dtype):
        return Choice(sorted(values.unique().tolist(), key=str))
    low = float(values.min())
    high = float(values.max())
    if low > 0 and high > MIN_LOG_RANGE_RATIO * low:
        return LogUniform(low=low, high=high)
    return Uniform(low=low, high=high)


def _cell_table(
    runs: ForeignRuns,
    trials: pd.DataFrame,
    uses: pd.DataFrame,
    sweep: Sequence[str],
    search: Sequence[str],
    objective: str | None,
) -> pd.DataFrame:
    """One row per cell in order of first runs, with the columns of `tables.selection.cells`.

    Args:
        runs: All runs, twins too.
        trials: Runs that belong to cells.
        uses: Roles that they serve.
        sweep: Fields that make cells.
        search: Fields that vary within them.
        objective: Column that chose winners; None where nothing was chosen.
    """
    cells = trials.groupby("cell", sort=False)
    status = trials["status"]
    report = uses[uses["role"] == "report"]
    winner = _first_by_cell(report, "config_id")
    won = trials[trials["config_id"] == trials["cell"].map(winner)]
    configurations = cells["config_id"].nunique()
    reports = report.groupby("cell").size()
    frame = cells[["study", "arm"]].first().assign(cell=configurations.index, added=False)
    return frame.assign(
        **{path: cells[path].first() for path in sweep},
        configurations=configurations,
        configurations_asked=configurations,
        stopped=trials[status == "PRUNED"].groupby("cell")["config_id"].nunique(),
        diverged=(status == "DIVERGED").groupby(trials["cell"]).sum(),
        failed=status.isin(["FAILED", "INVALID"]).groupby(trials["cell"]).sum(),
        winner_id=winner,
        objective=_objectives(won, uses, objective),
        **{path: _first_by_cell(won, path) for path in search},
        control_id=_first_by_cell(uses[uses["role"] == "control"], "config_id"),
        report_trials=reports,
        report_trials_asked=reports,
        learned_nothing=_learned_nothing(report, runs.trials),
        flops_ratio=_flops_ratios(report, runs.trials),
        finished=status.isin(FINISHED_STATUSES).groupby(trials["cell"]).all(),
    ).reset_index(drop=True)


def _first_by_cell(rows: pd.DataFrame, column: str) -> pd.Series[Any]:
    """Value of a column in each cell's first row, by cell."""
    return rows.drop_duplicates("cell").set_index("cell")[column]


def _objectives(won: pd.DataFrame, uses: pd.DataFrame, objective: str | None) -> pd.Series[Any]:
    """Mean objective of each cell's winner over the runs of its search; NaN without an objective.

    Args:
        won: Trials of the winners.
        uses: Roles that trials serve.
        objective: The column.
    """
    searched = uses.loc[uses["role"] == "search", "trial_id"]
    # Much quicker than `isin`, which turns each text of a long list into an object.
    is_searched = pd.Series(True, searched.unique()).reindex(won["trial_id"]).notna().to_numpy()
    chosen = won[(won["status"] == "COMPLETE") & is_searched]
    values = chosen[objective] if objective else pd.Series(np.nan, chosen.index)
    return values.groupby(chosen["cell"]).mean()


def _learned_nothing(report: pd.DataFrame, trials: pd.DataFrame) -> pd.Series[Any]:
    """Number of report trials that have learned nothing, by cell; missing where none was judged."""
    flags = report["trial_id"].map(trials.set_index("trial_id")["learned_nothing"])
    return flags.astype("Int64").groupby(report["cell"]).sum(min_count=1)


def _flops_ratios(report: pd.DataFrame, trials: pd.DataFrame) -> pd.Series[Any]:
    """Mean ratio of training FLOPs, report trial to twin, by cell, over pairs that have both."""
    is_complete = trials["status"] == "COMPLETE"
    spent = trials["train_flops"].where(is_complete).set_axis(trials["trial_id"])
    pairs = report.dropna(subset="twin_id")
    own = spent.reindex(pairs["trial_id"]).set_axis(pairs.index)
    twin = spent.reindex(pairs["twin_id"]).set_axis(pairs.index)
    return (own / twin.where(twin > 0)).groupby(pairs["cell"]).mean()


def _reports_search_runs(uses: pd.DataFrame, cells: pd.DataFrame) -> bool:
    """True if a cell with several configurations reports on runs of its search."""
    report = uses[uses["role"] == "report"]
    search = uses[uses["role"] == "search"]
    both = report.merge(search, on=["cell", "trial_id"])
    configurations = cells.set_index("cell")["configurations"]
    return bool(both["cell"].map(configurations).gt(1).any())


def _question(trials: pd.DataFrame, cells: pd.DataFrame, objective: str | None, fresh: bool) -> str:
    """Sentence on the runs behind a point of a curve."""
    counts = {"runs": _count(len(trials), "run"), "networks": _count(len(cells), "network")}
    if objective is None:
        return str(write("reading_all", **counts))
    if cells["configurations"].le(1).all():
        return str(write("reading_single", **counts))
    chosen_by = Measure.by_name(objective).phrase
    if fresh:
        return str(write("reading_fresh", objective=chosen_by, **counts))
    lucky = "reading_lucky_test" if objective.startswith("test_") else "reading_lucky"
    return paragraph([write("reading_same", objective=chosen_by, **counts), write(lucky)])


def _count(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _conform_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with the dtypes of a study's; a count that is missing is 0."""
    return cells.fillna(dict.fromkeys(_COUNT_COLUMNS, 0)).astype(_CELL_DTYPES)
