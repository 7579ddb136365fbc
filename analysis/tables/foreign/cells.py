"""Cells of runs that nobody declared: their axes, each cell's winner, and which runs stand for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.tables.design import LENGTH_FIELDS, TARGET_FIELD, Design
from analysis.tables.foreign.columns import list_names, quote_value
from analysis.tables.foreign.runs import (
    EPOCH_MULTIPLIER_FIELD,
    EPOCHS_FIELD,
    ForeignRuns,
    dotted_fields,
    is_auxiliary,
)
from analysis.tables.selection import dense_arm_of
from sparsetune.errors import DeclarationError, Problem
from sparsetune.spec.columns import FINISHED_STATUSES
from sparsetune.spec.declaration import digest_of
from sparsetune.study.space import Axis, Choice, LogUniform, Uniform

Select = Literal["best", "all"]
OBJECTIVE_LOWER_IS_BETTER = {
    "val_error": True,
    "val_score": False,
    "val_accuracy": False,
    "val_loss": True,
}
"""Validation columns that winners may be chosen by, and whether lower is better; the first that was measured counts."""
USE_COLUMNS = ["cell", "arm", "role", "config_id", "source", "index", "seed", "trial_id", "twin_id"]
_USE_DTYPES = dict.fromkeys(USE_COLUMNS, "string") | {"index": "Int64", "seed": "Int64"}
_LOST_STATUSES = ("DIVERGED", "PRUNED", "INVALID")
"""A configuration with a run of one of these cannot win."""
MAX_SEED_ENTRIES = 50_000_000
"""Cells times runs without a seed: tables of seeds that are larger do not fit into memory."""


@dataclass(frozen=True)
class ImpliedCells:
    """What a table's runs imply.

    Args:
        design: Axes and objective.
        trials: Those of the runs, with ``cell`` and ``role``.
        cells: One row per cell, with the columns of `analysis.tables.selection.cells`.
        uses: One row per cell and role that a run serves.
        fresh_seeds: Whether no winner is reported on the runs that it was chosen by.
    """

    design: Design
    trials: pd.DataFrame
    cells: pd.DataFrame
    uses: pd.DataFrame
    fresh_seeds: bool


def infer_cells(
    runs: ForeignRuns, name: str, select: Select | None, sweep: Sequence[str]
) -> ImpliedCells:
    """Cells, winners and report trials.

    Args:
        runs: What was run.
        name: Of the table.
        select: ``best``: the configuration with the best validation mean stands for its cell; ``all``: every run does;
            None: the best where validation was measured, else all.
        sweep: Dotted fields that are swept besides sparsity and length.

    Raises:
        DeclarationError: if a field of ``sweep`` is not given, or nothing can be chosen by.
    """
    objective = next((c for c in OBJECTIVE_LOWER_IS_BETTER if runs.trials[c].notna().any()), None)
    problems = [
        Problem(
            path,
            f"`sweep` takes fields that the table gives: {list_names(dotted_fields(runs.trials))}",
        )
        for path in sweep
        if path not in dotted_fields(runs.trials)
    ]
    if select not in (None, "best", "all"):
        problems.append(Problem("select", "must be `best`, `all` or left out", quote_value(select)))
    if select == "best" and objective is None:
        rule = f"`best` chooses by validation: the table must give one of {', '.join(OBJECTIVE_LOWER_IS_BETTER)}; or take `all`"
        problems.append(Problem("select", rule, "best"))
    if problems:
        raise DeclarationError(problems, f"the table {quote_value(name)}")
    swept = tuple(
        dict.fromkeys(
            [TARGET_FIELD, *(p for p in LENGTH_FIELDS if runs.trials[p].nunique() > 1), *sweep]
        )
    )
    apart = is_auxiliary(runs.trials)
    trials = runs.trials[~apart]
    trials = trials.assign(cell=_cell_names(trials, swept))
    chosen = None if select == "all" else objective
    search, ranges = _search_ranges(trials, swept)
    uses = _uses(trials, search, chosen)
    complete = runs.trials["status"] == "COMPLETE"
    spent = runs.trials["train_flops"].where(complete).set_axis(runs.trials["trial_id"])
    value = trials[chosen] if chosen else np.nan
    cells = _table(trials.assign(value=value), uses, swept, search, spent)
    rank = cells[list(swept)].assign(
        dense=cells[TARGET_FIELD] > 0, arm=pd.factorize(cells["arm"])[0]
    )
    cells = cells.loc[rank.sort_values(["dense", "arm", *swept], kind="stable").index].reset_index(
        drop=True
    )
    roles = uses.drop_duplicates("trial_id").set_index("trial_id")["role"]
    role = trials["role"].fillna(trials["trial_id"].map(roles)).fillna("search").astype("string")
    fresh = chosen is None or not _reports_search_runs(uses, cells)
    seeds = trials.groupby(["cell", "config_id"])["trial_id"].nunique()
    design = Design(
        name=name,
        question=_question(trials, cells, chosen, fresh),
        objective=chosen,
        minimize=OBJECTIVE_LOWER_IS_BETTER.get(chosen or "", True),
        sweep=swept,
        search=search,
        ranges=ranges,
        search_seeds=int(seeds.min()),
    )
    trials = pd.concat(
        [trials.assign(role=role), _assign_served_cells(runs.trials[apart], trials)]
    ).sort_index()
    return ImpliedCells(design, trials, _narrow_columns(cells), uses, fresh)


def _assign_served_cells(apart: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Twins and teachers, with the cell of the first run that they serve."""
    cells = trials.drop_duplicates("twin_id").set_index("twin_id")["cell"]
    return apart.assign(cell=apart["trial_id"].map(cells).astype("string"))


