"""How the best hyperparameters move: where the optimum of each search axis lies in each cell, and how cells differ."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.estimates.surface import MAX_POINTS, Floats, sample_effects
from analysis.exhibit import Exhibit
from analysis.recipes import responses
from analysis.recipes.responses import (
    MIN_CONFIGURATIONS,
    Range,
    is_lower_better,
    reaches_ends,
    to_unit_range,
    value_at_position,
)
from analysis.recipes.shifts import optimum_shifts
from analysis.tables.results import Results, cached_per_results
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LOCATED_WIDTH = 0.75
"""An interval over more than this part of the searched range locates nothing."""
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
]
OPTIMUM_COLUMNS += ["winner", "verdict"]


@dataclass(frozen=True)
class Optima:
    """Where the best value of each search axis lies in each cell: numbers (`frame`, `optimum_shifts`), then picture (`plot`).

    Args:
        y: The column that was best.
        points: One row per cell, configuration and axis; see `Optima.response`.
        rows: What `frame` returns.
        cells: Cells whose search has finished, by name: ``arm`` and the sweep axes.
        draws: Where the best value may lie, for each cell and axis, in units of the searched range.
        ranges: What was searched, for each cell and axis.
        level: Coverage of the intervals.
        shared: Whether only configurations that all cells have tried count; otherwise each cell's own do.
    """

    y: str
    points: pd.DataFrame
    rows: pd.DataFrame
    cells: pd.DataFrame
    draws: Mapping[tuple[str, str], Floats]
    ranges: Mapping[tuple[str, str], Range]
    level: float = 0.95
    shared: bool = True

    def frame(self) -> pd.DataFrame:
        """One row per cell and search axis, in the study's order.

        Columns: ``cell arm``, the sweep axes, ``axis``; ``n`` configurations that all cells share, or of each cell's
        own where not `shared`, ``diverged`` of them, which count as the worst; ``value low high`` (median and interval
        of the optimum's place); ``flat_low flat_high``, between which nothing is lost that the spread between runs
        would not hide (`Effects.flat_ranges`); as a check without a model ``quarter_low quarter_high``, quartiles of the best
        quarter of configurations;
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
            raise SparsetuneError(
                f"a cell must be one of {', '.join(map(str, self.cells.index))}, got `{cell}`"
            )
        return self.points[self.points["cell"] == cell].reset_index(drop=True)

    def shifts(self, axis: str | None = None) -> pd.DataFrame:
        """How the optimum moves along sparsity (against the lowest that searches the axis) and length (the shortest).

        All other sweep axes are equal in a pair. ``p`` is twice the smaller share of draws on one side of no shift;
        ``p_holm`` is it after Holm's correction for all rows, so that in a study where nothing shifts, a shift is
        claimed with a probability of at most 1 - level. Where the optimum of one of the two reaches an end of its range
        it may lie beyond, so that side of the shift's interval is open (infinite; 0 for a factor), and ``p`` counts
        only the other; where both sides are, ``shift`` is NaN and nothing is claimed. Where not `shared`, cells may
        also differ by which configurations were tried, as each claim then says.

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
            raise SparsetuneError(
                f"a search axis must be one of {', '.join(searched) or '(none)'}, got `{axis}`"
            )
        frame = optimum_shifts(self)
        return frame if axis is None else frame[frame["axis"] == axis].reset_index(drop=True)

    def plot(self) -> Figure:
        """Draw the optima against sparsity: a panel per axis, a line per training length, a row per arm."""
        from analysis.recipes import optimum_figure

        return optimum_figure.draw_optima(self)

    def note(self) -> str:
        """What the marks and bars mean, for a caption."""
        n = self.rows.loc[self.rows["value"].notna(), "n"]
        if n.empty:
            return f"Too few configurations: an optimum needs {MIN_CONFIGURATIONS} in a cell whose search has finished."
        count = f"{n.min()}" if n.nunique() == 1 else f"{n.min()} to {n.max()}"
        count += f" (at most {MAX_POINTS} of them, drawn at random)" if n.max() > MAX_POINTS else ""
        return (
            f"Median and {100 * self.level:g} % interval of where {self.y} is best on each axis, from n = {count}"
            f" {self._configurations_text()}, one surface per cell (an additive Gaussian process); diverged ones count as the worst."
            " Broad and pale: the flat region, where nothing is lost that the spread between runs would not hide."
            " An abrupt cliff close above an optimum draws its estimate down. Hollow and faint: not located, the"
            " interval covers most of the range. A triangle at the end of a bar: it reaches the end of the searched"
            " range, which the panel shows from edge to edge."
        )

    def _configurations_text(self) -> str:
        if self.shared:
            return "configurations that all cells share"
        few = f"fewer than {MIN_CONFIGURATIONS} are shared, so cells may also differ by which were tried"
        return f"configurations, each cell's own ({few})"


def optima(
    results: Results,
    y: str | None = None,
    *,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Optima:
    """Where the best value of each search axis lies, in every cell whose search has finished.

    Only configurations that all those cells have tried count, so that cells differ by their response alone; where they
    are fewer than ten, as of independent random searches, each cell's own do (`Optima.shared`). Axes of
    unordered choices are left out, as are those that apply only in some configurations of a cell.

    Args:
        results: A study that searches something.
        y: A measured column, ``val_loss`` or ``val_error`` say; by default the objective. Search trials never read the
            test set.
        where: Sweep axes and their values: only those cells.
        level: Coverage of the intervals.
        seed: Of the draws.

    Raises:
        SparsetuneError: if ``y`` or a field in ``where`` is unknown.
    """
    return _optima(results, responses.resolve_measure(results, y), where, level, seed)


@cached_per_results
def _optima(
    results: Results, column: str, where: Mapping[str, Any] | None, level: float, seed: int
) -> Optima:
    table = responses.finished_searches(results, where)
    ranges = responses.searched_ranges(results, table.index)
    points, shared = _configuration_points(responses.search_responses(results, column), ranges)
    given = set(points.groupby(["cell", "axis"]).groups)
    ranges = {key: span for key, span in ranges.items() if key in given}
    draws: dict[tuple[str, str], Floats] = {}
    rows = []
    for cell, own in points.groupby("cell", sort=False):
        wide, values = _configuration_matrix(own, is_lower_better(results, column))
        spans = {str(axis): ranges[str(cell), str(axis)] for axis in wide}
        flat = np.full((len(spans), 2), np.nan)
        if len(wide) >= MIN_CONFIGURATIONS and values.nunique() > 1:
            units = np.stack(
                [to_unit_range(axis, wide[path]) for path, axis in spans.items()], axis=1
            )
            found = sample_effects(units, values, seed=[seed, zlib.crc32(str(cell).encode())])
            places = found.minimum_places()
            flat = found.flat_ranges()
            draws |= {(str(cell), path): places[:, k] for k, path in enumerate(spans)}
        for (path, axis), ends in zip(spans.items(), flat, strict=True):
            row: dict[str, Any] = {
                "cell": cell,
                "axis": path,
                "n": len(wide),
                "diverged": int(values.isna().sum()),
            }
            row |= _locate_optimum(axis, draws.get((str(cell), path)), level) | _best_quarter_range(
                wide[path], values
            )
            row |= dict(zip(("flat_low", "flat_high"), value_at_position(axis, ends), strict=True))
            rows.append(row | {"winner": table.at[cell, path] if path in table else np.nan})
    sweep = [path for path in results.design.points() if path in table]
    cells = table[["arm", *sweep]]
    frame = pd.DataFrame(rows, columns=["cell", "axis", *OPTIMUM_COLUMNS]).join(cells, on="cell")
    return Optima(
        column,
        points,
        frame[["cell", "arm", *sweep, "axis", *OPTIMUM_COLUMNS]],
        cells,
        draws,
        ranges,
        level,
        shared,
    )


def _configuration_matrix(
    points: pd.DataFrame, minimize: bool
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    """A cell's configurations, a row each and a column per axis, and what is to be minimised of them."""
    wide = points.pivot(index="source", columns="axis", values="x")[
        list(dict.fromkeys(points["axis"]))
    ]
    values = (
        points.drop_duplicates("source")
        .set_index("source")["value"]
        .reindex(wide.index)
        .astype("float64")
    )
    return wide.astype("float64"), values if minimize else -values


def _configuration_points(
    tried: pd.DataFrame, ranges: Mapping[tuple[str, str], Range]
) -> tuple[pd.DataFrame, bool]:
    """One row per cell, configuration and axis, ``cell source axis x value``, and whether all cells share them.

    ``value`` is NaN where a seed diverged; axes that some configurations of a cell lack are left out.
    """
    cells = list(dict.fromkeys(cell for cell, _ in ranges))
    tried = tried[tried["cell"].isin(cells) & (tried["value"].notna() | tried["diverged"])]
    columns = ["cell", "source", "axis", "x", "value"]
    parts = []
    for cell, path in ranges:
        own = tried[tried["cell"] == cell]
        x = own[path].to_numpy(dtype=object) if path in own else np.nan
        parts.append(own.assign(axis=path, x=x)[columns])
    points = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    shared = _common_points(points, len(cells))
    if len(cells) < 2 or shared["source"].nunique() >= MIN_CONFIGURATIONS:
        return shared, True
    return _drop_incomplete_axes(points), False


def _common_points(points: pd.DataFrame, cells: int) -> pd.DataFrame:
    """Configurations that all cells have tried, with the same values in each."""
    points = _drop_incomplete_axes(
        points[points.groupby("source")["cell"].transform("nunique") == cells]
    )
    differ = points.groupby(["source", "axis"])["x"].nunique() > 1
    return points[
        ~points["source"].isin(differ.index[differ].get_level_values("source"))
    ].reset_index(drop=True)


def _drop_incomplete_axes(points: pd.DataFrame) -> pd.DataFrame:
    """Without axes that some configurations of a cell lack."""
    whole = points.groupby(["cell", "axis"])["x"].transform(lambda x: x.notna().all()).astype(bool)
    return points[whole].reset_index(drop=True)


def _locate_optimum(axis: Range, draws: Floats | None, level: float) -> dict[str, Any]:
    """Median, interval and verdict of the optimum's place."""
    if draws is None:
        return {"value": np.nan, "low": np.nan, "high": np.nan, "verdict": "too few configurations"}
    ends = np.quantile(draws, [0.5, (1 - level) / 2, (1 + level) / 2])
    value, low, high = value_at_position(axis, ends)
    at_low, at_high = reaches_ends(draws, level)
    verdict = "at most" if at_low else "at least" if at_high else "located"
    if (at_low and at_high) or ends[2] - ends[1] > MAX_LOCATED_WIDTH:
        verdict = "not located"
    return {"value": value, "low": low, "high": high, "verdict": verdict}


def _best_quarter_range(x: pd.Series[Any], values: pd.Series[Any]) -> dict[str, float]:
    """Quartiles of the values of the best quarter of the configurations."""
    best = x[values.sort_values().index[: max(1, round(len(values) / 4))]].astype("float64")
    return {"quarter_low": float(best.quantile(0.25)), "quarter_high": float(best.quantile(0.75))}


def exhibits(results: Results, y: str, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """Maps of the optimum for the objective and for the validation loss, what they were read from, and how they move.

    Args:
        results: The study.
        y: The headline measure; not used, since search trials never read the test set.
        where: Sweep axes and their values, as in `optima`.
    """
    from analysis.recipes import optimum_exhibits

    if results.design.objective is None or not results.design.search:
        return
    for column in dict.fromkeys([results.design.objective, "val_loss"]):
        yield from optimum_exhibits.exhibits(
            optima(results, column, where=where), column == results.design.objective
        )
