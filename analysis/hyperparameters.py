"""How the best hyperparameters move: where the optimum of each search axis lies in each cell, and how cells differ."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.curves import MEASURES, with_dense
from analysis.results import Results
from analysis.surface import Floats, lowest
from sparsetune.errors import SparsetuneError
from sparsetune.space import Choice, IntRange, LogUniform, Uniform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEWEST = 10
"""Configurations from which on an optimum is located."""
ALONG = ("sparsity.target", "schedule.epochs", "schedule.epoch_multiplier")
"""Sweep axes along which optima are compared, each value with the smallest."""
WIDE = 0.75
"""An interval over more than this part of the searched range locates nothing."""
VAGUE = 0.5
"""Where the interval of a shift is wider than this part of the range, a shift could hide in it."""
OPTIMUM = ["n", "diverged", "value", "low", "high", "quarter_low", "quarter_high", "winner", "verdict"]
SHIFT = ["arm", "axis", "along", "from", "to", "reference", "cell", "n", "scale", "shift", "low", "high"]
SHIFT += ["p", "p_holm", "verdict"]
Range = Uniform | LogUniform | IntRange


@dataclass(frozen=True)
class Optima:
    """Where the best value of each search axis lies in each cell: numbers (`frame`, `shifts`), then picture (`plot`).

    Args:
        y: The column that was best.
        points: One row per cell, configuration and axis; see `Optima.response`.
        rows: What `frame` returns.
        cells: Cells whose search has finished, by name: ``arm`` and the sweep axes.
        draws: Where the best value may lie, for each cell and axis, in units of the searched range.
        ranges: What was searched, for each cell and axis.
        level: Coverage of the intervals.
    """

    y: str
    points: pd.DataFrame
    rows: pd.DataFrame
    cells: pd.DataFrame
    draws: Mapping[tuple[str, str], Floats]
    ranges: Mapping[tuple[str, str], Range]
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per cell and search axis, in the study's order.

        Columns: ``cell arm``, the sweep axes, ``axis``; ``n`` configurations that all cells share, ``diverged`` of
        them, which count as the worst; ``value low high`` (median and interval of the optimum's place); as a check
        without a model ``quarter_low quarter_high``, quartiles of the values of the best quarter of configurations;
        ``winner``, the value of the cell's winner; ``verdict``: ``located``, ``at most``, ``at least``, ``not located``
        (the interval covers most of the range) or ``too few configurations``.
        """
        return self.rows.copy()

    def response(self, cell: str) -> pd.DataFrame:
        """The column ``y`` of one cell against each search axis: ``cell source axis x value``; NaN where it diverged.

        Raises:
            SparsetuneError: if there is no such cell.
        """
        if cell not in self.cells.index:
            raise SparsetuneError(f"a cell must be one of {', '.join(map(str, self.cells.index))}, got `{cell}`")
        return self.points[self.points["cell"] == cell].reset_index(drop=True)

    def shifts(self, axis: str | None = None) -> pd.DataFrame:
        """How the optimum moves along sparsity (against the lowest that searches the axis) and length (the shortest).

        All other sweep axes are equal in a pair. ``p`` is twice the smaller share of draws on one side of no shift;
        ``p_holm`` is it after Holm's correction for all rows, so that in a study where nothing shifts, a shift is
        claimed with a probability of at most 1 - level.

        Args:
            axis: Only this search axis; the correction is for all of them none the less.

        Returns:
            One row per pair and axis: ``arm axis along from to reference cell n scale shift low high p p_holm
            verdict``; ``shift`` is a ratio where ``scale`` is ``factor`` and a difference otherwise, its interval not
            corrected.

        Raises:
            SparsetuneError: if the axis was not searched.
        """
        searched = list(dict.fromkeys(self.rows["axis"]))
        if axis is not None and axis not in searched:
            raise SparsetuneError(f"a search axis must be one of {', '.join(searched) or '(none)'}, got `{axis}`")
        pairs = [pair | self._shift(pair) for pair in self._pairs()]
        frame = pd.DataFrame(pairs, columns=[name for name in SHIFT if name not in ("p_holm", "verdict")])
        frame = frame.assign(p_holm=_holm(frame["p"].to_numpy(dtype=np.float64)))
        verdicts = [self._verdict(row, len(frame)) for row in frame.to_dict("records")]
        frame = frame.assign(verdict=verdicts)[SHIFT]
        return frame if axis is None else frame[frame["axis"] == axis].reset_index(drop=True)

    def plot(self) -> Figure:
        """Draw the optima against sparsity: a panel per axis, a line per training length, a row per arm."""
        from analysis import optimum_figure

        return optimum_figure.optima(self)

    def note(self) -> str:
        """What the marks and bars mean, for a caption."""
        n = self.rows.loc[self.rows["value"].notna(), "n"]
        count = f"{n.min()}" if n.nunique() == 1 else f"{n.min()} to {n.max()}"
        return (
            f"Median and {100 * self.level:g} % interval of where {self.y} is best on each axis, from n = {count}"
            " configurations that all cells share, one surface per cell (an additive Gaussian process); diverged ones"
            " count as the worst. An abrupt cliff close above an optimum draws its estimate down."
            " Hollow and faint: not located, the interval covers most of the range. A triangle at"
            " the end of a bar: it reaches the end of the searched range, which the panel shows from edge to edge."
        )

    def _pairs(self) -> Iterator[dict[str, Any]]:
        """Each row: a cell, the one it is compared with, and a search axis that both located or tried to."""
        sweep = [name for name in map(str, self.cells) if "." in name]
        lines = with_dense(self.cells.assign(sparsity=self.cells["sparsity.target"]))
        seen = set()
        for axis in dict.fromkeys(self.rows["axis"]):
            found = lines[[(str(cell), axis) in self.draws for cell in lines.index]]
            for along in (name for name in ALONG if name in sweep):
                others = ["arm", *(name for name in sweep if name != along)]
                for _, line in found.groupby(others, sort=False, dropna=False):
                    first, *rest = line.sort_values(along, kind="stable").to_dict("index").items()
                    for cell, row in rest:
                        if (axis, cell, first[0]) in seen:
                            continue  # dense cells stand in the lines of every arm
                        seen.add((axis, cell, first[0]))
                        pair = {"arm": row["arm"], "axis": axis, "along": along, "reference": first[0], "cell": cell}
                        yield pair | {"from": first[1][along], "to": row[along]}

    def _shift(self, pair: Mapping[str, Any]) -> dict[str, Any]:
        mine, other = (pair["cell"], pair["axis"]), (pair["reference"], pair["axis"])
        logarithmic = isinstance(self.ranges[mine], LogUniform)
        moved = _position(self.ranges[mine], self.draws[mine]) - _position(self.ranges[other], self.draws[other])
        ends = np.quantile(moved, [0.5, (1 - self.level) / 2, (1 + self.level) / 2])
        middle, low, high = np.exp(ends) if logarithmic else ends
        p = min(1.0, 2 * (min((moved >= 0).sum(), (moved <= 0).sum()) + 1) / (len(moved) + 1))
        n = self.rows.loc[self.rows["axis"].eq(pair["axis"]) & self.rows["cell"].isin([mine[0], other[0]]), "n"].min()
        scale = "factor" if logarithmic else "difference"
        return {"n": n, "scale": scale, "shift": middle, "low": low, "high": high, "p": p}

    def _verdict(self, row: Mapping[Any, Any], count: int) -> str:
        """In words; ``count`` comparisons were made."""
        ends, factor = np.array([row["shift"], row["low"], row["high"]]), row["scale"] == "factor"
        zero = 1 if factor else 0
        if row["p_holm"] < 1 - self.level:
            higher = ends[0] > zero
            middle, *bounds = ends if higher else (1 / ends if factor else -ends)
            low, high = sorted(bounds)
            by = "by a factor " if factor else "by "
            return f"{'higher' if higher else 'lower'} {by}{middle:.2g} [{low:.2g}, {high:.2g}]"
        if row["p"] < 1 - self.level:
            return f"no shift seen after correction for {count} comparisons"
        wide = np.diff(np.log(ends[1:]) if factor else ends[1:])[0]
        low, high = _position(self.ranges[row["cell"], row["axis"]], np.array([0.0, 1.0]))
        return "no shift seen" if wide <= VAGUE * (high - low) else "no shift seen; a large one is not excluded"


