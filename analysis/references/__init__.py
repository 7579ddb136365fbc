"""Published results with their sources, and a curve with such points laid over it.

The points are data, not claims of ours: what was read off a figure or is the best of a sweep is marked, a network's own
dense baseline stands beside its score, and nothing is known of arXiv 2308.02060 but one digitised figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.curves.curve import Curve
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ONE_X = {"ResNet50/ImageNet": 100.0, "WRN-22-2/CIFAR10": 250.0}
"""Epochs of a length of 1x, where that is known (Evci et al. 2020, sections 4.1 and 4.3)."""
_ACCURACY_COLUMNS = ("accuracy", "score")
_SCORE_COLUMNS = ("score",)
QUANTITY_COLUMNS: dict[str, tuple[str, ...]] = {
    "top1": _ACCURACY_COLUMNS,
    "acc": _ACCURACY_COLUMNS,
    "m-acc": _ACCURACY_COLUMNS,
}
QUANTITY_COLUMNS |= {"F1": _SCORE_COLUMNS, "Mcc": _SCORE_COLUMNS, "Pearson": _SCORE_COLUMNS}
"""Of each published metric, the measures of a study that it may be compared with."""
BASELINE_TOLERANCE = 0.001
"""Dense scores that differ by less are one baseline where there is no interval: a tenth of a point."""
_COLUMN_DTYPES = {"seeds": "Int64", "best_of_sweep": "boolean", "digitised": "boolean"}
_PERCENT_COLUMNS = {
    "sparsity_pct": "sparsity",
    "value_pct": "value",
    "sd_pct": "sd",
    "dense_baseline_pct": "dense_baseline",
}
Names = str | Sequence[str] | None


def references(
    benchmark: Names = None, method: Names = None, distribution: Names = None, source: Names = None
) -> pd.DataFrame:
    """Published results, one row each; every argument is a name or several, None for all.

    Returns:
        ``benchmark method distribution``; ``sparsity`` as a fraction of the prunable weights as the source counts them;
        ``length`` as the source says it and ``length_in_epochs`` where that is a number of them, else NaN; ``metric``; ``value sd
        dense_baseline`` as fractions, the last NaN where the source gives no dense network of its own; ``seeds``;
        ``best_of_sweep`` (the highest of many runs: optimistic), ``digitised`` (read off a figure); ``note source``.

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
    known = list(dict.fromkeys(frame[column].dropna()))
    if unknown := [name for name in names if name not in known]:
        raise SparsetuneError(f"`{column}` must be of {'; '.join(known)}; got `{unknown[0]}`")
    return frame[frame[column].isin(list(names))]


@cache
def _table() -> pd.DataFrame:
    with resources.files("analysis.references").joinpath("references.csv").open() as file:
        frame = pd.read_csv(file, true_values=["yes"], false_values=["no"]).astype(_COLUMN_DTYPES)
    shares = {ours: (frame[theirs] / 100).round(6) for theirs, ours in _PERCENT_COLUMNS.items()}
    frame = frame.assign(
        **shares,
        epochs=[
            length_in_epochs(*row) for row in zip(frame["benchmark"], frame["length"], strict=True)
        ],
    )
    order = "benchmark method distribution sparsity length epochs metric value sd seeds best_of_sweep digitised"
    return frame[[*order.split(), "dense_baseline", "note", "source"]]


def length_in_epochs(benchmark: str, length: object) -> float:
    """What a published length is in epochs: ``100ep``, ``~100ep``, ``5x`` of a benchmark in `ONE_X`; else NaN."""
    found = re.fullmatch(r"~?([\d.]+)(ep|x)( LR .*)?", str(length))
    if not found:
        return float("nan")
    return float(found[1]) * (1.0 if found[2] == "ep" else ONE_X.get(benchmark, float("nan")))


