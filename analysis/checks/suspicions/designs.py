"""Checks of which runs a table has: outcomes that are missing, cells that thin out, means."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...catalogue import write
from ...estimates.means import lacks_outcome
from ..digits import MAX_DECIMALS, Floats, is_multiple
from ..evidence import Evidence, has_value, require_columns
from ..finding import Finding, MissingEvidenceError, format_count
from ..seeds import TREND_SIGNIFICANCE_LEVEL

MAX_THIN_SHARE = 0.75
"""Part of the fullest sparsity's results that a thin one has at most."""
RUNS_OF_MEANS = (3, 4, 5)
"""Runs that people take means over, beside single ones."""
MAX_LACKING_SHARE = 0.5
"""Part of all seeds that a cell lacks at most, where cells share their seeds."""
MIN_MEANS = 2
MIN_SINGLE_SHARE = 0.5
"""Share of the values that must lie on the grid of single runs."""


def missing_outcomes(evidence: Evidence) -> Iterator[Finding]:
    """Find cells of a table of which some runs have no outcome, so that the others would flatter.

    Their means are left out, as after a divergence. A cell where every configuration lacks one has
    no winner: then all its runs are looked at, by the measure that would have chosen.
    """
    objective = evidence.results.design.objective
    y = evidence.y or objective
    if evidence.results.design.measured:
        return  # a study records why a run has no outcome, and other checks tell
    if y is None:
        raise MissingEvidenceError(["test_accuracy or test_score or val_accuracy or val_score"])
    report = evidence.report
    rows = report.assign(value=report.get(y, np.nan))
    if objective is not None:
        own = evidence.own_trials
        unchosen = own[~own["cell"].isin(report["cell"])]
        rows = pd.concat([rows, unchosen.assign(value=unchosen[objective])], ignore_index=True)
    lost = lacks_outcome(rows, "value")
    totals = rows["cell"].value_counts()
    is_lost = lost.groupby(rows["cell"]).transform("any")
    for arm, own in rows[lost & is_lost].groupby("arm", sort=False):
        cells = list(dict.fromkeys(own["cell"]))
        runs = int(totals[cells].sum())
        said = [
            write(
                "found_no_outcome",
                lost=len(own),
                runs=format_count(runs, "run"),
                networks=evidence.name_cells(cells),
            )
        ]
        early = int(own["value"].notna().sum())
        if early:
            said.append(write("found_early_values", early=early))
        yield Finding(str(arm), cells, said)


def thinning_designs(evidence: Evidence) -> Iterator[Finding]:
    """Find arms of a table with fewer results the sparser the network, whether marked or absent.

    A design may have been drawn at random: counts must fall by more than that explains.
    """
    y = evidence.y
    if evidence.results.design.measured:
        return  # a study declares what it runs
    if y is None:
        raise MissingEvidenceError(["test_accuracy or test_score or val_accuracy or val_score"])
    rows = evidence.own_trials.drop_duplicates("trial_id")
    rows = rows[rows["sparsity.target"] > 0]
    has_result = has_value(rows["status"], "COMPLETE") & rows[y].notna()
    for arm, own in rows.groupby("arm", sort=False):
        counts = has_result[own.index].groupby(own["sparsity.target"]).sum().astype("int64")
        p = falling_p_value(counts.to_numpy())
        is_thin = counts <= MAX_THIN_SHARE * counts.max()
        if p >= TREND_SIGNIFICANCE_LEVEL or not is_thin.iloc[-1]:
            continue
        found = write(
            "found_thinning",
            counts=", ".join(map(str, counts)),
            sparsities=", ".join(f"{100 * sparsity:.4g}" for sparsity in counts.index),
        )
        thin = own.loc[own["sparsity.target"].isin(counts.index[is_thin]), "cell"]
        chance = write("found_thinning_chance", p=f"{p:.2g}")
        yield Finding(str(arm), list(thin), [found, chance])


