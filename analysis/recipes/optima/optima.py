"""Optimum of each search axis in each cell, on average over the others, with an interval."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsetune.errors import SparsetuneError

from ...catalogue import paragraph, write
from ...catalogue.template import Sentence
from ...drawers import draw
from ...estimates.captions import format_span
from ...estimates.surface import MAX_POINTS, Floats, sample_effects
from ...estimates.threads import map_on_threads
from ...measure import Measure
from ...notebook import Shown
from ...tables.results import Results, cached_per_results
from .. import responses
from ..responses import (
    MIN_CONFIGURATIONS,
    Range,
    is_lower_better,
    reaches_ends,
    to_unit_range,
    value_at_position,
)
from .shifts import OptimumKey, optimum_shifts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LOCATED_WIDTH = 0.75
"""An interval over more than this part of the searched range locates nothing."""
POINT_COLUMNS = ["cell", "source", "axis", "x", "value"]
OPTIMUM_COLUMNS = [
    "n",
    "diverged",
    "value",
    "low",
    "high",
    "flat_low",
    "flat_high",
    "quarter_low",
    "quarter_high",
    "winner",
    "verdict",
]


@dataclass(frozen=True)
class Optima(Shown):
    """Best value of each axis on average over the others: numbers (`frame`, `shifts`), a figure.

    Where axes interact, the values that are best on average are not best together: on a ridge,
    where a higher learning rate wants a shorter ramp, say, each lies in the middle. The best
    together of what was tried is the winner, whose values stand beside them.

    Args:
        y: The measure that was best.
        points: One row per cell, configuration and axis; see `Optima.response`.
        rows: Rows that `frame` returns.
        cells: Cells whose search has finished, by name: ``arm`` and the sweep axes.
        draws: Possible positions of the best value, for each cell and axis, as parts of the
            searched range, shape [n_draws].
        ranges: Searched range, for each cell and axis.
        level: Coverage of the intervals, in (0, 1).
        shared: True if only configurations that all cells have tried count; otherwise each cell's
            own do.
        adaptive: True if what was tried in a cell followed from its results.
    """

    y: Measure
    points: pd.DataFrame
    rows: pd.DataFrame
    cells: pd.DataFrame
    draws: Mapping[OptimumKey, Floats]
    ranges: Mapping[OptimumKey, Range]
    level: float = 0.95
    shared: bool = True
    adaptive: bool = False

    def frame(self) -> pd.DataFrame:
        """One row per cell and search axis, in the study's order.

        Columns: ``cell arm``, the sweep axes, ``axis``; ``n`` configurations that all cells share
        (or of each cell's own if not `shared`), ``diverged`` of them, which count as the worst;
        ``value low high`` (median and interval of the optimum of the axis, on average over the
        other axes); ``flat_low flat_high``, between
        which nothing is lost that the spread between runs would not hide (`Effects.flat_ranges`);
        as a check without a model ``quarter_low quarter_high``, quartiles of the best quarter of
        configurations; ``winner``, the value of the cell's winner, the best of all axes
        together among the configurations tried; ``verdict``: ``located``, ``at
        most``, ``at least``, ``not located`` (the interval covers most of the range) or ``too few
        configurations``, with which the estimates are NaN.
        """
        return self.rows.copy()

    def response(self, cell: str) -> pd.DataFrame:
        """The column ``y`` of one cell against each search axis: ``cell source axis x value``.

        ``value`` is NaN if the configuration diverged.

        Raises:
            SparsetuneError: if there is no such cell.
        """
        if cell not in self.cells.index:
            names = ", ".join(map(str, self.cells.index))
            raise SparsetuneError(f"a cell must be one of {names}, got `{cell}`")
        return self.points[self.points["cell"] == cell].reset_index(drop=True)

    def shifts(self, axis: str | None = None) -> pd.DataFrame:
        """Shifts of the optimum along sparsity and along training length.

        A cell is compared with the lowest sparsity that searches the axis, or with the shortest
        length; all other sweep axes are equal in a pair. ``p`` is twice the smaller share of draws
        on one side of no shift; ``p_holm`` is p after Holm's correction for all rows, so that in a
        study where nothing shifts, a shift is claimed with a probability of at most 1 - level. If
        the optimum of one of the two reaches an end of its range it may lie beyond, so that side of
        the shift's interval is open (infinite; 0 for a factor), and ``p`` counts only the other; if
        both sides are open, ``shift`` is NaN and nothing is claimed. If not `shared`, cells may
        also differ by which configurations were tried, as each claim then says; where an adaptive
        sampler chose them, nothing is compared.

        Args:
            axis: Only this search axis; the correction is for all of them all the same.

        Returns:
            One row per pair and axis: ``arm axis along from to reference cell n scale shift low
            high p p_holm verdict``; ``shift`` is a ratio if ``scale`` is ``factor`` and a
            difference otherwise, its interval not corrected.

        Raises:
            SparsetuneError: if the axis was not searched.
        """
        searched = list(dict.fromkeys(self.rows["axis"]))
        if axis is not None and axis not in searched:
            raise SparsetuneError(
                f"a search axis must be one of {', '.join(searched) or '(none)'}, got `{axis}`"
            )
        # Where a cell's results chose its configurations, they differ from other cells' by that.
        is_asked = self.shared or not self.adaptive
        frame = optimum_shifts(self if is_asked else replace(self, draws={}))
        return frame if axis is None else frame[frame["axis"] == axis].reset_index(drop=True)

    def plot(self) -> Figure:
        """Draw the optima against sparsity: a panel per axis, a line per length, a row per arm.

        Raises:
            SparsetuneError: if no cell has enough configurations.
        """
        return draw(self)

    def note(self) -> str:
        """Meaning of the marks and bars, for a caption."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        n = self.rows.loc[self.rows["value"].notna(), "n"]
        if n.empty:
            yield write("optimum_none", least=MIN_CONFIGURATIONS)
            return
        yield write("optimum_marks", measure=self.y.phrase, level=f"{100 * self.level:g}")
        span = format_span(n)
        if self.shared:
            yield write("optimum_shared", n=span)
        else:
            yield write("optimum_own", n=span)
            yield write("optimum_own_differ", least=MIN_CONFIGURATIONS)
            if self.adaptive and len(self.cells) > 1:
                yield write("optimum_not_asked", least=MIN_CONFIGURATIONS)
        if n.max() > MAX_POINTS:
            yield write("optimum_drawn", most=MAX_POINTS)
        yield write("optimum_diverged")
        yield write("optimum_cross")
        yield write("optimum_interact")
        yield write("optimum_flat")
        yield write("optimum_cliff")
        yield write("optimum_hollow")
        yield write("optimum_triangle")


def optima(
    results: Results,
    y: str | None = None,
    *,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Optima:
    """Best value of each search axis on average over the others, in cells with a finished search.

    Only configurations that all those cells have tried count, so that cells differ by their
    response alone; if they are fewer than ten, as of independent random searches, each cell's own
    do (`Optima.shared`). Axes of unordered choices are left out, as are those that apply only in
    some configurations of a cell.

    Args:
        results: A study that searches something.
        y: A measured column such as ``val_loss`` or ``val_error``; by default the objective. Search
            trials never read the test set.
        where: Sweep axes and their values: only those cells.
        level: Coverage of the intervals, in (0, 1).
        seed: Seed of the draws.

    Raises:
        SparsetuneError: if ``y`` or a field in ``where`` is unknown.
    """
    return _optima(results, responses.resolve_measure(results, y), where, level, seed)


@cached_per_results
def _optima(
    results: Results, column: str, where: Mapping[str, Any] | None, level: float, seed: int
) -> Optima:
    """The optima for a measured column; other arguments are those of `optima`."""
    table = responses.finished_searches(results, where)
    ranges = responses.searched_ranges(results, table.index)
    tried = responses.search_responses(results, column)
    points, is_shared = _configuration_points(tried, ranges)
    keys_with_points = set(points.groupby(["cell", "axis"]).groups)
    ranges = {key: span for key, span in ranges.items() if key in keys_with_points}
    lower = is_lower_better(results, column)
    parts = [(str(cell), own) for cell, own in points.groupby("cell", sort=False)]
    found = map_on_threads(
        lambda part: _cell_optima(*part, ranges, table, lower, level, seed), parts
    )
    rows = [row for cell_rows, _ in found for row in cell_rows]
    draws = {key: places for _, own in found for key, places in own.items()}
    sweep = [path for path in results.design.points() if path in table]
    cells = table[["arm", *sweep]]
    frame = pd.DataFrame(rows, columns=["cell", "axis", *OPTIMUM_COLUMNS]).join(cells, on="cell")
    frame = frame[["cell", "arm", *sweep, "axis", *OPTIMUM_COLUMNS]]
    measure = results.measure(column)
    is_adaptive = results.design.adaptive
    return Optima(measure, points, frame, cells, draws, ranges, level, is_shared, is_adaptive)


def _cell_optima(
    cell: str,
    points: pd.DataFrame,
    ranges: Mapping[OptimumKey, Range],
    cells: pd.DataFrame,
    lower: bool,
    level: float,
    seed: int,
) -> tuple[list[dict[str, Any]], dict[OptimumKey, Floats]]:
    """Rows of one cell with the columns `OPTIMUM_COLUMNS`, and its draws; see `Optima`.

    Args:
        cell: Its name.
        points: Its configurations, as in `Optima.points`.
        ranges: Searched range, for each cell and axis.
        cells: Rows of the cells, with the values of their winners.
        lower: True if low values are good.
        level: Coverage of the intervals, in (0, 1).
        seed: Seed of the draws.
    """
    configurations, values = _configuration_matrix(points, lower)
    spans = {str(path): ranges[cell, str(path)] for path in configurations}
    draws: dict[OptimumKey, Floats] = {}
    flat = np.full((len(spans), 2), np.nan)
    # Equal values have no best place; such a cell keeps its row, without an estimate.
    if len(configurations) >= MIN_CONFIGURATIONS and values.nunique() > 1:
        columns = [to_unit_range(axis, configurations[path]) for path, axis in spans.items()]
        # Each cell has a seed of its own: its draws do not depend on the other cells.
        cell_seed = [seed, zlib.crc32(cell.encode())]
        effects = sample_effects(np.stack(columns, axis=1), values, seed=cell_seed)
        flat = effects.flat_ranges()
        places = effects.minimum_places()
        draws = {(cell, path): places[:, k] for k, path in enumerate(spans)}
    rows = []
    for (path, axis), flat_ends in zip(spans.items(), flat, strict=True):
        row: dict[str, Any] = {
            "cell": cell,
            "axis": path,
            "n": len(configurations),
            "diverged": int(values.isna().sum()),
            "winner": cells.at[cell, path] if path in cells else np.nan,
        }
        row |= _locate_optimum(axis, draws.get((cell, path)), level)
        row |= _best_quarter_range(configurations[path], values)
        row["flat_low"], row["flat_high"] = value_at_position(axis, flat_ends)
        rows.append(row)
    return rows, draws


def _configuration_matrix(
    points: pd.DataFrame, minimize: bool
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """A cell's configurations, shape [n, n_axes], and their values, lower is better, shape [n]."""
    axes = list(dict.fromkeys(points["axis"]))
    matrix = points.pivot(index="source", columns="axis", values="x")[axes]
    by_source = points.drop_duplicates("source").set_index("source")["value"]
    values = by_source.reindex(matrix.index).astype("float64")
    return matrix.astype("float64"), values if minimize else -values


def _configuration_points(
    tried: pd.DataFrame, ranges: Mapping[OptimumKey, Range]
) -> tuple[pd.DataFrame, bool]:
    """One row per cell, configuration and axis, and True if all cells share the configurations.

    Columns: ``cell source axis x value``, the last NaN if a seed diverged. Axes that some
    configurations of a cell lack are left out.
    """
    cells = list(dict.fromkeys(cell for cell, _ in ranges))
    is_ended = tried["value"].notna() | tried["diverged"]
    tried = tried[tried["cell"].isin(cells) & is_ended]
    parts = []
    for cell, path in ranges:
        own = tried[tried["cell"] == cell]
        x = own[path].to_numpy(dtype=object) if path in own else np.nan
        parts.append(own.assign(axis=path, x=x)[POINT_COLUMNS])
    points = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=POINT_COLUMNS)
    # With the same points in all cells, optima differ by the response and not by the draw.
    shared = _common_points(points, len(cells))
    if len(cells) < 2 or shared["source"].nunique() >= MIN_CONFIGURATIONS:
        return shared, True
    return _drop_incomplete_axes(points), False


def _common_points(points: pd.DataFrame, cells: int) -> pd.DataFrame:
    """Configurations that all ``cells`` have tried, with the same values in each."""
    is_in_all = points.groupby("source")["cell"].transform("nunique") == cells
    points = _drop_incomplete_axes(points[is_in_all])
    # Suggestion k of an adaptive sampler has other values in every cell.
    has_several_values = points.groupby(["source", "axis"])["x"].nunique() > 1
    different = has_several_values.index[has_several_values].get_level_values("source")
    return points[~points["source"].isin(different)].reset_index(drop=True)


def _drop_incomplete_axes(points: pd.DataFrame) -> pd.DataFrame:
    """The points without axes that some configurations of a cell lack."""
    x = points.groupby(["cell", "axis"])["x"]
    is_complete = x.transform(lambda values: values.notna().all()).astype(bool)
    return points[is_complete].reset_index(drop=True)


def _locate_optimum(axis: Range, draws: Floats | None, level: float) -> dict[str, Any]:
    """Columns ``value low high verdict`` of one optimum; NaN without draws."""
    if draws is None:
        return {"value": np.nan, "low": np.nan, "high": np.nan, "verdict": "too few configurations"}
    ends = np.quantile(draws, [0.5, (1 - level) / 2, (1 + level) / 2])
    value, low, high = value_at_position(axis, ends)
    reaches_low, reaches_high = reaches_ends(draws, level)
    is_wide = ends[2] - ends[1] > MAX_LOCATED_WIDTH
    # An interval from end to end says as little as a wide one.
    if (reaches_low and reaches_high) or is_wide:
        verdict = "not located"
    elif reaches_low:
        verdict = "at most"
    else:
        verdict = "at least" if reaches_high else "located"
    return {"value": value, "low": low, "high": high, "verdict": verdict}


def _best_quarter_range(x: pd.Series[Any], values: pd.Series[Any]) -> dict[str, float]:
    """Columns ``quarter_low quarter_high``: quartiles of the best quarter of the configurations."""
    count = max(1, round(len(values) / 4))
    best = x[values.sort_values().index[:count]].astype("float64")
    return {"quarter_low": float(best.quantile(0.25)), "quarter_high": float(best.quantile(0.75))}
