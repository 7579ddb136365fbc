"""A study's curve with published points over it, and warnings about comparing them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsetune.errors import SparsetuneError

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..curves.curve import Curve
from ..drawers import draw
from ..notebook import Shown
from ..wording import format_seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACCURACY_COLUMNS = ("accuracy", "score")
_SCORE_COLUMNS = ("score",)
QUANTITY_COLUMNS: dict[str, tuple[str, ...]] = {
    "top1": _ACCURACY_COLUMNS,
    "acc": _ACCURACY_COLUMNS,
    "m-acc": _ACCURACY_COLUMNS,
    "F1": _SCORE_COLUMNS,
    "Mcc": _SCORE_COLUMNS,
    "Pearson": _SCORE_COLUMNS,
}
"""Measures of a study that each published metric may be compared with."""
BASELINE_TOLERANCE = 0.001
"""Without an interval, dense scores that differ by less are one baseline: a tenth of a point."""


@dataclass(frozen=True)
class Overlay(Shown):
    """A curve of a study with published points over it: numbers, figure, and warnings (`note`).

    Args:
        curve: Curve of the study.
        points: Rows of `references`, with ``x`` and the ``series`` that a point belongs to.
        dense: ``mean low high`` of the study's own best dense networks; NaN if the curve shows
            none.
    """

    curve: Curve
    points: pd.DataFrame
    dense: pd.Series[float]

    def frame(self) -> pd.DataFrame:
        """The published points: the columns of `references`, ``series`` and ``x``."""
        return self.points.copy()

    def warnings(self) -> list[str]:
        """Reasons against a plain comparison, in sentences; empty if there are none."""
        return [str(sentence) for sentence in self._warnings()]

    def _warnings(self) -> Iterator[Sentence]:
        yield from _mixed_baseline_warnings(self.points)
        yield from _own_baseline_warnings(self.points, self.dense)

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the curve, and the points hollow in every panel; a second legend names each series.

        Args:
            ax: Where to draw; a new figure by default.
        """
        return draw(self, ax=ax)

    def note(self) -> str:
        """Meaning and sources of the hollow marks, and the warnings: a caption must hold it."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        yield write("overlay_marks")
        if self.points["best_of_sweep"].any():
            yield write("overlay_stars")
        if self.points["digitised"].any():
            yield write("overlay_diamonds")
        yield write("overlay_sources", sources="; ".join(dict.fromkeys(self.points["source"])))
        yield from self._warnings()


def overlay(curve: Curve, points: pd.DataFrame) -> Overlay:
    """Lay published points over a study's curve.

    Args:
        curve: Curve of an accuracy or a score, against sparsity or epochs.
        points: Rows of `references`, of one benchmark. Points without a known length have no place
            on an axis of epochs: they are left out.

    Raises:
        SparsetuneError: if they are of several benchmarks or none is left, or the curve's ``y`` is
            another quantity.
    """
    points = points.dropna(subset=["value", curve.x])
    if points["benchmark"].nunique() != 1:
        benchmarks = "; ".join(dict.fromkeys(points["benchmark"]))
        found = benchmarks or f"no point with a known `{curve.x}`"
        raise SparsetuneError(
            f"the points must be of one benchmark, got {found};"
            " choose with references(benchmark=...)"
        )
    quantity = curve.y.column.rpartition("_")[2]
    for metric in dict.fromkeys(points["metric"]):
        if quantity not in QUANTITY_COLUMNS[metric] or not curve.y.is_fraction:
            wanted = " or ".join(QUANTITY_COLUMNS[metric])
            got = f"`{curve.y}`" + (f", {curve.y.metric}" if curve.y.metric else "")
            raise SparsetuneError(
                f"published `{metric}` can be compared with a study's {wanted}, got {got}"
            )
    points = points.assign(x=points[curve.x], series=_series_names(points, curve.x))
    points = points.sort_values(["series", "x"], ignore_index=True)
    return Overlay(curve, points, _best_dense_row(curve))


def _series_names(points: pd.DataFrame, x: str) -> pd.Series[str]:
    """Name of each point's series, of as few parts as tell the points at one ``x`` apart."""
    keys = ["method", "distribution", "length" if x == "sparsity" else "sparsity"]
    names = points.apply(lambda row: _series_name(row, keys), axis=1)
    for column in ("source", "note"):
        placed = pd.DataFrame({"name": names, "x": points[x]})
        # A line can have one point at an x, so such names need another part.
        is_repeated = placed.duplicated(keep=False)
        is_ambiguous = is_repeated.groupby(names).transform("any")
        longer = names + ", " + points[column].fillna("")
        names = names.where(~is_ambiguous | points[column].isna(), longer)
    return names


def _series_name(row: pd.Series[Any], keys: Sequence[str]) -> str:
    """Name of a point's series from its ``keys``, with marks that the method does not name."""
    words = []
    for key in keys:
        if pd.notna(row[key]):
            word = f"{100 * row[key]:g} %" if key == "sparsity" else str(row[key])
            words.append(word)
    # A dash in the table stands for no distribution.
    words = [word for word in words if word != "-"]
    marks = {"best of sweep": row["best_of_sweep"], "digitised": row["digitised"]}
    for mark, is_marked in marks.items():
        if is_marked and mark not in row["method"]:
            words.append(mark)
    return ", ".join(words)


def _best_dense_row(curve: Curve) -> pd.Series[Any]:
    """The row of the curve's best dense networks; only a NaN ``mean`` without one."""
    column = "sparsity" if curve.x == "sparsity" else "sparsity.target"
    frame = curve.frame()
    rows = frame[:0]
    if column in frame:
        rows = frame[frame[column] == 0].dropna(subset="mean")
    if rows.empty:
        return pd.Series({"mean": float("nan")})
    return rows.sort_values("mean").iloc[-1]


def _mixed_baseline_warnings(points: pd.DataFrame) -> Iterator[Sentence]:
    """Warnings if the points' own dense networks differ or are not known."""
    known = points.dropna(subset="dense_baseline")
    methods = known.groupby("dense_baseline")["method"].agg(_joined)
    if len(methods) > 1:
        each = "; ".join(
            f"{100 * float(str(baseline)):.4g} % ({names})" for baseline, names in methods.items()
        )
        yield write("overlay_dense", each=each)
    unknown = points.loc[points["dense_baseline"].isna(), "method"]
    if len(unknown):
        yield write("overlay_dense_unknown", methods=_joined(unknown))


def _joined(names: pd.Series[str]) -> str:
    """The different names, in their order."""
    return ", ".join(dict.fromkeys(names))


def _own_baseline_warnings(points: pd.DataFrame, dense: pd.Series[Any]) -> Iterator[Sentence]:
    """Warnings if the study's own dense networks are not those that the points start from.

    Args:
        points: The published points.
        dense: The row of the study's best dense networks.
    """
    mean = dense["mean"]
    if pd.isna(mean):
        yield write("overlay_no_dense")
        return
    low = mean - BASELINE_TOLERANCE
    high = mean + BASELINE_TOLERANCE
    if "low" in dense and pd.notna(dense["low"]):
        low = dense["low"]
        high = dense["high"]
    other = sorted({b for b in points["dense_baseline"].dropna() if not low <= b <= high})
    if other:
        theirs = ", ".join(f"{100 * baseline:.4g} %" for baseline in other)
        numbers = f"{100 * low:.4g} to {100 * high:.4g}, {format_seeds(dense['n'])}"
        own = f"{100 * mean:.4g} %"
        yield write("overlay_other_dense", mean=own, numbers=numbers, theirs=theirs)
