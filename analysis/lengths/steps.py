"""Lines of cells that differ only in their training length, and the gain of each longer cell."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sparsetune.errors import SparsetuneError

from ..estimates.intervals import (
    Floats,
    estimate_means,
    pooled_sd,
    t_interval,
    welch_difference,
)
from ..estimates.means import cell_values
from ..tables.results import Results

LENGTH_VALIDATION_MEASURES = ("val_score", "val_accuracy", "val_error", "val_loss")
"""Measures that judge the length of training; the first that was measured does."""

LENGTH_TEST_MEASURES = ("test_score", "test_accuracy", "test_loss")
"""Measures that judge it in a table without validation."""


def find_validation_measure(
    results: Results, where: Mapping[str, Any] | None, y: str | None
) -> str | None:
    """``y``, or the first validation column that a winner's report trial has; None without one.

    Args:
        results: The study.
        where: Dotted fields and their values.
        y: A measured column; None for the first of `LENGTH_VALIDATION_MEASURES`.

    Raises:
        SparsetuneError: if a name is unknown.
    """
    names = list(LENGTH_VALIDATION_MEASURES) if y is None else [y]
    # A table, of whose task nothing is known, may have test results alone, which is said.
    if y is None and not results.design.measured:
        names += LENGTH_TEST_MEASURES
    for name in names:
        cells, values, _ = cell_values(results, name, where)
        # A value at an unknown length cannot be placed on a line.
        if values[cells["epochs"].notna()].notna().any(axis=None):
            return name
    return None


def require_validation_measure(
    results: Results, where: Mapping[str, Any] | None, y: str | None
) -> str:
    """The column of `find_validation_measure`.

    Raises:
        SparsetuneError: if a name is unknown, or no report trial has such a column.
    """
    name = find_validation_measure(results, where, y)
    if name is None:
        wanted = f"one of {', '.join(LENGTH_VALIDATION_MEASURES)}" if y is None else f"`{y}`"
        known = f"{wanted} and `schedule.epochs` of finished report trials"
        raise SparsetuneError(f"to judge the length of training takes {known}: none has it")
    return name


def length_lines(
    cells: pd.DataFrame, values: pd.DataFrame, others: Sequence[str]
) -> Iterator[pd.Index]:
    """Names of the cells of each line, shortest first; only cells that have a value.

    A line has one arm, one sparsity and one value of each of the ``others``.

    Args:
        cells: One row per cell: ``arm sparsity epochs`` and the columns ``others``.
        values: Values by report seed, shape [n_cells, n_seeds].
        others: Sweep axes besides sparsity and length.

    Raises:
        SparsetuneError: if two cells of a line are equally long.
    """
    measured = cells[values.notna().any(axis=1)]
    for _, line in measured.groupby(["arm", "sparsity", *others], sort=False, dropna=False):
        ordered = line.sort_values("epochs", kind="stable")
        # Two cells of one length differ in something that the line does not say.
        repeated = ordered.loc[ordered["epochs"].duplicated(), "epochs"]
        if len(repeated):
            length = repeated.iloc[0]
            names = ", ".join(f"`{cell}`" for cell in ordered.index[ordered["epochs"] == length])
            raise SparsetuneError(
                f"each length of a line must be one cell, got {names} at {length:g} epochs;"
                " give `where`"
            )
        yield ordered.index


@dataclass(frozen=True)
class _LengthPair:
    """Two cells of one line.

    Args:
        line: Number of the line.
        cell: Name of the shorter cell.
        other: Name of the longer cell.
        first: Position of the shorter cell in its line.
        last: Position of the longer cell in its line.
    """

    line: int
    cell: Any
    other: Any
    first: int
    last: int


def length_gains(
    lines: Iterable[pd.Index],
    values: pd.DataFrame,
    epochs: pd.Series[Any],
    level: float,
    seed: int = 0,
) -> pd.DataFrame:
    """Gain of every longer cell of a line over every shorter one: the difference, paired by seed.

    Short trainings may vary more than long ones, so the standard deviation of a pair is pooled over
    the pairs among the lengths from the next shorter to the next longer than both: that of the
    residuals beyond length and seed, to which k lengths with n seeds give (k - 1)(n - 1) degrees of
    freedom. Pairs that share fewer than two seeds are compared by Welch's t; from n = 10 on the
    interval is a bootstrap.

    Args:
        lines: Names of the cells of each line, shortest first.
        values: Values of all cells, by their names, shape [n_cells, n_seeds].
        epochs: Length of each cell.
        level: Coverage of the intervals, in (0, 1).
        seed: Seed of the bootstrap.

    Returns:
        One row per pair: ``cell other from to step`` (1 for neighbours) ``n mean sd pooled_sd df
        low high``.
    """
    pairs = _length_pairs(lines)
    names = pd.DataFrame(
        {"cell": [pair.cell for pair in pairs], "other": [pair.other for pair in pairs]}
    )
    shorter = values.reindex(names["cell"]).to_numpy(dtype=np.float64)
    longer = values.reindex(names["other"]).to_numpy(dtype=np.float64)
    frame = estimate_means(longer - shorter, [0] * len(pairs), level, seed)
    frame[["pooled_sd", "df"]] = _pooled(pairs, frame["sd"].to_list(), frame["n"].to_list())
    low, high = t_interval(frame["mean"], frame["pooled_sd"], frame["n"], frame["df"], level)
    # From n = 10 on the values of the pair itself say more than those of its neighbours.
    is_bootstrap = frame["interval"] == "bootstrap"
    frame = frame.assign(
        low=frame["low"].where(is_bootstrap, low), high=frame["high"].where(is_bootstrap, high)
    )
    have_spread = (np.isfinite(shorter).sum(axis=1) > 1) & (np.isfinite(longer).sum(axis=1) > 1)
    # Welch's t needs two seeds of each cell, but no seed in common.
    for row in np.flatnonzero((frame["n"] < 2) & have_spread):
        found = welch_difference(longer[row], shorter[row], level)
        columns = ["n", "mean", "pooled_sd", "df", "low", "high"]
        statistics = ["n", "mean", "sd", "df", "low", "high"]
        frame.loc[row, columns] = [found[name] for name in statistics]
    length = epochs.to_dict()
    placed = names.assign(
        **{"from": names["cell"].map(length), "to": names["other"].map(length)},
        step=[pair.last - pair.first for pair in pairs],
    )
    return placed.join(frame)


def _length_pairs(lines: Iterable[pd.Index]) -> list[_LengthPair]:
    """Every pair of cells of each line, line by line."""
    pairs = []
    for number, line in enumerate(lines):
        for first, last in itertools.combinations(range(len(line)), 2):
            pairs.append(_LengthPair(number, line[first], line[last], first, last))
    return pairs


def _pooled(pairs: Sequence[_LengthPair], sds: Sequence[float], counts: Sequence[int]) -> Floats:
    """Pooled standard deviation and degrees of freedom of each pair, shape [n_pairs, 2].

    Args:
        pairs: The pairs.
        sds: Standard deviation of each pair's difference.
        counts: Number of seeds of each pair.
    """
    rows_of_line: dict[int, list[int]] = {}
    for row, pair in enumerate(pairs):
        rows_of_line.setdefault(pair.line, []).append(row)
    found = np.full((len(pairs), 2), np.nan)
    for row, pair in enumerate(pairs):
        # Only lengths next to the pair: far shorter ones may vary much more.
        near = [
            k
            for k in rows_of_line[pair.line]
            if _is_within(pairs[k], pair.first - 1, pair.last + 1) and counts[k] > 1
        ]
        sd, df = pooled_sd([sds[k] for k in near], [counts[k] for k in near])
        # The pairs of k lengths overlap: they have (k - 1)(n - 1) degrees of freedom in all.
        lengths = {pairs[k].first for k in near} | {pairs[k].last for k in near}
        found[row] = sd, df * 2 / max(2, len(lengths))
    return found


def _is_within(pair: _LengthPair, first: int, last: int) -> bool:
    """True if both lengths of a pair lie from position ``first`` to position ``last``."""
    return first <= pair.first and pair.last <= last