def _cell_names(trials: pd.DataFrame, sweep: Sequence[str]) -> pd.Series[Any]:
    """``gmp/target=0.9/epochs=8``, as a study names its cells; a dense cell names no target."""
    short = {path: path.rpartition(".")[2] for path in sweep}
    short = {
        path: name if list(short.values()).count(name) == 1 else path
        for path, name in short.items()
    }
    points = trials[["arm", *sweep]].drop_duplicates()
    names = []
    for point in points.to_dict("records"):
        kept = [
            p for p in sweep if not pd.isna(point[p]) and not (p == TARGET_FIELD and point[p] == 0)
        ]
        parts = [
            f"{short[p]}={point[p]:g}" if isinstance(point[p], float) else f"{short[p]}={point[p]}"
            for p in kept
        ]
        names.append("/".join([str(point["arm"]), *parts]))
    named = pd.Series(names, points.index, dtype="string")
    named = named.mask(named.duplicated(keep=False), named + "#" + points.index.astype("str"))
    group = trials.groupby(["arm", *sweep], sort=False, dropna=False).ngroup()
    return group.map(dict(enumerate(named))).astype("string")


def _search_ranges(
    trials: pd.DataFrame, sweep: Sequence[str]
) -> tuple[tuple[str, ...], dict[tuple[str, str], Axis]]:
    """The fields that vary within a cell, and the range that they were seen in, over the whole table."""
    fields = [path for path in dotted_fields(trials) if path not in sweep]
    counts = trials.groupby("cell", sort=False)[fields].nunique()
    search = tuple(path for path in fields if (counts[path] > 1).any())
    seen = {path: _range(trials[path].dropna()) for path in search}
    return search, {(str(cell), p): seen[p] for p in search for cell in counts.index[counts[p] > 1]}


def _range(values: pd.Series[Any]) -> Axis:
    """Logarithmic where numbers are positive and span more than a factor of ten."""
    if not pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
        return Choice(sorted(values.unique().tolist(), key=str))
    low = float(values.min())
    high = float(values.max())
    return (LogUniform if low > 0 and high > 10 * low else Uniform)(low=low, high=high)