def patchy_seeds(evidence: Evidence) -> Iterator[Finding]:
    """Find arms of a table whose cells lack different ones of the seeds that others have.

    Who runs fewer seeds of some networks leaves out the same ones; who leaves out bad runs does
    not.
    """
    if evidence.results.design.measured:
        return  # a study declares its seeds, and records what became of them
    # A use has a number where its trial has no seed.
    seeds = evidence.results.trials().set_index("trial_id")["seed"]
    rows = evidence.report.assign(seed=evidence.report["trial_id"].map(seeds))
    rows = require_columns(rows, "seed")
    rows = rows[has_value(rows["status"], "COMPLETE") & rows["seed"].notna()]
    dense = frozenset(rows.loc[rows["sparsity.target"] == 0, "seed"])
    for arm, own in rows[rows["sparsity.target"] > 0].groupby("arm", sort=False):
        by_cell = {str(cell): frozenset(seeds) for cell, seeds in own.groupby("cell")["seed"]}
        asked = dense.union(*by_cell.values())
        lacks = {cell: asked - seeds for cell, seeds in by_cell.items() if asked - seeds}
        # Cells with seeds of their own lack most of all others'.
        is_common = all(
            len(lacking) <= MAX_LACKING_SHARE * len(asked) for lacking in lacks.values()
        )
        ordered = sorted(lacks.values(), key=len)
        is_nested = all(one <= other for one, other in pairwise(ordered))
        if not is_common or is_nested:
            continue
        found = write(
            "found_patchy",
            cells=len(lacks),
            networks=format_count(len(by_cell), "network"),
            asked=len(asked),
            names=evidence.name_cells(lacks),
        )
        yield Finding(str(arm), list(lacks), [found])


def falling_p_value(counts: NDArray[np.integer[Any]]) -> float:
    """Significance of counts that fall from the first group to the last.

    Under the hypothesis every run falls into any group alike: the mean rank of a run's group, of
    which few are less, is then nearly normal.

    Args:
        counts: Runs in each group, in order, shape [n_groups].

    Returns:
        One-sided p, in [0, 1]; 1 where there is one group or no run.
    """
    from scipy.stats import norm

    groups = len(counts)
    runs = int(counts.sum())
    if groups < 2 or not runs:
        return 1.0
    mean_rank = float(np.arange(groups) @ counts) / runs
    spread = np.sqrt((groups**2 - 1) / (12 * runs))
    return float(norm.cdf((mean_rank - (groups - 1) / 2) / spread))


def mixed_means(evidence: Evidence) -> Iterator[Finding]:
    """Find values that are means over three to five runs among values of single runs.

    A table may say how many runs are behind a value; else the digits tell: a share of a test set
    has a grid that thirds, quarters and fifths of it leave.
    """
    y = evidence.y
    if y is None:
        raise MissingEvidenceError(["test_accuracy or test_score or val_accuracy or val_score"])
    rows = evidence.report.drop_duplicates("trial_id")
    rows = rows[has_value(rows["status"], "COMPLETE") & rows[y].notna()]
    n = _runs_behind(evidence, rows, y)
    if n is None and y.endswith("_accuracy"):
        n = _runs_by_digits(rows[y].astype("float64"))
    if n is None:
        return
    is_mean = n > 1
    if not is_mean.any() or is_mean.all():
        return
    counts = sorted(set(n[is_mean].astype("int64")))
    found = write(
        "found_mixed_means",
        means=int(is_mean.sum()),
        values=format_count(len(rows), "value"),
        n=" or ".join(map(str, counts)),
    )
    yield Finding("", list(dict.fromkeys(rows.loc[is_mean, "cell"])), [found])


def _runs_behind(evidence: Evidence, rows: pd.DataFrame, y: str) -> pd.Series[Any] | None:
    """Number of runs behind each value as the table says; None where it does not."""
    given_means = getattr(evidence.results, "given_means", None)
    means = given_means(y) if given_means is not None else pd.DataFrame()
    if means.empty:
        return None
    n: pd.Series[Any] = rows["trial_id"].map(means["n"]).fillna(1)
    return n


def _runs_by_digits(values: pd.Series[Any]) -> pd.Series[Any] | None:
    """Number of runs behind each accuracy by its digits; None where they tell nothing.

    The grid of single runs is the coarsest power of ten on which at least half of the values lie.
    """
    numbers: Floats = values.to_numpy(dtype=np.float64)
    for places in range(2, MAX_DECIMALS - 1):
        unit = 10.0**-places
        on_grid = is_multiple(numbers, unit)
        if on_grid.mean() < MIN_SINGLE_SHARE:
            continue
        off = numbers[~on_grid]
        counts = _mean_sizes(off, unit)
        if len(off) < MIN_MEANS or (counts == 0).any():
            return None
        n = pd.Series(1, values.index)
        n[~on_grid] = counts
        return n
    return None


def _mean_sizes(values: Floats, unit: float) -> NDArray[np.int64]:
    """Smallest number of runs whose mean each value may be, on a grid; 0 where none fits.

    Values may have been rounded to two decimals more than the grid.
    """
    sizes = np.zeros(len(values), dtype=np.int64)
    for n in reversed(RUNS_OF_MEANS):
        nearest = np.round(values * n / unit) * unit / n
        fits = np.abs(values - nearest) <= unit / 200
        sizes[fits] = n
    return sizes
