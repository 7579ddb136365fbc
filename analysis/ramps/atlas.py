"""Ramp atlas: the value that each ramp reached, in the plane of its start and end."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sparsetune.errors import SparsetuneError

from ..catalogue import paragraph, write
from ..catalogue.template import Sentence
from ..drawers import draw
from ..estimates.captions import count_words
from ..estimates.surface import sample_effects
from ..estimates.threads import map_on_threads
from ..measure import Measure
from ..notebook import Shown
from ..recipes import responses
from ..recipes.responses import MIN_CONFIGURATIONS, Range, to_unit_range
from ..tables.results import Results
from .plane import RAMP_LENGTH_FIELD, RAMP_START_FIELD, RampSurface, ramp_surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RAMP_FIELDS = [RAMP_START_FIELD, RAMP_LENGTH_FIELD]
SURFACE_DRAWS = 4000
ATLAS_COLUMNS = [
    "config_id",
    "ramp_start",
    "ramp_length",
    "ramp_end",
    "n",
    "value",
    "diverged",
    "best",
]
REGION_COLUMNS = [
    "n",
    "diverged",
    "best_start",
    "best_end",
    "best_value",
    "start",
    "start_low",
    "start_high",
    "end",
    "end_low",
    "end_high",
    "contrast",
    "p",
    "supported",
    "verdict",
]


@dataclass(frozen=True)
class Atlas(Shown):
    """Value that each ramp reached.

    Args:
        y: The measure.
        points: Rows that `frame` returns.
        rows: Rows that `regions` returns.
        planes: Surface of each cell that searched both axes and has enough configurations.
        sweep: Names of the sweep axes.
        lower_is_better: True if low values are good.
        level: Coverage of the intervals, and of the support of a surface, in (0, 1).
    """

    y: Measure
    points: pd.DataFrame
    rows: pd.DataFrame
    planes: Mapping[str, RampSurface]
    sweep: tuple[str, ...]
    lower_is_better: bool
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per cell and configuration.

        Columns: ``cell arm``, the sweep axes; ``config_id``; ``ramp_start ramp_length ramp_end``,
        fractions of training; ``value``, the measure over ``n`` search seeds, NaN if one
        ``diverged``; ``best``, True for the best of its cell.
        """
        return self.points.copy()

    def regions(self) -> pd.DataFrame:
        """One row per cell: the region of its best ramps, and whether it can be told.

        Columns: ``cell arm``, the sweep axes; ``n`` configurations, ``diverged`` of them;
        ``best_start best_end best_value`` of the best one, which is lucky too; ``start start_low
        start_high end end_low end_high``: median and interval of the best place of the surface;
        ``contrast``, the modelled worst minus best place, in units of the measure; ``p``, the share
        of draws that do not agree; ``supported``; ``verdict`` in words. Columns of the surface are
        NaN if there is none.
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw a panel per cell: its configurations by value, the best, supported contours."""
        return draw(self)

    def note(self) -> str:
        """Meaning of the marks and lines, for a caption."""
        return paragraph(self._sentences())

    def _sentences(self) -> Iterator[Sentence]:
        measure = self.y.phrase
        n = count_words(self.rows["n"], "configurations")
        yield write("atlas_marks", n=n, measure=measure)
        yield write("atlas_others")
        yield write("atlas_star")
        supported = int(self.rows["supported"].sum())
        if supported:
            share = f"{100 - 25 * (1 - self.level):.4g} %"
            yield write("atlas_contours", measure=measure)
            networks = len(self.rows)
            yield write("atlas_supported", count=supported, networks=networks, share=share)
        else:
            yield write("atlas_unsupported")
        yield write("atlas_outline")
        yield write("atlas_worst")


