"""Checks of what stands behind a number: how many seeds, whether they are independent, and which are missing."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from analysis.checks.evidence import Evidence, has_value, require_columns
from analysis.checks.finding import (
    MAX_NAMED_CELLS,
    Finding,
    MissingEvidenceError,
    Severity,
    format_count,
    list_names,
)
from analysis.estimates.means import MEASURE_COLUMNS, add_dense_points, cell_means

MIN_REPORT_SEEDS = 3
"""Report seeds below which an interval says little."""
TREND_SIGNIFICANCE_LEVEL = 0.01
"""A test's p below which a finding is made, so that not many a study is accused by chance."""
PERMUTATION_DRAWS = 9_999
"""Of the permutation test."""
SEED_LOSS_COLUMNS = ("train_loss", "val_loss", "train_entropy", "val_entropy", "test_loss")
"""Columns that two independent runs never share to the last digit."""
MIN_SIGNIFICANT_DIGITS = 5
"""Significant digits from which on equal numbers are no chance: a spreadsheet's .31 and .31 say nothing."""
DEPENDENCE_MESSAGES = {
    "equal": "have the losses of another seed to the last digit",
    "start": "start from the weights of another seed",
    "twice": "share configuration and seed with another",
}


def too_few_seeds(evidence: Evidence) -> Iterator[Finding]:
    """Cells with few report seeds, or whose gap to the dense twin is less than its interval is wide."""
    if evidence.y is None:
        raise MissingEvidenceError(["test_accuracy or test_score or val_accuracy or val_score"])
    if evidence.report.duplicated(["cell", "seed"]).any():
        raise MissingEvidenceError(["one report trial for each cell and seed"])
    means = cell_means(evidence.results, evidence.y, evidence.where)
    few = means[(means["n"] > 0) & (means["n"] < MIN_REPORT_SEEDS)]
    unsure = means[
        (means["difference_low"] < 0) & (means["difference_high"] > 0) & (means["sparsity"] > 0)
    ]
    most = MAX_NAMED_CELLS if pd.concat([few, unsure])["arm"].nunique() < 2 else 1
    for arm, own in means[means["n"] > 0].groupby("arm", sort=False):
        mine = few[few["arm"] == arm]
        wide = unsure[unsure["arm"] == arm]
        parts: list[tuple[Severity, str, list[str]]] = [
            (
                "warning",
                f"n = {mine['n'].min():.0f} in {{}} of {format_count(len(own), 'cell')} ({{}})",
                list(mine.index),
            ),
            (
                "note",
                "the interval of the gap to the dense twin holds 0 in {} ({})",
                list(wide.index),
            ),
        ]
        parts = [part for part in parts if part[2]]
        if parts:
            got = "; ".join(
                words.format(len(names), list_names(names, most)) for _, words, names in parts
            )
            yield Finding(str(arm), [name for part in parts for name in part[2]], got, parts[0][0])


def results_missing_not_at_random(evidence: Evidence) -> Iterator[Finding]:
    """Arms in which trials without a result gather at high sparsity: a permutation test of the trend."""
    rows = require_columns(evidence.own_trials, "status")
    rows = rows[rows["status"].isin(["COMPLETE", "DIVERGED", "INVALID", "FAILED"])]
    rows = rows.drop_duplicates(["arm", "trial_id"])
    rows = rows.assign(
        lost=~has_value(rows["status"], "COMPLETE"), sparsity=rows["sparsity.target"]
    )
    for arm, own in add_dense_points(rows[["arm", "cell", "sparsity", "lost"]]).groupby(
        "arm", sort=False
    ):
        groups = own.groupby("sparsity")["lost"].agg(["sum", "size"])
        p = trend_p_value(groups["sum"].to_numpy(), groups["size"].to_numpy())
        if p < TREND_SIGNIFICANCE_LEVEL:
            top = groups.iloc[-1]
            rest = groups.iloc[:-1].sum()
            got = (
                f"{top['sum']} of {format_count(top['size'], 'trial')} at {100 * groups.index[-1]:.4g} % sparsity have none,"
                f" {rest['sum']} of {rest['size']} below (permutation test of a rising share, p = {p:.2g})"
            )
            yield Finding(
                str(arm),
                list(own.loc[own["lost"] & (own["sparsity"] == groups.index[-1]), "cell"]),
                got,
            )


