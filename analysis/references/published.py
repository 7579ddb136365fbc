"""Published results with their sources.

The points are data, not claims of this project: results that were read off a figure or are the best
of a sweep are marked, a network's own dense baseline stands beside its score, and nothing is known
of arXiv 2308.02060 but one digitised figure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
import pandas as pd

from sparsetune.errors import SparsetuneError

EPOCHS_OF_1X = {"ResNet50/ImageNet": 100.0, "WRN-22-2/CIFAR10": 250.0}
"""Epochs of a length of 1x, if that is known (Evci et al. 2020, sections 4.1 and 4.3)."""
Names = str | Sequence[str] | None
RIGL_README = "google-research/rigl README"
_COLUMN_DTYPES = {"seeds": "Int64", "best_of_sweep": "boolean", "digitised": "boolean"}
_PERCENT_COLUMNS = {
    "sparsity_pct": "sparsity",
    "value_pct": "value",
    "sd_pct": "sd",
    "dense_baseline_pct": "dense_baseline",
}
_TABLE_COLUMNS = [
    "benchmark",
    "method",
    "distribution",
    "sparsity",
    "length",
    "epochs",
    "metric",
    "value",
    "sd",
    "seeds",
    "best_of_sweep",
    "digitised",
    "dense_baseline",
    "note",
    "source",
]


def references(
    benchmark: Names = None, method: Names = None, distribution: Names = None, source: Names = None
) -> pd.DataFrame:
    """Published results, one per row.

    Args:
        benchmark: Name of a benchmark, or several; None for all.
        method: Name of a method, or several; None for all.
        distribution: Name of a distribution of sparsity over layers, or several; None for all.
        source: Name of a source, or several; None for all.

    Returns:
        ``benchmark method distribution``; ``sparsity`` as a fraction of the prunable weights as the
        source counts them; ``length`` as the source says it and ``epochs`` if that is a number of
        them, else NaN; ``metric``; ``value sd dense_baseline`` as fractions, the last NaN if the
        source gives no dense network of its own; ``seeds``; ``best_of_sweep`` (the highest of many
        runs: optimistic), ``digitised`` (read off a figure); ``note source``.

    Raises:
        SparsetuneError: if a name is unknown among the rows that the arguments before it leave.
    """
    frame = _table()
    wanted = {
        "benchmark": benchmark,
        "method": method,
        "distribution": distribution,
        "source": source,
    }
    for column, names in wanted.items():
        if names is not None:
            frame = _filter_names(frame, column, [names] if isinstance(names, str) else list(names))
    return frame.reset_index(drop=True)


def _filter_names(frame: pd.DataFrame, column: str, names: Sequence[str]) -> pd.DataFrame:
    """The rows whose ``column`` is one of the names.

    Raises:
        SparsetuneError: if a name is in no row.
    """
    known = list(dict.fromkeys(frame[column].dropna()))
    for name in names:
        if name not in known:
            raise SparsetuneError(f"`{column}` must be of {'; '.join(known)}; got `{name}`")
    return frame[frame[column].isin(list(names))]


@cache
def _table() -> pd.DataFrame:
    """The whole table, read from the package's CSV; nobody may change it."""
    with resources.files(__package__).joinpath("references.csv").open() as file:
        frame = pd.read_csv(file, true_values=["yes"], false_values=["no"]).astype(_COLUMN_DTYPES)
    fractions = {}
    for percent, name in _PERCENT_COLUMNS.items():
        # Rounded, since 77.19 / 100 is not the number that a reader types.
        fractions[name] = (frame[percent] / 100).round(6)
    lengths = zip(frame["benchmark"], frame["length"], strict=True)
    epochs = [length_in_epochs(benchmark, length) for benchmark, length in lengths]
    return frame.assign(**fractions, epochs=epochs)[_TABLE_COLUMNS]


def length_in_epochs(benchmark: str, length: object) -> float:
    """Epochs of a published length; NaN if they are not known.

    Args:
        benchmark: Name of the benchmark.
        length: ``100ep``, ``~100ep``, or ``5x`` of a benchmark in `EPOCHS_OF_1X`.
    """
    found = re.fullmatch(r"~?([\d.]+)(ep|x)( LR .*)?", str(length))
    if not found:
        return float("nan")
    unit = 1.0 if found[2] == "ep" else EPOCHS_OF_1X.get(benchmark, float("nan"))
    return float(found[1]) * unit


def paper_points() -> pd.DataFrame:
    """Digitised points of arXiv 2308.02060: ``sparsity epochs value best source``.

    ``best`` is True for the highest point of each sparsity.
    """
    points = references("ResNet50/ImageNet")
    points = points[points["digitised"]].sort_values(["sparsity", "epochs"], ignore_index=True)
    highest = points.groupby("sparsity")["value"].transform("max")
    points = points.assign(best=points["value"] == highest)
    return points[["sparsity", "epochs", "value", "best", "source"]]


def length_points() -> pd.DataFrame:
    """Published scores at several lengths of one recipe.

    Columns: ``line sparsity epochs value sd seeds source``; ``line`` names the recipe.
    """
    rigl = references("ResNet50/ImageNet", "RigL", "ERK")
    is_of_paper = rigl["source"].str.startswith("RigL paper")
    is_checkpoint = rigl["source"].eq(RIGL_README) & rigl["sparsity"].eq(0.99)
    acdc = references("ResNet50/ImageNet", "AC/DC", "uniform(first+last dense)")
    dense = references("ResNet50/ImageNet", "Dense FFCV")
    rows = pd.concat(
        [
            rigl[is_of_paper | is_checkpoint].assign(line="RigL, ERK"),
            acdc.assign(line="AC/DC, uniform"),
            dense.assign(line="dense (FFCV)"),
        ]
    )
    rows = rows[["line", "sparsity", "epochs", "value", "sd", "seeds", "source"]]
    return rows.sort_values(["line", "sparsity", "epochs"], kind="stable", ignore_index=True)


def stretch_points() -> pd.DataFrame:
    """Gain of twice the steps under a fixed mask: ``sparsity length gain low high n source``.

    ``low high`` are two standard errors of the difference away from the gain.
    """
    rows = references("ResNet50/ImageNet", "Static GMP-mask from scratch")
    one = rows[rows["length"] == "1x"].set_index("sparsity")
    twice = rows[rows["length"] != "1x"]
    base = one.loc[twice["sparsity"]].reset_index(drop=True)
    twice = twice.reset_index(drop=True)
    seeds = twice["seeds"].astype("float64")
    error = np.sqrt((twice["sd"] ** 2 + base["sd"] ** 2) / seeds)
    gain = twice["value"] - base["value"]
    return twice[["sparsity", "length"]].assign(
        gain=gain,
        low=gain - 2 * error,
        high=gain + 2 * error,
        n=twice["seeds"],
        source=twice["source"],
    )
