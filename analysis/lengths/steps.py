"""Cells that differ only in their length of training: lines of them, and what each longer one gains, paired by seed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.estimates.intervals import (
    Floats,
    estimate_means,
    pooled_sd,
    t_interval,
    welch_difference,
)
from analysis.estimates.means import cell_values
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError

LENGTH_VALIDATION_MEASURES = ("val_score", "val_accuracy", "val_error", "val_loss")
"""What may tell whether longer training helps, the first that was measured."""


def validation_measure(
    results: Results, where: Mapping[str, Any] | None, y: str | None, *, required: bool = True
) -> str:
    """``y``, or the first validation column that a winner's report trial has; empty if none and it is not ``required``.

    Raises:
        SparsetuneError: if a name is unknown, or there is none and it is ``required``.
    """
    for name in LENGTH_VALIDATION_MEASURES if y is None else (y,):
        cells, values, _ = cell_values(results, name, where)
        if values[cells["epochs"].notna()].notna().any(axis=None):
            return name
    if required:
        wanted = f"one of {', '.join(LENGTH_VALIDATION_MEASURES)}" if y is None else f"`{y}`"
        known = f"{wanted} and `schedule.epochs` of finished report trials"
        raise SparsetuneError(f"to judge the length of training takes {known}: none has it")
    return ""


def length_lines(
    cells: pd.DataFrame, values: pd.DataFrame, others: Sequence[str]
) -> Iterator[pd.Index]:
    """Cells of one arm, sparsity and value of each of the ``others``, shortest first; only those with a value.

    Raises:
        SparsetuneError: if two cells of a line are equally long.
    """
    measured = cells[values.notna().any(axis=1)]
    for _, line in measured.groupby(["arm", "sparsity", *others], sort=False, dropna=False):
        ordered = line.sort_values("epochs", kind="stable")
        if ordered["epochs"].duplicated().any():
            length = ordered.loc[ordered["epochs"].duplicated(), "epochs"].iloc[0]
            names = ", ".join(f"`{cell}`" for cell in ordered.index[ordered["epochs"] == length])
            raise SparsetuneError(
                f"each length of a line must be one cell, got {names} at {length:g} epochs; give `where`"
            )
        yield ordered.index


def length_gains(
    lines: Iterable[pd.Index],
    values: pd.DataFrame,
    epochs: pd.Series[Any],
    level: float,
    seed: int = 0,
) -> pd.DataFrame:
    """What every longer cell of a line has beyond every shorter one: longer minus shorter, paired by seed.

    Short trainings may vary more than long ones, so the standard deviation of a pair is pooled over the pairs among the
    lengths from the next shorter to the next longer than both: that of the residuals beyond length and seed, to which k
    lengths with n seeds give (k - 1)(n - 1) degrees of freedom. Pairs that share fewer than two seeds are compared by
    Welch's t; from n = 10 on the interval is a bootstrap.

    Args:
        lines: Names of the cells of each line, shortest first.
        values: Of all cells, by their names, shape [n_cells, n_seeds].
        epochs: Length of each cell.
        level: Coverage of the intervals.
        seed: Of the bootstrap.

    Returns:
        One row per pair: ``cell other from to step`` (1 for neighbours) ``n mean sd pooled_sd df low high``.
    """
    pairs = [(line, i, j) for line in lines for i, j in itertools.combinations(range(len(line)), 2)]
    names = pd.DataFrame(
        {"cell": [line[i] for line, i, _ in pairs], "other": [line[j] for line, _, j in pairs]}
    )
    shorter, longer = (values.reindex(names[end]).to_numpy(dtype=np.float64) for end in names)
    frame = estimate_means(longer - shorter, [0] * len(pairs), level, seed)
    frame[["pooled_sd", "df"]] = _pooled(pairs, frame["sd"].to_list(), frame["n"].to_list())
    low, high = t_interval(frame["mean"], frame["pooled_sd"], frame["n"], frame["df"], level)
    resampled = frame["interval"] == "bootstrap"
    frame = frame.assign(
        low=frame["low"].where(resampled, low), high=frame["high"].where(resampled, high)
    )
    unpaired = (
        (frame["n"] < 2)
        & (np.isfinite(shorter).sum(axis=1) > 1)
        & (np.isfinite(longer).sum(axis=1) > 1)
    )
    for row in np.flatnonzero(unpaired):
        found = welch_difference(longer[row], shorter[row], level)
        columns = {
            "n": "n",
            "mean": "mean",
            "pooled_sd": "sd",
            "df": "df",
            "low": "low",
            "high": "high",
        }
        frame.loc[row, list(columns)] = [found[name] for name in columns.values()]
    length = epochs.to_dict()
    ends = {"from": names["cell"].map(length), "to": names["other"].map(length)}
    return names.assign(**ends, step=[j - i for _, i, j in pairs]).join(frame)


def _pooled(
    pairs: Sequence[tuple[Any, int, int]], sds: Sequence[float], counts: Sequence[int]
) -> Floats:
    """Standard deviation of each difference, and its degrees of freedom, over all pairs of lengths about it: [n, 2]."""
    found = np.full((len(pairs), 2), np.nan)
    for _, block in itertools.groupby(range(len(pairs)), key=lambda row: id(pairs[row][0])):
        rows = list(block)
        for row in rows:
            _, first, last = pairs[row]
            near = [
                k
                for k in rows
                if first - 1 <= pairs[k][1] and pairs[k][2] <= last + 1 and counts[k] > 1
            ]
            sd, df = pooled_sd([sds[k] for k in near], [counts[k] for k in near])
            found[row] = sd, df * 2 / max(2, len({end for k in near for end in pairs[k][1:]}))
    return found
