"""Is the sparse network under-trained? What longer training gains it beyond what it gains the dense one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.estimates.intervals import estimate_means, t_interval
from analysis.estimates.means import cell_values, direction_of
from analysis.tables.results import Results
from analysis.tables.selection import dense_arm_of

EXTENSION_COLUMNS = (
    "arm",
    "sparsity",
    "from_epochs",
    "to_epochs",
    "claimed",
    "sparse_gain",
    "dense_gain",
    "gain",
)
GAIN_STATISTICS = ("n", "sd", "pooled_sd", "df", "low", "high")


def extension_gain(
    results: Results,
    y: str = "test_accuracy",
    *,
    tolerance: float = 0.002,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Gain of the sparse network minus gain of the dense one between two training lengths, paired by report seed.

    At a very short budget the dense network is under-trained too, so the claim starts at the shortest budget at which
    the dense cells' mean ``test_accuracy`` is within ``tolerance`` of their best, or their mean ``y`` where no accuracy
    was measured. Every other budget is compared with that one; shorter ones have ``claimed`` False. All steps of a line
    share that budget: their gains are correlated by about a half, which costs degrees of freedom (Satterthwaite),
    df = sum (n - 1) * 4 / (steps + 3).

    The start is chosen by the dense runs that the gains are measured from, which favours one where those were lucky:
    the gains of longer steps are too large where dense lengths are nearly as good. Simulated with four such lengths,
    sparse and dense alike, by 0.2 to 0.3 points at n = 2, 0.1 to 0.2 at n = 3 and 0.1 or less at n = 10 where seeds
    vary by 0.3 points (standard deviation), by 0.06 at most where they vary by 0.1.

    Args:
        results: A study that sweeps ``schedule.epochs`` or ``schedule.epoch_multiplier`` and has dense cells.
        y: A measured column; gains are differences of it, so that of a loss is negative where it falls.
        tolerance: In units of accuracy, or of ``y`` where that decides: 0.002 is 0.2 points.
        where: Dotted fields and their values, as in `sparsity_curve`.
        level: Coverage of the intervals.

    Returns:
        One row per arm, sparsity and step: ``arm sparsity from_epochs to_epochs claimed sparse_gain dense_gain gain n
        sd pooled_sd df low high``; lengths in epochs with the multiplier counted in, the standard deviation pooled over
        the steps of one arm and sparsity. No row where fewer than two dense budgets are measured.

    Raises:
        SparsetuneError: if ``y`` is unknown.
    """
    cells, values, _twins = cell_values(results, y, where)
    accuracy = cell_values(results, "test_accuracy", where)[1]
    dense_arms = list(dict.fromkeys(cells.loc[cells["sparsity"] == 0, "arm"]))
    parts = []
    for _, line in cells[cells["sparsity"] > 0].groupby(["arm", "sparsity"], sort=False):
        arm = line["arm"].iloc[0]
        sparsity = line["sparsity"].iloc[0]
        dense = cells[(cells["sparsity"] == 0) & (cells["arm"] == dense_arm_of(arm, dense_arms))]
        measured = accuracy.loc[dense.index].notna().any(axis=None)
        start = _saturation_length(
            _by_length(dense, accuracy if measured else direction_of(y) * values), tolerance
        )
        pair = _by_length(line, values), _by_length(dense, values)
        parts.append(_steps(*pair, start, level).assign(arm=arm, sparsity=sparsity))
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    dtypes = dict.fromkeys((*EXTENSION_COLUMNS, *GAIN_STATISTICS), "float64") | {
        "arm": "string",
        "claimed": "boolean",
        "n": "Int64",
    }
    return frame.reindex(columns=list(dtypes)).astype(dtypes)


def _saturation_length(dense: pd.DataFrame, tolerance: float) -> float:
    """The shortest length at which the mean is within ``tolerance`` of the best; NaN where nothing is measured."""
    means = dense.mean(axis=1)
    return float(means.index[means >= means.max() - tolerance - 1e-12].min())


def _by_length(cells: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Values of one line, shape [n_lengths, n_seeds], indexed by epochs."""
    return values.loc[cells.index].set_axis(cells["epochs"], axis=0).sort_index()


def _steps(sparse: pd.DataFrame, dense: pd.DataFrame, start: float, level: float) -> pd.DataFrame:
    """One row per step between ``start`` and every other length that both networks were trained for."""
    both = sparse.index.intersection(dense.index)
    if pd.isna(start) or start not in both:
        return pd.DataFrame()
    others = [length for length in both if length != start]
    sign = np.array([1 if length > start else -1 for length in others])[:, None]
    gains = [sign * (part.loc[others] - part.loc[start]).to_numpy() for part in (sparse, dense)]
    paired = ~np.isnan(gains[0] - gains[1])
    means = [
        estimate_means(np.where(paired, gain, np.nan), [0] * len(others))["mean"] for gain in gains
    ]
    frame = estimate_means(gains[0] - gains[1], [0] * len(others), level)
    steps = int((frame["n"] > 0).sum())
    frame["df"] = frame["df"] * 4 / (steps + 3)
    frame["low"], frame["high"] = t_interval(
        frame["mean"], frame["pooled_sd"], frame["n"], frame["df"], level
    )
    frame = frame.rename(columns={"mean": "gain"}).assign(sparse_gain=means[0], dense_gain=means[1])
    ends = [(min(length, start), max(length, start), length > start) for length in others]
    return frame.join(pd.DataFrame(ends, columns=["from_epochs", "to_epochs", "claimed"]))