def optima(results: Results, y: str | None = None, *, level: float = 0.95, seed: int = 0) -> Optima:
    """Where the best value of each search axis lies, in every cell whose search has finished.

    Only configurations that all those cells have tried count, so that cells differ by their response alone; axes of
    unordered choices are left out, as are those that apply only in some configurations of a cell.

    Args:
        results: A study that searches something.
        y: A measured column; by default the objective.
        level: Coverage of the intervals.
        seed: Of the draws.

    Raises:
        SparsetuneError: if ``y`` is unknown.
    """
    column = y or results.design.objective
    if column not in MEASURES:
        raise SparsetuneError(f"`y` must be one of {', '.join(MEASURES)}, got `{column}`")
    table = results.cells()
    table = table[(table["configurations"] >= table["configurations_asked"]) | table["finished"]].set_index("cell")
    ranges = _ranges(results, table)
    points = _points(results, column, ranges)
    ranges = {key: span for key, span in ranges.items() if key in set(zip(points["cell"], points["axis"], strict=True))}
    minimize = results.design.minimize if y is None else not y.endswith(("accuracy", "score"))
    draws: dict[tuple[str, str], Floats] = {}
    rows = []
    for cell, own in points.groupby("cell", sort=False):
        wide, values = _wide(own, minimize)
        spans = {str(axis): ranges[str(cell), str(axis)] for axis in wide}
        if len(wide) >= FEWEST and values.nunique() > 1:
            units = np.stack([_unit(axis, wide[path]) for path, axis in spans.items()], axis=1)
            found = lowest(units, values, seed=[seed, zlib.crc32(str(cell).encode())])
            draws |= {(str(cell), path): found[:, k] for k, path in enumerate(spans)}
        for path, axis in spans.items():
            row: dict[str, Any] = {"cell": cell, "axis": path, "n": len(wide), "diverged": int(values.isna().sum())}
            row |= _located(axis, draws.get((str(cell), path)), level) | _quarter(wide[path], values)
            rows.append(row | {"winner": table.at[cell, path] if path in table else np.nan})
    sweep = [path for path in results.design.points() if path in table]
    cells = table[["arm", *sweep]]
    frame = pd.DataFrame(rows, columns=["cell", "axis", *OPTIMUM]).join(cells, on="cell")
    return Optima(column, points, frame[["cell", "arm", *sweep, "axis", *OPTIMUM]], cells, draws, ranges, level)


