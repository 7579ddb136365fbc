"""Checks of the runs behind a number: how many seeds, independent or not, and missing ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..catalogue import write
from ..estimates.means import MEASURE_COLUMNS, add_dense_points, cell_means
from ..wording import format_seeds
from .digits import decimals, significant_digits
from .evidence import Evidence, has_value, require_columns
from .finding import (
    MAX_NAMED_CELLS,
    Count,
    Finding,
    FindingPart,
    MissingEvidenceError,
    Severity,
    format_count,
    join_parts,
)

MIN_REPORT_SEEDS = 3
"""Report seeds below which an interval says little."""
TREND_SIGNIFICANCE_LEVEL = 0.02
"""p of the trend test below which a finding is made; few sound studies get one by chance.

At three sparsities and three seeds, the loss of all three at the highest has p = 1 / 84.
"""
PERMUTATION_DRAWS = 9_999
"""Draws of the permutation test."""
ENDED_STATUSES = ("COMPLETE", "DIVERGED", "INVALID", "FAILED")
SEED_LOSS_COLUMNS = ("train_loss", "val_loss", "train_entropy", "val_entropy", "test_loss")
"""Columns that two independent runs never share to the last digit."""
MIN_SIGNIFICANT_DIGITS = 5
"""Digits from which on equal numbers are no chance: a spreadsheet's .31 and .31 prove nothing."""
MAX_COINCIDENCES = 0.01
"""Pairs of equal runs that chance may make in a table whose equal runs count as copies."""
DEPENDENCE_SENTENCES = {
    "equal": "found_equal",
    "start": "found_same_start",
    "twice": "found_twice",
}
"""Sentence on each kind of seeds that are no replicates."""
_MEASURE_SUFFIXES = ("_accuracy", "_score", "_error", "_loss")


def too_few_seeds(evidence: Evidence) -> Iterator[Finding]:
    """Find cells with few report seeds, or with a gap to the dense twin below its uncertainty."""
    if evidence.y is None:
        raise MissingEvidenceError(["test_accuracy or test_score or val_accuracy or val_score"])
    if evidence.report.duplicated(["cell", "seed"]).any():
        raise MissingEvidenceError(["one report trial for each cell and seed"])
    means = cell_means(evidence.results, evidence.y, evidence.where)
    # Means over configurations are another check's.
    means = means[(means["n"] > 0) & (means["configurations"] <= 1)]
    few = means[means["n"] < MIN_REPORT_SEEDS]
    # A dense cell has no gap to a twin.
    holds_zero = (means["difference_low"] < 0) & (means["difference_high"] > 0)
    unsure = means[holds_zero & (means["sparsity"] > 0)]
    # Findings of several arms are printed in one line, with one cell of each.
    named_cells = MAX_NAMED_CELLS if pd.concat([few, unsure])["arm"].nunique() < 2 else 1
    for arm, own in means.groupby("arm", sort=False):
        parts: list[FindingPart] = []
        own_few = few[few["arm"] == arm]
        if len(own_few):
            fewest = own_few[own_few["n"] == own_few["n"].min()]
            networks = format_count(len(own), "network")
            found = write(
                "found_few_seeds",
                seeds=format_seeds(fewest["n"].min()),
                few=Count(len(fewest)),
                networks=networks,
                names=evidence.name_cells(fewest.index, named_cells),
            )
            parts.append(FindingPart("warning", found, list(fewest.index)))
            if len(own_few) > len(fewest):
                found = write("found_fewer_seeds", few=Count(len(own_few)), networks=networks)
                parts.append(FindingPart("warning", found, list(own_few.index)))
        own_unsure = unsure[unsure["arm"] == arm]
        if len(own_unsure):
            names = list(own_unsure.index)
            found = write(
                "found_unsettled",
                networks=format_count(len(names), "network"),
                names=evidence.name_cells(names, named_cells),
            )
            parts.append(FindingPart("note", found, names))
        if parts:
            yield join_parts(str(arm), parts)


