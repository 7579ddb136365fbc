"""Responses: where each searched configuration lies in its cell's ranges, and what it reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.estimates.means import MEASURE_COLUMNS, direction_of
from analysis.estimates.surface import Floats
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError
from sparsetune.study.space import Choice, IntRange, LogUniform, Uniform

Range = Uniform | LogUniform | IntRange
"""Search axes whose values have an order."""
MIN_CONFIGURATIONS = 10
"""Configurations from which on anything is said of a response."""
FRACTION_AXES = (
    "sparsity.ramp.start",
    "sparsity.ramp.length",
    "sparsity.ramp.first",
    "schedule.warmup",
)
"""Axes that end at 1 by nature; all that are not logarithmic end at 0."""
REACHED_MARGIN = 0.005
"""An interval that ends within this part of the range of its end reaches it."""
RESPONSE_COLUMNS = ["cell", "arm", "source", "config_id", "trial_id", "n", "value", "diverged"]


def resolve_measure(results: Results, y: str | None) -> str:
    """The column ``y``, by default the objective.

    Raises:
        SparsetuneError: if it is unknown, or not given where nothing was selected.
    """
    column = y or results.design.objective
    if column is None:
        raise SparsetuneError(
            "nothing was selected in these runs, so there is no objective: give `y`, `val_loss` say"
        )
    if column not in MEASURE_COLUMNS:
        raise SparsetuneError(f"`y` must be one of {', '.join(MEASURE_COLUMNS)}, got `{column}`")
    return column


def search_responses(results: Results, y: str) -> pd.DataFrame:
    """What every configuration of every cell's search reached at the end of its training.

    Those that a rung stopped or that have not finished are left out: they have no final value.

    Args:
        results: The study.
        y: A measured column.

    Returns:
        One row per cell and configuration: ``cell arm source config_id trial_id``; ``n`` runs (seeds); ``value``, the
        mean of ``y`` over them, NaN where one ``diverged`` or lacks the column; then the searched fields.

    Raises:
        SparsetuneError: if ``y`` is unknown.
    """
    resolve_measure(results, y)
    trials = results.trials().set_index("trial_id")
    uses = results.uses()
    trials = trials if y in trials else trials.assign(**{y: np.nan})
    fields = [path for path in results.design.search if path in trials]
    rows = uses[uses["role"] == "search"]
    rows = rows.assign(source=rows["source"].fillna(rows["config_id"]))
    rows = rows.drop_duplicates(["cell", "source", "seed", "config_id"]).join(
        trials[["status", y]], on="trial_id"
    )
    complete = rows["status"] == "COMPLETE"
    diverged = rows["status"] == "DIVERGED"
    rows = rows.assign(
        ended=complete | diverged, diverged=diverged, y=rows[y].astype("float64").where(complete)
    )
    groups = rows.groupby(["cell", "source"], sort=False)
    frame = (
        groups[["arm", "config_id", "trial_id"]]
        .first()
        .assign(n=groups.size(), diverged=groups["diverged"].any())
    )
    frame = frame.assign(value=groups["y"].mean().where(groups["y"].count() == frame["n"]))
    return (
        frame[groups["ended"].all()]
        .reset_index()[RESPONSE_COLUMNS]
        .join(trials[fields], on="trial_id")
    )


def searched_ranges(results: Results, cells: pd.Index[Any]) -> dict[tuple[str, str], Range]:
    """What was searched, for each of the cells and each axis with an order."""
    declared = results.design.ranges.items()
    return {key: axis for key, axis in declared if key[0] in cells and not isinstance(axis, Choice)}


def finished_searches(results: Results, where: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """The rows of `Results.cells` whose search has finished, by the cell's name.

    Args:
        results: The study.
        where: Sweep axes and their values; cells where an axis does not apply stay.

    Raises:
        SparsetuneError: if a field in ``where`` is no sweep axis.
    """
    cells = results.cells()
    points = results.design.points()
    for path, value in (where or {}).items():
        if path not in points:
            raise SparsetuneError(
                f"a field in `where` must be one of {', '.join(points)}, got `{path}`"
            )
        cells = (
            cells[(cells[path].eq(value) | cells[path].isna()).fillna(True)]
            if path in cells
            else cells
        )
    enough = (cells["configurations"] >= cells["configurations_asked"]).fillna(False)
    return cells[enough | cells["finished"].fillna(False)].set_index("cell")


def is_lower_better(results: Results, y: str) -> bool:
    """Whether less of a column is better: as the study says of its objective; of others, all but accuracy and score."""
    return results.design.minimize if y == results.design.objective else direction_of(y) < 0


def scale_position(axis: Range, unit: Any) -> Floats:
    """Where on the axis's own scale, logarithmic or not, a part of its range lies."""
    low, high = (
        (np.log(axis.low), np.log(axis.high))
        if isinstance(axis, LogUniform)
        else (axis.low, axis.high)
    )
    return np.asarray(low + np.asarray(unit, dtype=np.float64) * (high - low))


def value_at_position(axis: Range, unit: Any) -> Floats:
    """The value at a part of the range, not rounded."""
    places = scale_position(axis, unit)
    return np.asarray(np.exp(places) if isinstance(axis, LogUniform) else places)


def to_unit_range(axis: Range, values: Any) -> Floats:
    """Values in units of the searched range, on the axis's own scale."""
    low, high = scale_position(axis, [0.0, 1.0])
    x = np.asarray(values, dtype=np.float64)
    return np.asarray(((np.log(x) if isinstance(axis, LogUniform) else x) - low) / (high - low))


def reaches_ends(draws: Floats, level: float) -> tuple[bool, bool]:
    """Whether the interval of an optimum's place, in units of the searched range, reaches its low and its high end."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return bool(low <= REACHED_MARGIN), bool(high >= 1 - REACHED_MARGIN)


def is_natural_end(path: str, axis: Range, end: str) -> bool:
    """Whether there is nothing beyond the ``low`` or ``high`` end of an axis: a ramp starts at 0 and not before."""
    return bool(
        (axis.low <= 0 and not isinstance(axis, LogUniform))
        if end == "low"
        else largest_value(path) <= axis.high
    )


def largest_value(path: str) -> float:
    """The largest value that a search axis can have."""
    return 1.0 if path in FRACTION_AXES else np.inf
