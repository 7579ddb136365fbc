"""Checks of every trial's evaluations: none twice, none left out, sparsity never falls."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pandas as pd

from ..catalogue import write
from .evidence import Evidence, has_value, require_columns
from .finding import Count, Finding, format_count

MIN_GRID_SHARE = 0.5
"""Share of like trials from which on a step is one that all of them should have."""
MIN_LIKE_TRIALS = 3
"""Like trials that are needed to tell which steps they share, or where training ends."""
PROGRESS_TOLERANCE = 1e-6
EARLY_END_MARGIN = 0.01
"""Part of its length by which a trial must end before the others to count as early."""
FALL_TOLERANCE = 0.005
"""Fall of a sparsity that may be rounding."""
ALTERNATING_METHODS = re.compile(r"ac.?dc|alternat|decompress|regrow|\biht\b|\bdsd\b")
"""Methods, and names of arms, whose sparsity falls on purpose."""


def broken_histories(evidence: Evidence) -> Iterator[Finding]:
    """Find trials with a step twice, without one that like trials have, or with an early end."""
    trials = require_columns(evidence.trials, "status").set_index("trial_id")
    history = evidence.history.dropna(subset=evidence.step_column)
    history = history.assign(step=history[evidence.step_column].astype("float64"))
    is_repeated = history.duplicated(["trial_id", "step"])
    faults = {
        "found_step_twice": pd.Index(history.loc[is_repeated, "trial_id"].unique()),
        "found_step_missing": _trials_with_gaps(history.drop_duplicates(["trial_id", "step"])),
        "found_incomplete": _incomplete_trials(trials),
        "found_ended_early": _trials_ended_early(evidence, trials),
    }
    runs = evidence.runs.drop_duplicates("trial_id").set_index("trial_id")[["arm", "cell"]]
    for arm, own in runs.groupby("arm", sort=False):
        said = []
        cells: list[str] = []
        for name, broken in faults.items():
            found = own[own.index.isin(broken)]
            if len(found):
                said.append(
                    write(name, found=Count(len(found)), runs=format_count(len(own), "run"))
                )
                cells += map(str, found["cell"])
        if said:
            yield Finding(str(arm), cells, said)


def falling_sparsities(evidence: Evidence) -> Iterator[Finding]:
    """Find trials whose sparsity falls during training, unless their method says that it does."""
    history = require_columns(evidence.history, "trial_id", "sparsity")
    history = history.assign(step=evidence.history[evidence.step_column].astype("float64"))
    history = history.dropna(subset=["step", "sparsity"]).sort_values("step", kind="stable")
    change = history.groupby("trial_id")["sparsity"].diff().astype("float64")
    falls = history.loc[change < -FALL_TOLERANCE, "trial_id"].value_counts()
    runs = evidence.runs.drop_duplicates("trial_id")
    names = runs["arm"].astype("str")
    if "sparsity.method" in runs:
        names = names + " " + runs["sparsity.method"].astype("str")
    is_alternating = names.str.lower().str.contains(ALTERNATING_METHODS)
    found = runs[runs["trial_id"].isin(falls.index) & ~is_alternating]
    for arm, own in found.groupby("arm", sort=False):
        first = own["trial_id"].iloc[0]
        rows = history[history["trial_id"] == first]
        place = change[rows.index].idxmin()
        before = rows["sparsity"].astype("float64").shift()[place]
        said = write(
            "found_fall",
            runs=format_count(len(own), "run"),
            run=first,
            before=f"{100 * before:.4g}",
            after=f"{100 * rows.loc[place, 'sparsity']:.4g}",
        )
        yield Finding(str(arm), list(own["cell"]), [said])


def _incomplete_trials(trials: pd.DataFrame) -> pd.Index:
    """Trials that are COMPLETE though their progress is below 1."""
    if "progress" not in trials:
        return trials.index[:0]
    is_short = (trials["progress"] < 1 - PROGRESS_TOLERANCE).fillna(False)
    return trials.index[has_value(trials["status"], "COMPLETE") & is_short]


def _trials_ended_early(evidence: Evidence, trials: pd.DataFrame) -> pd.Index:
    """COMPLETE trials of no declared length that end before most like trials end together.

    Trials of one cell are alike, counted in epochs; without epochs those of one configuration are,
    since other batch sizes have other steps. Where most do not end together, a stopping rule is at
    work.
    """
    is_open = pd.Series(True, trials.index)
    if "schedule.epochs" in trials:
        is_open = trials["schedule.epochs"].isna()
    open_ended = trials.index[has_value(trials["status"], "COMPLETE") & is_open]
    history = evidence.history
    has_epochs = "epoch" in history and bool(history["epoch"].notna().any())
    rows = history[history["trial_id"].isin(open_ended)]
    column = "epoch" if has_epochs else evidence.step_column
    last = rows.groupby("trial_id")[column].max().astype("float64").dropna()
    own = evidence.own_trials.drop_duplicates("trial_id").set_index("trial_id")
    group = own["cell"] if has_epochs else own["config_id"]
    # Loggers count from 0 or from 1, so that an end may differ by one epoch.
    slack = 1 if has_epochs else 0
    early: list[str] = []
    for _, ends in last.groupby(group.reindex(last.index)):
        is_shared_end = (ends == ends.max()).mean() > MIN_GRID_SHARE
        if len(ends) >= MIN_LIKE_TRIALS and is_shared_end:
            is_early = (1 + EARLY_END_MARGIN) * ends + slack < ends.max()
            early += list(ends.index[is_early])
    return pd.Index(early)


def _trials_with_gaps(history: pd.DataFrame) -> pd.Index:
    """Trials that lack a step, before their last one, which most trials of their length have."""
    trial_ids = history["trial_id"]
    total = _median_ratio(history, "progress")
    if total is None:
        total = history.groupby("trial_id")["step"].transform("max").astype("float64")
    lengths = {"total": total.round()}
    per_epoch = _median_ratio(history, "epoch")  # other batch sizes have other steps
    if per_epoch is not None:
        lengths["per_epoch"] = per_epoch.round()
    rows = history[["trial_id", "step"]].assign(**lengths)
    last = rows.groupby(["trial_id", *lengths], dropna=False)["step"].max().reset_index()
    gaps: list[str] = []
    for _, like in last.groupby(list(lengths), dropna=False):
        if len(like) >= MIN_LIKE_TRIALS:
            own = rows[trial_ids.isin(like["trial_id"])]
            gaps += _trials_lacking_steps(own, like)
    return pd.Index(gaps)


def _median_ratio(history: pd.DataFrame, column: str) -> pd.Series[float] | None:
    """Median over each trial of its steps over a column's values; None if the column is unknown."""
    if column not in history or history[column].isna().all():
        return None
    ratio = history["step"] / history[column].astype("float64")
    return ratio.groupby(history["trial_id"]).transform("median")


def _trials_lacking_steps(rows: pd.DataFrame, last: pd.DataFrame) -> list[str]:
    """Trials that lack a step of the grid that trials of their length share.

    Args:
        rows: Steps of these trials.
        last: Last step of each trial.
    """
    have = rows.groupby("step").size()
    reached = [int((last["step"] >= step).sum()) for step in have.index]
    # A step is judged by the trials that got so far.
    is_on_grid = have > MIN_GRID_SHARE * pd.Series(reached, have.index)
    grid = have.index[is_on_grid].to_series().sort_values()
    due = pd.Series(grid.searchsorted(last["step"], side="right"), last["trial_id"])
    got = rows[rows["step"].isin(grid)].groupby("trial_id").size()
    got = got.reindex(due.index, fill_value=0)
    return [str(name) for name in due.index[got < due]]