def results_missing_not_at_random(evidence: Evidence) -> Iterator[Finding]:
    """Find arms whose curve lacks results more at high sparsity, by a permutation test.

    A search trial without a result is missing from no curve; all trials of a cell are if none of
    them has one, since then it has no winner.
    """
    rows = _curve_trials(evidence)
    lost = ~has_value(rows["status"], "COMPLETE")
    rows = rows.assign(lost=lost, sparsity=rows["sparsity.target"])
    # Every arm is tested together with its dense trials, the lowest sparsity.
    rows = add_dense_points(rows[["arm", "cell", "sparsity", "lost"]])
    for arm, own in rows.groupby("arm", sort=False):
        groups = own.groupby("sparsity")["lost"].agg(["sum", "size"])
        p = trend_p_value(groups["sum"].to_numpy(), groups["size"].to_numpy())
        if p >= TREND_SIGNIFICANCE_LEVEL:
            continue
        highest = groups.index[-1]
        top = groups.iloc[-1]
        rest = groups.iloc[:-1].sum()
        missing = write(
            "found_missing",
            sparsity=f"{100 * highest:.4g}",
            lost=top["sum"],
            runs=str(format_count(top["size"], "run")),
            others=rest["sum"],
            rest=rest["size"],
        )
        found = [missing, write("found_missing_chance", p=f"{p:.2g}")]
        cells = own.loc[own["lost"] & (own["sparsity"] == highest), "cell"]
        yield Finding(str(arm), list(cells), found)


def _curve_trials(evidence: Evidence) -> pd.DataFrame:
    """Ended trials that curves are made of: report trials, and all of a cell that lost them all."""
    own = require_columns(evidence.own_trials, "status")
    own = own[own["status"].isin(ENDED_STATUSES)].drop_duplicates(["arm", "trial_id"])
    is_reported = own["cell"].isin(evidence.report["cell"])
    has_result = has_value(own["status"], "COMPLETE").groupby(own["cell"]).transform("any")
    is_winners = own["trial_id"].isin(evidence.report["trial_id"]) & is_reported
    return own[is_winners | (~is_reported & ~has_result.astype(bool))]


def trend_p_value(lost: np.ndarray, trials: np.ndarray, seed: int = 0) -> float:
    """Significance of a share that rises with sparsity, by a Monte Carlo permutation test.

    The statistic is that of the one-sided Cochran-Armitage trend test, by rank of the sparsity.

    Args:
        lost: Number of trials without a result at each sparsity, from the lowest, shape [n_groups].
        trials: Number of all trials at each sparsity, shape [n_groups].
        seed: Seed of the draws.

    Returns:
        (1 + draws at least as extreme) / (1 + draws), in (0, 1]; 1 where no trial is lost, all are,
        or there is one group.
    """
    if len(lost) < 2 or not lost.sum() or (lost == trials).all():
        return 1.0
    ranks = np.arange(len(lost))
    random = np.random.default_rng(seed)
    # Under the hypothesis the lost trials are any of all trials, without replacement.
    draws = random.multivariate_hypergeometric(
        trials, int(lost.sum()), PERMUTATION_DRAWS, method="marginals"
    )
    as_extreme = (draws @ ranks >= lost @ ranks).sum()
    return float((1 + as_extreme) / (1 + PERMUTATION_DRAWS))


def dependent_seeds(evidence: Evidence) -> Iterator[Finding]:
    """Find seeds that are no replicates.

    They are a configuration and seed that ran twice, equal final losses, or equal initial losses.
    """
    rows = evidence.own_trials
    rows = require_columns(rows[has_value(rows["status"], "COMPLETE")], "seed")
    rows = rows.drop_duplicates(["arm", "trial_id"])
    is_twice = rows.duplicated(["arm", "config_id", "seed"], keep=False) & rows["seed"].notna()
    # Of several faults a trial is counted under the gravest.
    kinds = pd.Series(None, rows.index, dtype="object")
    kinds = kinds.mask(_has_same_start(evidence, rows), "start")
    kinds = kinds.mask(_has_same_losses(rows), "equal")
    kinds = kinds.mask(is_twice, "twice")
    suspects = rows[["arm", "cell"]].assign(kind=kinds).dropna(subset="kind")
    for arm, own in suspects.groupby("arm", sort=False):
        found = []
        for kind, trials in own.groupby("kind"):
            runs = format_count(len(trials), "run")
            networks = evidence.name_cells(trials["cell"])
            found.append(write(DEPENDENCE_SENTENCES[str(kind)], runs=runs, networks=networks))
        severity: Severity = "warning" if set(own["kind"]) == {"start"} else "error"
        yield Finding(str(arm), list(own["cell"]), found, severity)
    if len(rows) and not _measured_losses(rows):
        raise MissingEvidenceError([" or ".join(SEED_LOSS_COLUMNS)])


