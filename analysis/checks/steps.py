"""The check of every trial's evaluations: none twice, none left out."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from analysis.checks.evidence import Evidence, has_value, require_columns
from analysis.checks.finding import Finding, format_count

MIN_GRID_SHARE = 0.5
"""A step belongs to the grid of like trials if this share of those that got so far has it."""
MIN_LIKE_TRIALS = 3
"""Like trials from which on they show what the grid is, or where training ends."""


def broken_histories(evidence: Evidence) -> Iterator[Finding]:
    """Trials with a step twice, without one that like trials have, or that count as COMPLETE before their end."""
    trials = require_columns(evidence.trials, "status").set_index("trial_id")
    history = evidence.history.dropna(subset=evidence.clock)
    history = history.assign(step=history[evidence.clock].astype("float64"))
    twice = history.loc[history.duplicated(["trial_id", "step"]), "trial_id"].unique()
    gaps = _gaps(history.drop_duplicates(["trial_id", "step"]))
    short = trials.index[:0]
    if "progress" in trials:
        short = trials.index[
            has_value(trials["status"], "COMPLETE") & (trials["progress"] < 1 - 1e-6).fillna(False)
        ]
    kinds = {
        "with a step twice": twice,
        "without a step that like ones have": gaps,
        "COMPLETE before their end": short,
    }
    kinds["COMPLETE, though most like ones end later"] = _trials_ended_early(evidence, trials)
    runs = evidence.runs.drop_duplicates("trial_id").set_index("trial_id")[["arm", "cell"]]
    for arm, own in runs.groupby("arm", sort=False):
        parts = {words: own.index[own.index.isin(found)] for words, found in kinds.items()}
        parts = {words: found for words, found in parts.items() if len(found)}
        if parts:
            got = ", ".join(f"{len(found)} {words}" for words, found in parts.items())
            cells = [str(own.at[trial, "cell"]) for found in parts.values() for trial in found]
            yield Finding(str(arm), cells, f"of {format_count(len(own), 'trial')}, {got}")


def _trials_ended_early(evidence: Evidence, trials: pd.DataFrame) -> pd.Index:
    """COMPLETE trials of no declared length that end before most of their cell, or configuration, end together.

    Where most do not end together a stopping rule is at work; other batch sizes have other steps, but not epochs.
    """
    declared = trials["schedule.epochs"].notna() if "schedule.epochs" in trials else False
    open_ended = trials.index[
        has_value(trials["status"], "COMPLETE") & ~pd.Series(declared, trials.index)
    ]
    epochs = "epoch" in evidence.history and evidence.history["epoch"].notna().any()
    clock = "epoch" if epochs else evidence.clock
    rows = evidence.history[evidence.history["trial_id"].isin(open_ended)]
    lasts = rows.groupby("trial_id")[clock].max().astype("float64").dropna()
    own = evidence.own_trials.drop_duplicates("trial_id").set_index("trial_id")
    like = own["cell"] if epochs else own["config_id"]
    gone: list[str] = []
    for _, ends in lasts.groupby(like.reindex(lasts.index)):
        together = (ends == ends.max()).mean() > MIN_GRID_SHARE
        if len(ends) >= MIN_LIKE_TRIALS and together:
            gone += list(ends.index[1.01 * ends + epochs < ends.max()])
    return pd.Index(gone)


def _gaps(history: pd.DataFrame) -> pd.Index:
    """Trials that lack a step, before their last one, which most trials as long as they are have."""
    if "progress" in history and history["progress"].notna().any():
        total = (
            (history["step"] / history["progress"].astype("float64"))
            .groupby(history["trial_id"])
            .transform("median")
        )
    else:
        total = history.groupby("trial_id")["step"].transform("max").astype("float64")
    keys = [history["trial_id"], total.round().rename("total")]
    if "epoch" in history and history["epoch"].notna().any():  # another batch size has another grid
        ends = (
            (history["step"] / history["epoch"].astype("float64"))
            .groupby(history["trial_id"])
            .transform("median")
        )
        keys.append(ends.round().rename("per_epoch"))
    lasts = history.groupby([key for key in keys], dropna=False)["step"].max().reset_index()
    names = [str(key.name) for key in keys if key.name != "trial_id"]
    rows = history[["step"]].assign(**{str(key.name): key for key in keys})
    gone: list[str] = []
    for _, like in lasts.groupby(names, dropna=False):
        mine = rows[rows["trial_id"].isin(like["trial_id"])]
        if len(like) >= MIN_LIKE_TRIALS:
            gone += _trials_lacking_steps(mine, like)
    return pd.Index(gone)


def _trials_lacking_steps(rows: pd.DataFrame, lasts: pd.DataFrame) -> list[str]:
    """Of trials that should share a grid of steps, those that lack one of them."""
    have = rows.groupby("step").size()
    reached = pd.Series([int((lasts["step"] >= step).sum()) for step in have.index], have.index)
    grid = have.index[have > MIN_GRID_SHARE * reached].to_series().sort_values()
    due = pd.Series(grid.searchsorted(lasts["step"], side="right"), lasts["trial_id"])
    got = rows[rows["step"].isin(grid)].groupby("trial_id").size().reindex(due.index, fill_value=0)
    return [str(name) for name in due.index[got < due]]