def ramp_atlas(
    results: Results,
    y: str | None = None,
    *,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Atlas:
    """Value that each ramp reached in the cells that search its start or its length, or both.

    Args:
        results: The study.
        y: A measured column; by default the objective.
        where: Sweep axes and their values: only those cells.
        level: Coverage of the intervals, and of the support of a surface, in (0, 1).
        seed: Seed of the draws.

    Raises:
        SparsetuneError: if ``y`` or a field in ``where`` is unknown, or no cell searches its ramp.
    """
    column = responses.resolve_measure(results, y)
    cells = responses.finished_searches(results, where)
    ranges = responses.searched_ranges(results, cells.index)
    ramped = [cell for cell, path in ranges if path in RAMP_FIELDS]
    if not ramped:
        raise SparsetuneError(
            f"a ramp atlas needs a finished search of {RAMP_START_FIELD} or {RAMP_LENGTH_FIELD}:"
            " no cell has one"
        )
    lower = responses.is_lower_better(results, column)
    tried = _ramp_configurations(results, column, ramped, lower)
    parts = [(str(cell), part) for cell, part in tried.groupby("cell", sort=False)]

    def region(named: tuple[str, pd.DataFrame]) -> tuple[dict[str, Any], RampSurface | None]:
        cell, part = named
        spans = _complete_spans(part, cell, ranges)
        return _region(part, spans, lower, level, [seed, zlib.crc32(cell.encode())])

    planes: dict[str, RampSurface] = {}
    rows = []
    for (cell, _), (row, surface) in zip(parts, map_on_threads(region, parts), strict=True):
        rows.append({"cell": cell} | row)
        if surface is not None:
            planes[cell] = surface
    sweep = [path for path in results.design.points() if path in cells]
    keys = cells[["arm", *sweep]]
    points = tried.drop(columns="arm").join(keys, on="cell")
    points = points[["cell", "arm", *sweep, *ATLAS_COLUMNS]].reset_index(drop=True)
    regions = pd.DataFrame(rows, columns=["cell", *REGION_COLUMNS]).join(keys, on="cell")
    regions = regions[["cell", "arm", *sweep, *REGION_COLUMNS]]
    measure = results.measure(column)
    return Atlas(measure, points, regions, planes, tuple(sweep), lower, level)


def _ramp_configurations(
    results: Results, y: str, cells: Sequence[str], lower: bool
) -> pd.DataFrame:
    """Configurations of some cells that have a ramp, with its start, length and end.

    Args:
        results: The study.
        y: The measured column.
        cells: Names of the cells.
        lower: True if low values are good.

    Returns:
        The rows of `search_responses`, with ``ramp_start ramp_length ramp_end``; ``signed``, the
        value where lower is better; ``best``, True for the first best of its cell.
    """
    tried = responses.search_responses(results, y)
    # A ramp field that a cell does not search has its declared value.
    declared = results.trials().set_index("trial_id").reindex(columns=RAMP_FIELDS)
    tried = tried.drop(columns=RAMP_FIELDS, errors="ignore").join(declared, on="trial_id")
    tried = tried[tried["cell"].isin(cells)].dropna(subset=RAMP_FIELDS)
    tried = tried.drop_duplicates(["cell", "config_id"])
    is_ended = tried["value"].notna() | tried["diverged"]
    tried = tried[is_ended].astype(dict.fromkeys(RAMP_FIELDS, "float64"))
    signed = tried["value"] * (1.0 if lower else -1.0)
    is_minimum = signed == signed.groupby(tried["cell"]).transform("min")
    # Of equally good configurations only the first has a star.
    is_later_minimum = is_minimum & is_minimum.groupby(tried["cell"]).cumsum().gt(1)
    return tried.assign(
        ramp_start=tried[RAMP_START_FIELD],
        ramp_length=tried[RAMP_LENGTH_FIELD],
        ramp_end=tried[RAMP_START_FIELD] + tried[RAMP_LENGTH_FIELD],
        best=is_minimum & ~is_later_minimum,
        signed=signed,
    )


def _complete_spans(
    part: pd.DataFrame, cell: str, ranges: Mapping[tuple[str, str], Range]
) -> dict[str, Range]:
    """Searched ranges of a cell's axes that all of its configurations ``part`` have."""
    spans = {}
    for (name, path), axis in ranges.items():
        # A configuration without the axis has no place on the surface.
        if name == cell and path in part and part[path].notna().all():
            spans[path] = axis
    return spans


def _region(
    part: pd.DataFrame, spans: Mapping[str, Range], lower: bool, level: float, seed: list[int]
) -> tuple[dict[str, Any], RampSurface | None]:
    """Columns `REGION_COLUMNS` of one cell, and its surface if it has one.

    Args:
        part: The cell's configurations, see `_ramp_configurations`.
        spans: Searched range of each axis.
        lower: True if low values are good.
        level: Coverage of the intervals, in (0, 1).
        seed: Seed of the draws.
    """
    row: dict[str, Any] = {
        "n": len(part),
        "diverged": int(part["diverged"].sum()),
        "supported": False,
    }
    best = part[part["best"]]
    if len(best):
        row["best_start"] = float(best["ramp_start"].iloc[0])
        row["best_end"] = float(best["ramp_end"].iloc[0])
        row["best_value"] = float(best["value"].iloc[0])
    if RAMP_START_FIELD not in spans or RAMP_LENGTH_FIELD not in spans:
        return row | {"verdict": "only one end of the ramp was searched"}, None
    # Equal values have no best place.
    if len(part) < MIN_CONFIGURATIONS or part["value"].nunique() < 2:
        return row | {"verdict": "too few configurations"}, None
    columns = [to_unit_range(axis, part[path]) for path, axis in spans.items()]
    units = np.stack(columns, axis=1)
    effects = sample_effects(units, part["signed"], draws=SURFACE_DRAWS, seed=seed)
    surface, conclusions = ramp_surface(effects, part, spans, lower, level)
    return row | conclusions, surface