@dataclass(frozen=True)
class Overlay:
    """A curve of a study with published points over it: numbers (`frame`), picture (`plot`), what to beware (`note`).

    Args:
        curve: Of the study.
        points: Rows of `references`, with ``x`` and the ``series`` that a point belongs to.
        dense: ``mean low high`` of the study's own best dense networks; NaN where the curve shows none.
    """

    curve: Curve
    points: pd.DataFrame
    dense: pd.Series[float]

    def frame(self) -> pd.DataFrame:
        """The published points that are shown: the columns of `references`, with ``series`` and ``x``."""
        return self.points.copy()

    def warnings(self) -> list[str]:
        """What forbids a plain comparison, in sentences; empty if nothing does."""
        return [
            *_has_mixed_baselines(self.points),
            *_has_other_baseline(self.points, self.dense, self.curve.y),
        ]

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the curve, and the points hollow in every panel; a legend of their own says what each series is."""
        from analysis.references import figures

        return figures.draw_overlay(self, ax)

    def note(self) -> str:
        """What the hollow marks are, where they come from, and the warnings: a caption must hold it."""
        kinds = {"best_of_sweep": "stars are the best of a sweep, so optimistic"}
        kinds["digitised"] = "diamonds were read off a figure (error about 0.03 points)"
        marked = "; ".join(
            [
                "Hollow marks are published results",
                *(t for c, t in kinds.items() if self.points[c].any()),
            ]
        )
        sources = "; ".join(dict.fromkeys(self.points["source"]))
        return " ".join([f"{marked}. Sources: {sources}.", *self.warnings()])


def overlay(curve: Curve, points: pd.DataFrame) -> Overlay:
    """Published points over a study's curve.

    Args:
        curve: Of an accuracy or a score, against sparsity or epochs.
        points: Rows of `references`, of one benchmark. Those without a known length cannot stand on an axis of epochs:
            they are left out.

    Raises:
        SparsetuneError: if they are of several benchmarks or none is left, or the curve's ``y`` is another quantity.
    """
    points = points.dropna(subset=["value", curve.x])
    if points["benchmark"].nunique() != 1:
        found = (
            "; ".join(dict.fromkeys(points["benchmark"])) or f"no point with a known `{curve.x}`"
        )
        raise SparsetuneError(
            f"the points must be of one benchmark, got {found}; choose with references(benchmark=...)"
        )
    quantity = curve.y.rpartition("_")[2]
    if other := [
        metric
        for metric in dict.fromkeys(points["metric"])
        if quantity not in QUANTITY_COLUMNS[metric]
    ]:
        wanted = " or ".join(QUANTITY_COLUMNS[other[0]])
        raise SparsetuneError(
            f"published `{other[0]}` can be compared with a study's {wanted}, got `{curve.y}`"
        )
    points = points.assign(x=points[curve.x], series=_series(points, curve.x))
    return Overlay(
        curve, points.sort_values(["series", "x"], ignore_index=True), _best_dense_row(curve)
    )


def _series(points: pd.DataFrame, x: str) -> pd.Series[str]:
    """A name for each point, of as few parts as tell those at one ``x`` apart."""
    keys = ["method", "distribution", "length" if x == "sparsity" else "sparsity"]
    names = points.apply(lambda row: _series_name(row, keys), axis=1)
    for more in ("source", "note"):
        several = (
            pd.DataFrame({"name": names, "x": points[x]})
            .duplicated(keep=False)
            .groupby(names)
            .transform("any")
        )
        names = names.where(~several | points[more].isna(), names + ", " + points[more].fillna(""))
    return names


def _series_name(row: pd.Series[Any], keys: Sequence[str]) -> str:
    words = [
        f"{100 * row[key]:g} %" if key == "sparsity" else str(row[key])
        for key in keys
        if pd.notna(row[key])
    ]
    marks = {"best of sweep": row["best_of_sweep"], "digitised": row["digitised"]}
    marked = [mark for mark, is_so in marks.items() if is_so and mark not in row["method"]]
    return ", ".join([*(word for word in words if word != "-"), *marked])


def _best_dense_row(curve: Curve) -> pd.Series[Any]:
    column = "sparsity" if curve.x == "sparsity" else "sparsity.target"
    frame = curve.frame()
    rows = frame[frame[column] == 0].dropna(subset="mean") if column in frame else frame[:0]
    return rows.sort_values("mean").iloc[-1] if len(rows) else pd.Series({"mean": float("nan")})


def _has_mixed_baselines(points: pd.DataFrame) -> Iterator[str]:
    """Whether the points' own dense networks differ or are not known."""
    known = points.dropna(subset="dense_baseline")
    of = known.groupby("dense_baseline")["method"].agg(
        lambda names: ", ".join(dict.fromkeys(names))
    )
    if len(of) > 1:
        each = "; ".join(
            f"{100 * float(str(baseline)):.4g} % ({names})" for baseline, names in of.items()
        )
        yield f"Published points have different dense baselines, {each}: compare each with its own only."
    if unknown := list(dict.fromkeys(points.loc[points["dense_baseline"].isna(), "method"])):
        yield f"The dense baseline of {', '.join(unknown)} is not known."


def _has_other_baseline(points: pd.DataFrame, dense: pd.Series[Any], y: str) -> Iterator[str]:
    """Whether the study's own dense networks are those that the points start from."""
    if pd.isna(dense["mean"]):
        yield "The curve shows no dense network, so the baselines cannot be compared."
        return
    known = "low" in dense and pd.notna(dense["low"])
    low, high = (
        (dense["low"], dense["high"])
        if known
        else (dense["mean"] - BASELINE_TOLERANCE, dense["mean"] + BASELINE_TOLERANCE)
    )
    other = sorted({b for b in points["dense_baseline"].dropna() if not low <= b <= high})
    if other:
        theirs = ", ".join(f"{100 * baseline:.4g} %" for baseline in other)
        own = f"{100 * dense['mean']:.4g} % (n = {dense['n']:.0f}, {100 * low:.4g} to {100 * high:.4g})"
        yield f"The study's own dense networks reach {own}, published ones {theirs}: other starting points."