def _wide(points: pd.DataFrame, minimize: bool) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """A cell's configurations, a row each and a column per axis, and what is to be minimised of them."""
    wide = points.pivot(index="source", columns="axis", values="x")[list(dict.fromkeys(points["axis"]))]
    values = points.drop_duplicates("source").set_index("source")["value"].reindex(wide.index).astype("float64")
    return wide.astype("float64"), values if minimize else -values


def _ranges(results: Results, cells: pd.DataFrame) -> dict[tuple[str, str], Range]:
    """The ordered search axes of each cell."""
    declared = results.design.ranges.items()
    return {key: axis for key, axis in declared if key[0] in cells.index and not isinstance(axis, Choice)}


def _points(results: Results, y: str, ranges: Mapping[tuple[str, str], Range]) -> pd.DataFrame:
    """One row per cell, shared configuration and axis: ``cell source axis x value``, NaN where a seed diverged."""
    cells = list(dict.fromkeys(cell for cell, _ in ranges))
    trials, uses = results.trials().set_index("trial_id"), results.uses()
    uses = uses[(uses["role"] == "search") & uses["cell"].isin(cells)].drop_duplicates(["cell", "source", "seed"])
    uses = uses.join(trials[["status", y]], on="trial_id")
    known = uses["status"].isin(["COMPLETE", "DIVERGED"])
    uses = uses.assign(value=uses[y].where(uses["status"] == "COMPLETE"), known=known)
    groups = uses.groupby(["cell", "source"], sort=False)
    frame = groups.agg(trial_id=("trial_id", "first"), known=("known", "all")).reset_index()
    frame["value"] = groups["value"].agg(lambda values: values.mean(skipna=False)).to_numpy()
    frame = frame[frame["known"]]
    shared = frame.groupby("source")["cell"].nunique()
    frame = frame[frame["source"].map(shared) == len(cells)]
    columns = ["cell", "source", "axis", "x", "value"]
    parts = []
    for cell, path in ranges:
        own = frame[frame["cell"] == cell]
        parts.append(own.assign(axis=path, x=trials[path].reindex(own["trial_id"]).to_numpy())[columns])
    return _complete(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns))