def _measured_losses(rows: pd.DataFrame) -> list[str]:
    """`SEED_LOSS_COLUMNS` that have a value."""
    return [name for name in SEED_LOSS_COLUMNS if name in rows and rows[name].notna().any()]


def _has_same_losses(rows: pd.DataFrame) -> pd.Series[Any]:
    """True for trials whose final losses and measures equal those of another seed, and not by
    chance.
    """
    losses = _measured_losses(rows)
    measured = rows[rows[losses].notna().all(axis=1)] if losses else rows[:0]
    measured = measured[_has_enough_digits(measured[losses])]
    others = [name for name in MEASURE_COLUMNS if name in rows and name.endswith(_MEASURE_SUFFIXES)]
    names = list(dict.fromkeys([*losses, *others]))
    recipe = measured.groupby(["arm", "config_id"], dropna=False, sort=False)
    copies = measured.groupby(["arm", "config_id", *names], dropna=False, sort=False)["arm"]
    more = copies.transform("size") - 1
    runs = recipe["arm"].size()
    pairs = int((runs * (runs - 1) // 2).sum())
    shares = [_equal_share(measured[name].astype("float64"), recipe.ngroup()) for name in names]
    expected = pairs * float(np.prod(shares)) ** more
    is_copy = (more > 0) & (expected < MAX_COINCIDENCES)
    return is_copy.reindex(rows.index, fill_value=False)


def _equal_share(values: pd.Series[Any], recipes: pd.Series[Any]) -> float:
    """Probability that two runs of one recipe have an equal value, by their spread and decimals.

    Two normal numbers of one mean lie within a unit with probability unit / (2 sqrt(pi) sd).
    """
    known = values.dropna()
    if known.empty:
        return 1.0
    unit = 10.0 ** -max(map(decimals, known))
    # Copies would make the spread smaller.
    distinct = pd.DataFrame({"recipe": recipes[known.index], "value": known}).drop_duplicates()
    spreads = distinct.groupby("recipe")["value"].std().dropna()
    spread = float(spreads.median()) if len(spreads) else float(known.abs().median()) / 100
    return min(1.0, unit / (2 * math.sqrt(math.pi) * spread)) if spread > 0 else 1.0


def _has_enough_digits(values: pd.DataFrame) -> pd.Series[Any]:
    """True for rows with a value of at least `MIN_SIGNIFICANT_DIGITS` significant digits."""
    digits = values.astype("float64").map(significant_digits, na_action="ignore").fillna(0)
    return (digits >= MIN_SIGNIFICANT_DIGITS).any(axis=1)


def _has_same_start(evidence: Evidence, rows: pd.DataFrame) -> pd.Series[Any]:
    """True for trials whose losses before the first step equal another seed's.

    Trials that start from given weights are left out: theirs are equal for a reason.
    """
    history = evidence.history
    first = history[has_value(history["step"], 0) & history["trial_id"].isin(rows["trial_id"])]
    losses = _measured_losses(first)
    if not losses:
        return pd.Series(False, rows.index)
    if "task.weights" in first:
        first = first[first["task.weights"].isna()]
    first = first[_has_enough_digits(first[losses])]
    is_repeated = first.duplicated(["config_id", *losses], keep=False)
    return rows["trial_id"].isin(first.loc[is_repeated, "trial_id"])