def _uses(trials: pd.DataFrame, search: Sequence[str], objective: str | None) -> pd.DataFrame:
    """What every run serves: the search that chose winners, and the report on the winner or on the whole cell."""
    role = trials["role"].fillna("both")
    searching = trials["cell"].isin(trials.loc[role.isin(["both", "search"]), "cell"])
    competing = trials[role.isin(["both", "search"]) | (role.eq("report") & ~searching)]
    source = _source_names(trials, search)
    index = trials.groupby("cell", sort=False)["config_id"].transform(
        lambda ids: pd.factorize(ids)[0]
    )
    base = trials.assign(source=source, index=index)[
        [column for column in USE_COLUMNS if column != "role"]
    ]
    searched = base.loc[competing.index].assign(role="search")
    winners = _winners(trials.loc[competing.index], objective) if objective else {}
    if objective is None:
        report = base[role.isin(["both", "search", "report"])]
        pooled = report["cell"].map(report.groupby("cell")["config_id"].nunique()) > 1
        report = report.assign(
            config_id=report["config_id"].mask(pooled, "all-" + report["cell"].map(_digest))
        )
    else:
        won = base[base["config_id"] == base["cell"].map(winners)]
        fresh = won[role.reindex(won.index) == "report"]
        report = pd.concat(
            [fresh, won[~won["cell"].isin(fresh["cell"]) & won.index.isin(competing.index)]]
        )
    report = report.assign(role="report", seed=_seeds(report))
    parts = [report, _controls(trials, base, search, winners), searched]
    return pd.concat(parts, ignore_index=True)[USE_COLUMNS].astype(_USE_DTYPES)


def _digest(cell: str) -> str:
    return digest_of(cell)


def _winners(trials: pd.DataFrame, objective: str) -> dict[str, str]:
    """The configuration of each cell with the best mean over its complete runs; the earlier one on a tie."""
    keys = ["cell", "config_id"]
    complete = trials[trials["status"] == "COMPLETE"]
    groups = complete.groupby(keys, sort=False)[objective]
    means = groups.mean().where(groups.count() == groups.size())
    lost = trials[trials["status"].isin(_LOST_STATUSES)].set_index(keys).index
    means = (
        means[~means.index.isin(lost)]
        .dropna()
        .sort_values(ascending=OBJECTIVE_LOWER_IS_BETTER[objective], kind="stable")
    )
    best = means.reset_index().drop_duplicates("cell")
    return dict(zip(best["cell"], best["config_id"], strict=True))


def _seeds(report: pd.DataFrame) -> pd.Series[Any]:
    """The seeds that pair cells; where a cell has none, or one twice, numbers of their own that pair with no other's.

    Raises:
        DeclarationError: if there are too many runs without a seed.
    """
    seed = report["seed"].astype("Int64")
    broken = seed.isna() | report.assign(seed=seed).duplicated(["cell", "seed"], keep=False)
    unpaired = report["cell"].isin(report.loc[broken, "cell"])
    if report["cell"].nunique() * int(unpaired.sum()) > MAX_SEED_ENTRIES:
        got = f"{report['cell'].nunique()} cells, {int(unpaired.sum())} runs without a seed of their own"
        raise DeclarationError(
            [Problem("seed", "so many runs need seeds: give the column", got)], "the table"
        )
    own = pd.Series(-1 - np.arange(len(report)), report.index, dtype="Int64")
    return seed.mask(unpaired, own)


def _source_names(trials: pd.DataFrame, search: Sequence[str]) -> pd.Series[Any]:
    """A name for each point of the search, the same in every cell, by the axes that all cells share if they suffice."""
    shared = [path for path in search if trials.groupby("cell")[path].count().gt(0).all()]
    for axes in (shared, list(search)):
        if (
            axes
            and (trials.groupby(["cell", *axes], dropna=False)["config_id"].nunique() <= 1).all()
        ):
            group = trials.groupby(axes, sort=False, dropna=False).ngroup()
            return "point:" + group.astype("string")
    return trials["config_id"] if search else pd.Series("base", trials.index, dtype="string")


def _controls(
    trials: pd.DataFrame, base: pd.DataFrame, search: Sequence[str], winners: Mapping[str, str]
) -> pd.DataFrame:
    """The runs of that role; else, in each sparse cell, those with the recipe of the winner of its shortest dense cell.

    Where several configurations have that recipe, or none, the cell has no control.
    """
    given = base[(trials["role"] == "control").to_numpy(dtype=bool, na_value=False)]
    dense = trials[trials[TARGET_FIELD] == 0]
    sparse = trials[trials[TARGET_FIELD] > 0]
    arms = list(dict.fromkeys(dense["arm"]))
    shared = [path for path in search if dense[path].notna().any()]
    found: list[Any] = list(given.index)
    for arm, runs in sparse.groupby("arm", sort=False) if given.empty and shared else ():
        own = dense[
            (dense["arm"] == dense_arm_of(str(arm), arms))
            & (dense["config_id"] == dense["cell"].map(winners))
        ]
        if len(own):
            recipe = own.sort_values([EPOCHS_FIELD, EPOCH_MULTIPLIER_FIELD], kind="stable")[
                shared
            ].iloc[0]
            same = runs[
                (runs[shared].eq(recipe) | (runs[shared].isna() & recipe.isna())).all(axis=1)
            ]
            alone = same.groupby("cell")["config_id"].transform("nunique") == 1
            found += list(same.index[alone])
    return base.loc[found].assign(role="control", source="control")


