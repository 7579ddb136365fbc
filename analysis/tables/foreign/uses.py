"""Roles that runs of a table serve: in the search, as reports of a winner, as controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sparsetune.errors import DeclarationError, Problem
from sparsetune.spec.declaration import digest_of

from ..design import EPOCH_MULTIPLIER_FIELD, EPOCHS_FIELD, TARGET_FIELD
from ..selection import USE_DTYPES, dense_arm_of

OBJECTIVE_LOWER_IS_BETTER = {
    "val_error": True,
    "val_score": False,
    "val_accuracy": False,
    "val_loss": True,
    "test_score": False,
    "test_accuracy": False,
    "test_loss": True,
}
"""True if lower is better, by column that may choose winners; of those measured the first does."""
USE_COLUMNS = list(USE_DTYPES)
_LOST_STATUSES = ("DIVERGED", "PRUNED", "INVALID")
"""Statuses of a run that keep its configuration from winning."""
MAX_SEED_ENTRIES = 50_000_000
"""Cells times runs without a seed: larger tables of cells by seeds do not fit into memory."""


def assign_uses(trials: pd.DataFrame, search: Sequence[str], objective: str | None) -> pd.DataFrame:
    """One row per cell and role that a run serves, with `USE_COLUMNS`.

    A run serves the search that chose a winner, the report on the winner or, where nothing was
    chosen, on the whole cell, or is a control.
    """
    role = trials["role"].fillna("both")
    may_search = role.isin(["both", "search"])
    is_searched = trials["cell"].isin(trials.loc[may_search, "cell"].unique())
    # Runs marked as reports compete only in cells without any other run.
    competes = may_search | (role.eq("report") & ~is_searched)
    base = _base_uses(trials, search)
    if objective is None:
        winners = {}
        report = _pooled_reports(base[may_search | role.eq("report")])
    else:
        winners = _winners(trials[competes], objective)
        report = _winner_reports(base, winners, role.eq("report"), competes)
    report = report.assign(role="report", seed=_pairing_seeds(report))
    controls = _controls(trials, base, search, winners)
    searched = base[competes].assign(role="search")
    every = pd.concat([report, controls, searched], ignore_index=True)
    return every[USE_COLUMNS].astype(USE_DTYPES)


def _base_uses(trials: pd.DataFrame, search: Sequence[str]) -> pd.DataFrame:
    """`USE_COLUMNS` of each trial except its role."""
    configurations = trials.groupby("cell", sort=False)["config_id"]
    index = configurations.transform(lambda ids: pd.factorize(ids)[0])
    base = trials.assign(source=_source_names(trials, search), index=index)
    return base[[column for column in USE_COLUMNS if column != "role"]]


def _pooled_reports(report: pd.DataFrame) -> pd.DataFrame:
    """All runs of each cell as reports on one configuration, which stands for the whole cell."""
    counts = report.groupby("cell")["config_id"].nunique()
    is_pooled = report["cell"].map(counts) > 1
    # One configuration per cell is what the tables of a study have for reports.
    pooled_id = "all-" + report["cell"].map(_digest)
    return report.assign(config_id=report["config_id"].mask(is_pooled, pooled_id))


def _digest(cell: str) -> str:
    return digest_of(cell)


def _winner_reports(
    base: pd.DataFrame,
    winners: Mapping[str, str],
    is_report: pd.Series[Any],
    competes: pd.Series[Any],
) -> pd.DataFrame:
    """Runs of each cell's winner that report it: those marked so, else those that chose it."""
    is_winner = base["config_id"] == base["cell"].map(winners)
    fresh = base[is_winner & is_report]
    reused = base[is_winner & competes & ~base["cell"].isin(fresh["cell"].unique())]
    return pd.concat([fresh, reused])


def _winners(trials: pd.DataFrame, objective: str) -> dict[str, str]:
    """Configuration of each cell with the best mean over its complete runs; the first on a tie."""
    keys = ["cell", "config_id"]
    complete = trials[trials["status"] == "COMPLETE"]
    groups = complete.groupby(keys, sort=False)[objective]
    # A mean over fewer runs than its rivals' would not be comparable.
    means = groups.mean().where(groups.count() == groups.size())
    # The other seeds of a configuration that diverged once would flatter it.
    lost = trials[trials["status"].isin(_LOST_STATUSES)].set_index(keys).index
    means = means[~means.index.isin(lost)].dropna()
    means = means.sort_values(ascending=OBJECTIVE_LOWER_IS_BETTER[objective], kind="stable")
    best = means.reset_index().drop_duplicates("cell")
    return dict(zip(best["cell"], best["config_id"], strict=True))