def _complete(points: pd.DataFrame) -> pd.DataFrame:
    """Without axes that some configurations of a cell lack, and configurations whose values differ between cells."""
    points = points[points.groupby(["cell", "axis"])["x"].transform(lambda x: x.notna().all()).astype(bool)]
    differ = points.groupby(["source", "axis"])["x"].nunique() > 1
    return points[~points["source"].isin(differ.index[differ].get_level_values("source"))].reset_index(drop=True)


def _position(axis: Range, unit: Floats) -> Floats:
    """Where on the axis's own scale, logarithmic or not, a part of its range lies."""
    low, high = (np.log(axis.low), np.log(axis.high)) if isinstance(axis, LogUniform) else (axis.low, axis.high)
    return np.asarray(low + unit * (high - low))


def _unit(axis: Range, values: pd.Series[Any]) -> Floats:
    """Values in units of the searched range, on the axis's own scale."""
    low, high = _position(axis, np.array([0.0, 1.0]))
    x = values.to_numpy(dtype=np.float64)
    return np.asarray(((np.log(x) if isinstance(axis, LogUniform) else x) - low) / (high - low))


def _located(axis: Range, draws: Floats | None, level: float) -> dict[str, Any]:
    """Median, interval and verdict of the optimum's place."""
    if draws is None:
        return {"value": np.nan, "low": np.nan, "high": np.nan, "verdict": "too few configurations"}
    ends = np.quantile(draws, [0.5, (1 - level) / 2, (1 + level) / 2])
    places = _position(axis, ends)
    value, low, high = np.exp(places) if isinstance(axis, LogUniform) else places
    at_low, at_high = ends[1] <= 0.005, ends[2] >= 0.995
    verdict = "at most" if at_low else "at least" if at_high else "located"
    if (at_low and at_high) or ends[2] - ends[1] > WIDE:
        verdict = "not located"
    return {"value": value, "low": low, "high": high, "verdict": verdict}


def _quarter(x: pd.Series[Any], values: pd.Series[Any]) -> dict[str, float]:
    """Quartiles of the values of the best quarter of the configurations."""
    best = x[values.sort_values().index[: max(1, round(len(values) / 4))]].astype("float64")
    return {"quarter_low": float(best.quantile(0.25)), "quarter_high": float(best.quantile(0.75))}


def _holm(p: Floats) -> Floats:
    """Holm's adjusted p values: the k-th smallest of m times m - k + 1, never below a smaller one's, at most 1."""
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1.0, steps)
    return adjusted