def trend_p_value(lost: np.ndarray, trials: np.ndarray, seed: int = 0) -> float:
    """How likely losses gather so far up by chance: Monte Carlo p of a one-sided Cochran-Armitage trend by rank.

    Args:
        lost: Trials without a result at each sparsity, from the lowest, shape [n_groups].
        trials: All of them.
        seed: Of the draws.

    Returns:
        (1 + draws at least as extreme) / (1 + draws), in (0, 1]; 1 where nothing is lost or can differ.
    """
    if len(lost) < 2 or not lost.sum() or (lost == trials).all():
        return 1.0
    ranks = np.arange(len(lost))
    draws = np.random.default_rng(seed).multivariate_hypergeometric(
        trials, int(lost.sum()), PERMUTATION_DRAWS, method="marginals"
    )
    return float((1 + (draws @ ranks >= lost @ ranks).sum()) / (1 + PERMUTATION_DRAWS))


def dependent_seeds(evidence: Evidence) -> Iterator[Finding]:
    """Seeds that are no replicates: a configuration and seed twice, the same numbers, or the same initialisation."""
    rows = require_columns(
        evidence.own_trials[has_value(evidence.own_trials["status"], "COMPLETE")], "seed"
    ).drop_duplicates(["arm", "trial_id"])
    kinds = pd.Series(None, rows.index, dtype="object").mask(
        _trials_with_same_start(evidence, rows), "start"
    )
    kinds = kinds.mask(_trials_with_same_losses(rows), "equal")
    kinds = kinds.mask(
        rows.duplicated(["arm", "config_id", "seed"], keep=False) & rows["seed"].notna(), "twice"
    )
    suspects = rows[["arm", "cell"]].assign(kind=kinds).dropna(subset="kind")
    for arm, own in suspects.groupby("arm", sort=False):
        parts = {kind: list(part["cell"]) for kind, part in own.groupby("kind")}
        got = "; ".join(
            f"{format_count(len(names), 'trial')} in {list_names(names)} {DEPENDENCE_MESSAGES[str(kind)]}"
            for kind, names in parts.items()
        )
        grave: Severity = "warning" if list(parts) == ["start"] else "error"
        yield Finding(str(arm), list(own["cell"]), got, grave)
    if len(rows) and not any(
        name in rows and rows[name].notna().any() for name in SEED_LOSS_COLUMNS
    ):
        raise MissingEvidenceError([" or ".join(SEED_LOSS_COLUMNS)])


def _trials_with_same_losses(rows: pd.DataFrame) -> pd.Series[Any]:
    """Trials whose final losses are those of another seed of their configuration, and no other measure differs."""
    losses = [name for name in SEED_LOSS_COLUMNS if name in rows and rows[name].notna().any()]
    measured = rows[rows[losses].notna().all(axis=1)] if losses else rows[:0]
    measured = measured[_has_enough_digits(measured[losses])]
    others = [
        name
        for name in MEASURE_COLUMNS
        if name in rows and name.endswith(("_accuracy", "_score", "_error", "_loss"))
    ]
    keys = list(dict.fromkeys(["arm", "config_id", *losses, *others]))
    return measured.duplicated(keys, keep=False).reindex(rows.index, fill_value=False)


def _has_enough_digits(values: pd.DataFrame) -> pd.Series[Any]:
    """Rows in which some value is given to `MIN_SIGNIFICANT_DIGITS` significant digits or more."""
    digits = values.astype("float64").map(
        lambda value: len(Decimal(repr(value)).normalize().as_tuple().digits)
    )
    return (digits.where(values.notna(), 0) >= MIN_SIGNIFICANT_DIGITS).any(axis=1)


def _trials_with_same_start(evidence: Evidence, rows: pd.DataFrame) -> pd.Series[Any]:
    """Trials whose losses before the first step are those of another seed, though nothing was loaded."""
    history = evidence.history
    first = history[has_value(history["step"], 0) & history["trial_id"].isin(rows["trial_id"])]
    losses = [name for name in SEED_LOSS_COLUMNS if name in first and first[name].notna().any()]
    if "task.weights" in first:
        first = first[first["task.weights"].isna()]
    first = first[_has_enough_digits(first[losses])]
    same = (
        first.loc[first.duplicated(["config_id", *losses], keep=False), "trial_id"]
        if losses
        else []
    )
    return rows["trial_id"].isin(same)