def _pairing_seeds(report: pd.DataFrame) -> pd.Series[Any]:
    """Seeds by which runs of different cells are paired.

    A cell with a run without a seed, or with one seed twice, gets negative numbers, which pair with
    no run of another cell.

    Raises:
        DeclarationError: if there are too many runs without a seed.
    """
    seed = report["seed"].astype("Int64")
    is_repeated = report.assign(seed=seed).duplicated(["cell", "seed"], keep=False)
    is_broken = seed.isna() | is_repeated
    # All runs of such a cell lose their seeds: pairing only some would be arbitrary.
    is_unpaired = report["cell"].isin(report.loc[is_broken, "cell"].unique())
    cells = report["cell"].nunique()
    unpaired = int(is_unpaired.sum())
    if cells * unpaired > MAX_SEED_ENTRIES:
        rule = "so many runs need seeds: give the column"
        got = f"{cells} cells, {unpaired} runs without a seed of their own"
        raise DeclarationError([Problem("seed", rule, got)], "the table")
    own = pd.Series(-1 - np.arange(len(report)), report.index, dtype="Int64")
    return seed.mask(is_unpaired, own)


def _source_names(trials: pd.DataFrame, search: Sequence[str]) -> pd.Series[Any]:
    """Name of each trial's point of the search, equal in every cell that tried the point.

    Points are compared on the axes that all cells share if these tell configurations apart, else on
    all axes. Where not even these do, the configuration's own id is the name.
    """
    if not search:
        return pd.Series("base", trials.index, dtype="string")
    cells = trials.groupby("cell")
    shared = [path for path in search if cells[path].count().gt(0).all()]
    for axes in (shared, list(search)):
        if not axes:
            continue
        points = trials.groupby(["cell", *axes], dropna=False)
        if (points["config_id"].nunique() <= 1).all():
            group = trials.groupby(axes, sort=False, dropna=False).ngroup()
            return "point:" + group.astype("string")
    return trials["config_id"]


def _controls(
    trials: pd.DataFrame, base: pd.DataFrame, search: Sequence[str], winners: Mapping[str, str]
) -> pd.DataFrame:
    """Uses of runs as controls: sparse runs with the dense network's recipe.

    Runs marked so are the controls. If none is, those of each sparse cell are its runs with the
    recipe of the winner of the shortest dense cell; a cell where several configurations have that
    recipe, or none, has no control.
    """
    is_marked = (trials["role"] == "control").to_numpy(dtype=bool, na_value=False)
    index = list(base.index[is_marked])
    dense = trials[trials[TARGET_FIELD] == 0]
    shared = [path for path in search if dense[path].notna().any()]
    if not index and shared:
        sparse = trials[trials[TARGET_FIELD] > 0]
        dense_winners = dense[dense["config_id"] == dense["cell"].map(winners)]
        dense_arms = list(dict.fromkeys(dense["arm"]))
        for arm, runs in sparse.groupby("arm", sort=False):
            own = dense_winners[dense_winners["arm"] == dense_arm_of(str(arm), dense_arms)]
            if len(own):
                index += _runs_of_recipe(runs, _shortest_recipe(own, shared))
    return base.loc[index].assign(role="control", source="control")


def _shortest_recipe(trials: pd.DataFrame, fields: Sequence[str]) -> pd.Series[Any]:
    """Values of ``fields`` in the first of the trials with the shortest training."""
    by_length = trials.sort_values([EPOCHS_FIELD, EPOCH_MULTIPLIER_FIELD], kind="stable")
    return by_length[list(fields)].iloc[0]


def _runs_of_recipe(runs: pd.DataFrame, recipe: pd.Series[Any]) -> list[Any]:
    """Index of the runs with a recipe, in cells where one configuration has it.

    Args:
        runs: Trials of an arm.
        recipe: Value by dotted field; missing equals missing.
    """
    values = runs[list(recipe.index)]
    is_same = values.eq(recipe) | (values.isna() & recipe.isna())
    same = runs[is_same.all(axis=1)]
    configurations = same.groupby("cell")["config_id"].transform("nunique")
    return list(same.index[configurations == 1])
