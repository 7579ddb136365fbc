"""The ramp atlas: what each ramp reached, in the plane of where it starts and where it ends."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.estimates.surface import sample_effects
from analysis.exhibit import Exhibit
from analysis.quantities import difference_unit, measure_name
from analysis.ramps.plane import RAMP_LENGTH_FIELD, RAMP_START_FIELD, RampSurface, ramp_surface
from analysis.recipes import responses
from analysis.recipes.responses import MIN_CONFIGURATIONS, Range, to_unit_range
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SURFACE_DRAWS = 4000
REGION_COLUMNS = [
    "n",
    "diverged",
    "best_start",
    "best_end",
    "best_value",
    "start",
    "start_low",
    "start_high",
]
REGION_COLUMNS += ["end", "end_low", "end_high", "contrast", "p", "supported", "verdict"]


@dataclass(frozen=True)
class Atlas:
    """What each ramp reached.

    Args:
        y: The measured column.
        points: What `frame` returns.
        rows: What `regions` returns.
        planes: The surface of each cell that searched both axes and has enough configurations.
        sweep: The sweep axes.
        lower_is_better: Whether low values are good.
        level: Coverage of the intervals, and of the support of a surface.
    """

    y: str
    points: pd.DataFrame
    rows: pd.DataFrame
    planes: Mapping[str, RampSurface]
    sweep: tuple[str, ...]
    lower_is_better: bool
    level: float = 0.95

    def frame(self) -> pd.DataFrame:
        """One row per cell and configuration.

        Columns: ``cell arm``, the sweep axes; ``ramp_start ramp_length ramp_end``, fractions of training; ``value``,
        the measure over ``n`` search seeds, NaN where one ``diverged``; ``best``, whether it is the best of its cell.
        """
        return self.points.copy()

    def regions(self) -> pd.DataFrame:
        """One row per cell: where its ramps are best, and whether that can be told.

        Columns: ``cell arm``, the sweep axes; ``n`` configurations, ``diverged`` of them; ``best_start best_end
        best_value`` of the best one, which is lucky too; ``start start_low start_high end end_low end_high``: median
        and interval of where the surface is best; ``contrast``, the modelled worst minus best place, in units of the
        measure; ``p``, the share of draws that do not agree; ``supported``; ``verdict`` in words.
        """
        return self.rows.copy()

    def plot(self) -> Figure:
        """Draw a panel per cell: its configurations by value, the best, contours where they are supported."""
        from analysis.ramps import figures

        return figures.draw_atlas(self)

    def note(self) -> str:
        """What the marks and lines mean, for a caption."""
        n = (
            f"{self.rows['n'].min()}"
            if self.rows["n"].nunique() == 1
            else f"{self.rows['n'].min()} to {self.rows['n'].max()}"
        )
        on = int(self.rows["supported"].sum())
        drawn = (
            f"Contours: the typical {self.y} of a surface (an additive Gaussian process), in {on} of {len(self.rows)}"
            f" cells, where {100 - 25 * (1 - self.level):.4g} % of its draws agree that the best place beats the worst"
            if on
            else "No contours: in no cell can it be told that one place beats another"
        )
        return (
            f"Every configuration of a cell's search, n = {n}, one mark each, coloured by its {self.y}; other axes were"
            f" searched at the same time, so neighbours may differ. The star is the best one measured, which is lucky"
            f" too. {drawn}. Grey outline: what was searched. The worst tenth has one colour."
        )


def ramp_atlas(
    results: Results,
    y: str | None = None,
    *,
    where: Mapping[str, Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Atlas:
    """What each ramp reached in the cells that search its start or its length, or both.

    Args:
        results: The study.
        y: A measured column; by default the objective.
        where: Sweep axes and their values: only those cells.
        level: Coverage of the intervals, and of the support of a surface.
        seed: Of the draws.

    Raises:
        SparsetuneError: if ``y`` or a field in ``where`` is unknown, or no cell searches its ramp.
    """
    column = responses.resolve_measure(results, y)
    cells = responses.finished_searches(results, where)
    tried = responses.search_responses(results, column)
    ranges = responses.searched_ranges(results, cells.index)
    ramped = list(
        dict.fromkeys(
            cell for cell, path in ranges if path in (RAMP_START_FIELD, RAMP_LENGTH_FIELD)
        )
    )
    if not ramped:
        raise SparsetuneError(
            f"a ramp atlas needs a finished search of {RAMP_START_FIELD} or {RAMP_LENGTH_FIELD}: no cell has one"
        )
    fixed = (
        results.trials()
        .set_index("trial_id")
        .reindex(columns=[RAMP_START_FIELD, RAMP_LENGTH_FIELD])
    )
    tried = tried.drop(columns=[RAMP_START_FIELD, RAMP_LENGTH_FIELD], errors="ignore").join(
        fixed, on="trial_id"
    )
    tried = (
        tried[tried["cell"].isin(ramped)]
        .dropna(subset=[RAMP_START_FIELD, RAMP_LENGTH_FIELD])
        .drop_duplicates(["cell", "config_id"])
    )
    tried = tried[tried["value"].notna() | tried["diverged"]].astype(
        {RAMP_START_FIELD: "float64", RAMP_LENGTH_FIELD: "float64"}
    )
    lower = responses.is_lower_better(results, column)
    signed = tried["value"] * (1.0 if lower else -1.0)
    best = signed == signed.groupby(tried["cell"]).transform("min")
    tried = tried.assign(
        ramp_start=tried[RAMP_START_FIELD],
        ramp_length=tried[RAMP_LENGTH_FIELD],
        ramp_end=tried[RAMP_START_FIELD] + tried[RAMP_LENGTH_FIELD],
    )
    tried = tried.assign(
        best=best & ~(best & best.groupby(tried["cell"]).cumsum().gt(1)), signed=signed
    )
    planes: dict[str, RampSurface] = {}
    rows = []
    for cell, part in tried.groupby("cell", sort=False):
        spans = {
            path: axis
            for (name, path), axis in ranges.items()
            if name == cell and _is_complete(part, path)
        }
        rows.append(
            {"cell": cell}
            | _region(part, spans, lower, level, [seed, zlib.crc32(str(cell).encode())], planes)
        )
    sweep = [path for path in results.design.points() if path in cells]
    about = cells[["arm", *sweep]]
    points = tried.drop(columns="arm").join(about, on="cell")
    kept = [
        "cell",
        "arm",
        *sweep,
        "config_id",
        "ramp_start",
        "ramp_length",
        "ramp_end",
        "n",
        "value",
        "diverged",
        "best",
    ]
    regions = pd.DataFrame(rows, columns=["cell", *REGION_COLUMNS]).join(about, on="cell")[
        ["cell", "arm", *sweep, *REGION_COLUMNS]
    ]
    return Atlas(
        column, points[kept].reset_index(drop=True), regions, planes, tuple(sweep), lower, level
    )


def _is_complete(part: pd.DataFrame, path: str) -> bool:
    return path in part and bool(part[path].notna().all())


def _region(
    part: pd.DataFrame,
    spans: Mapping[str, Range],
    lower: bool,
    level: float,
    seed: list[int],
    planes: dict[str, RampSurface],
) -> dict[str, Any]:
    """A row of `Atlas.regions`; its plane is added to ``planes``."""
    row: dict[str, Any] = {
        "n": len(part),
        "diverged": int(part["diverged"].sum()),
        "supported": False,
    }
    best = part[part["best"]]
    if len(best):
        row |= {f"best_{name}": float(best[f"ramp_{name}"].iloc[0]) for name in ("start", "end")}
        row |= {"best_value": float(best["value"].iloc[0])}
    if not {RAMP_START_FIELD, RAMP_LENGTH_FIELD} <= set(spans):
        return row | {"verdict": "only one end of the ramp was searched"}
    if len(part) < MIN_CONFIGURATIONS or part["value"].nunique() < 2:
        return row | {"verdict": "too few configurations"}
    units = np.stack([to_unit_range(axis, part[path]) for path, axis in spans.items()], axis=1)
    found = sample_effects(units, part["signed"], draws=SURFACE_DRAWS, seed=seed)
    plane, surface = ramp_surface(found, part, spans, lower, level)
    planes[str(part["cell"].iloc[0])] = plane
    return row | surface


def exhibits(results: Results, y: str, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """The atlas of the validation loss, or of the objective without one; nothing where no cell searches its ramp.

    Args:
        results: The study.
        y: The headline measure; not used, since search trials never read the test set.
        where: Sweep axes and their values.
    """
    cells = responses.finished_searches(results, where)
    if not any(
        path in (RAMP_START_FIELD, RAMP_LENGTH_FIELD)
        for _, path in responses.searched_ranges(results, cells.index)
    ):
        return
    columns = [name for name in ("val_loss", results.design.objective) if name]
    atlases = (ramp_atlas(results, column, where=where) for column in columns)
    found = next((atlas for atlas in atlases if atlas.points["value"].notna().any()), None)
    if found is None:
        return
    named = measure_name(found.y).lower()
    most = int(found.rows["n"].max())
    if most < MIN_CONFIGURATIONS:
        raise SparsetuneError(
            f"the ramp atlas needs {MIN_CONFIGURATIONS} configurations in a cell, got at most {most}"
        )
    title = f"Ramp atlas: final {named} by start and end of the ramp"
    yield Exhibit(f"ramp-atlas-{found.y}", title, found.frame(), found.note(), found.plot)
    shown = {"cell": "Cell", "n": "n", "best_start": "Best start (%)", "best_end": "Best end (%)"}
    shown |= {"start start_low start_high": "Start by the\nsurface (%)"}
    shown |= {"end end_low end_high": "End by the\nsurface (%)"}
    shown |= {"contrast": f"Worst - best\n({difference_unit(found.y)})", "verdict": "Verdict"}
    caption = (
        "The best ramp measured, and where the surface of the atlas above is best, in percent of training, with"
        " 95 % intervals."
    )
    yield Exhibit(
        f"ramp-regions-{found.y}",
        f"Where ramps are best for {named}",
        found.regions(),
        caption,
        None,
        shown,
    )