def _table(
    trials: pd.DataFrame,
    uses: pd.DataFrame,
    sweep: Sequence[str],
    search: Sequence[str],
    spent: pd.Series[Any],
) -> pd.DataFrame:
    """One row per cell, in the order of their first runs, with the columns of `analysis.tables.selection.cells`.

    Args:
        trials: With the column ``value`` that winners were chosen by; NaN where nothing was.
        uses: What they serve.
        sweep: Fields that make cells.
        search: Fields that vary within them.
        spent: Training FLOPs by trial.
    """
    cells = trials.groupby("cell", sort=False)
    status = trials["status"]
    report, control = (uses[uses["role"] == role] for role in ("report", "control"))
    winner = report.drop_duplicates("cell").set_index("cell")["config_id"]
    won = trials[trials["config_id"] == trials["cell"].map(winner)]
    chosen = won[
        (won["status"] == "COMPLETE")
        & won["trial_id"].isin(uses.loc[uses["role"] == "search", "trial_id"])
    ]
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
        objective=chosen.groupby("cell")["value"].mean(),
        **{path: won.drop_duplicates("cell").set_index("cell")[path] for path in search},
        control_id=control.drop_duplicates("cell").set_index("cell")["config_id"],
        report_trials=reports,
        report_trials_asked=reports,
        flops_ratio=_ratios(report, spent),
        finished=status.isin(FINISHED_STATUSES).groupby(trials["cell"]).all(),
    ).reset_index(drop=True)


def _ratios(report: pd.DataFrame, spent: pd.Series[Any]) -> pd.Series[Any]:
    """Mean training FLOPs of each cell's report trials over those of their twins, over the pairs that have both."""
    pairs = report.dropna(subset="twin_id")
    own, twin = (
        spent.reindex(pairs[name]).set_axis(pairs.index) for name in ("trial_id", "twin_id")
    )
    return (own / twin.where(twin > 0)).groupby(pairs["cell"]).mean()


def _reports_search_runs(uses: pd.DataFrame, cells: pd.DataFrame) -> bool:
    """Whether a cell with several configurations reports on runs that took part in its search."""
    report = uses[uses["role"] == "report"].merge(
        uses[uses["role"] == "search"], on=["cell", "trial_id"]
    )
    return bool(report["cell"].map(cells.set_index("cell")["configurations"]).gt(1).any())


def _question(trials: pd.DataFrame, cells: pd.DataFrame, objective: str | None, fresh: bool) -> str:
    """What stands behind a point of a curve, in a sentence."""
    runs = (
        f"{len(trials)} run{'s' * (len(trials) != 1)} in {len(cells)} cell{'s' * (len(cells) != 1)}"
    )
    if objective is None:
        return f"{runs}; nothing was selected: every cell's curve is over all its runs."
    if cells["configurations"].le(1).all():
        return f"{runs}; every cell has one configuration, so nothing was chosen: its curve is over that one's runs."
    how = f"{runs}; each cell's winner has the best mean {objective}"
    return (
        f"{how}, and is reported on runs that did not choose it."
        if fresh
        else (
            f"{how}, and is reported on the very runs that chose it: its validation values are lucky, and tests partly."
        )
    )


def _narrow_columns(cells: pd.DataFrame) -> pd.DataFrame:
    whole = [
        "configurations",
        "configurations_asked",
        "stopped",
        "diverged",
        "failed",
        "report_trials",
    ]
    dtypes: dict[str, str] = dict.fromkeys(
        ["study", "arm", "cell", "winner_id", "control_id"], "string"
    )
    dtypes = dtypes | dict.fromkeys([*whole, "report_trials_asked"], "Int64")
    dtypes = dtypes | {
        "added": "boolean",
        "finished": "boolean",
        "objective": "float64",
        "flops_ratio": "float64",
    }
    return cells.fillna(dict.fromkeys([*whole, "report_trials_asked"], 0)).astype(dtypes)
