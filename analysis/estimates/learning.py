"""Networks that have learned nothing, by their answers on the test set, and collapsed trainings.

A network has *learned nothing* if it gives every test example one answer. A training has
*collapsed* if its final training loss is hardly below that of the best constant answer: the rule
is fixed beforehand and reads no test measure of the network, so that leaving collapsed seeds out of
a mean selects nothing by the result.
"""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

from sparsetune.answers.collapses import COLLAPSE_DISTANCE
from sparsetune.errors import SparsetuneError

from ..tables.results import Results
from ..tables.selection import report_rows
from .means import control_uses

ComparedRole = Literal["report", "control", "twin"]
"""Role of trials in a cell: its winner's, those of the dense recipe, and dense twins."""
COMPARED_ROLES: tuple[ComparedRole, ...] = ("report", "control", "twin")


def compared_trials(results: Results, role: ComparedRole = "report") -> pd.DataFrame:
    """COMPLETE trials of a role, one row per cell and seed.

    Returns:
        ``cell seed``, then the columns of `Results.trials` without these and without ``arm role``.

    Raises:
        SparsetuneError: if the role is unknown.
    """
    if role not in COMPARED_ROLES:
        raise SparsetuneError(f"`role` must be one of {', '.join(COMPARED_ROLES)}, got `{role}`")
    if role == "control":
        uses = control_uses(results)
    else:
        uses = report_rows(results)
        if role == "twin":
            uses = uses.drop(columns="trial_id").rename(columns={"twin_id": "trial_id"})
    uses = uses[["cell", "seed", "trial_id"]].dropna(subset="trial_id")
    trials = results.trials().drop(columns=["cell", "seed", "arm", "role"])
    rows = uses.merge(trials, on="trial_id")
    return rows[rows["status"] == "COMPLETE"].reset_index(drop=True)


def learned_nothing(results: Results, role: ComparedRole = "report") -> set[str]:
    """Cells whose networks of a role have all learned nothing, at least one.

    A comparison of recipes through such a cell says nothing of the recipes.

    Args:
        results: The study.
        role: ``report``: the winner's networks; ``control``: those of the dense recipe; ``twin``:
            the dense twins.

    Raises:
        SparsetuneError: if the role is unknown.
    """
    rows = compared_trials(results, role)
    flags = _column(rows, "learned_nothing").astype("boolean").fillna(False)
    every = flags.astype(bool).groupby(rows["cell"]).all()
    return {str(cell) for cell in every.index[every]}


def collapsed_trials(results: Results, distance: float = COLLAPSE_DISTANCE) -> pd.Series[Any]:
    """Whether each trial's training has collapsed, by trial.

    Args:
        results: The study.
        distance: A training has collapsed unless its final training loss is below (1 - distance)
            times the loss of the best constant answer, in (0, 1).

    Returns:
        Booleans, by ``trial_id``; NA where a trial is not COMPLETE or either loss is not known, as
        with a loss of a user's own and in directories of older versions.

    Raises:
        SparsetuneError: if ``distance`` is not in (0, 1).
    """
    if not 0 < distance < 1:
        raise SparsetuneError(f"`distance` must lie between 0 and 1, got {distance}")
    trials = results.trials().set_index("trial_id")
    loss = _column(trials, "train_loss").astype("float64")
    chance = _column(trials, "chance_loss").astype("float64")
    is_known = loss.notna() & (chance > 0) & trials["status"].eq("COMPLETE").fillna(False)
    collapsed = (loss >= (1 - distance) * chance).astype("boolean")
    return collapsed.where(is_known.astype(bool))


def collapses(results: Results, distance: float = COLLAPSE_DISTANCE) -> pd.DataFrame:
    """Number of collapsed trainings in each cell, for each side of a comparison.

    Args:
        results: The study.
        distance: See `collapsed_trials`.

    Returns:
        One row per cell, by its name, in the study's order: ``report report_runs`` (collapsed runs
        and all runs that were judged), ``control control_runs``, ``twin twin_runs``; 0 of 0 where
        none was judged.

    Raises:
        SparsetuneError: if ``distance`` is not in (0, 1).
    """
    collapsed = collapsed_trials(results, distance)
    names = list(dict.fromkeys(results.cells()["cell"]))
    counts = pd.DataFrame(index=pd.Index(names, name="cell"))
    for role in COMPARED_ROLES:
        rows = compared_trials(results, role)
        judged = rows.assign(collapsed=rows["trial_id"].map(collapsed)).dropna(subset="collapsed")
        by_cell = judged["collapsed"].astype("int64").groupby(judged["cell"])
        counts[role] = by_cell.sum().reindex(counts.index, fill_value=0)
        counts[f"{role}_runs"] = by_cell.size().reindex(counts.index, fill_value=0)
    return counts


def _column(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    return frame[name] if name in frame else pd.Series(pd.NA, frame.index, dtype="object")
