"""Responses of a search: the position of each configuration in its ranges, and its final value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sparsetune.errors import SparsetuneError
from sparsetune.study.space import Choice, IntRange, LogUniform, Uniform

from ..estimates.means import require_measure
from ..estimates.surface import Floats
from ..tables.results import Results

Range = Uniform | LogUniform | IntRange
"""Search axes whose values have an order."""
RANKING_MEASURES = (
    "val_error",
    "val_score",
    "val_accuracy",
    "val_loss",
    "test_score",
    "test_accuracy",
    "test_loss",
)
"""Columns that compare configurations of which none was chosen; the first that was measured."""
MIN_CONFIGURATIONS = 10
"""Configurations of a cell, or of a band of sparsity, that any conclusion about them needs."""
FRACTION_AXES = (
    "sparsity.ramp.start",
    "sparsity.ramp.length",
    "sparsity.ramp.first",
    "schedule.warmup",
)
"""Axes that end at 1 by nature. All that are not logarithmic end at 0."""
REACHED_MARGIN = 0.005
"""An interval reaches an end of the range if it comes within this part of the range of it."""
RESPONSE_COLUMNS = ["cell", "arm", "source", "config_id", "trial_id", "n", "value", "diverged"]


def ranking_measure(results: Results) -> str | None:
    """Column by which configurations are compared: the objective, which a study always has.

    Of a table in which nothing was chosen it is the first measured of `RANKING_MEASURES`, which is
    one of the test set only where no validation was measured; None where none was.
    """
    if results.design.objective is not None:
        return results.design.objective
    trials = results.trials()
    measured = [name for name in RANKING_MEASURES if name in trials and trials[name].notna().any()]
    return measured[0] if measured else None


def resolve_measure(results: Results, y: str | None) -> str:
    """The column ``y``, by default that of `ranking_measure`.

    Raises:
        SparsetuneError: if it is unknown, or not given and there is none.
    """
    column = y or ranking_measure(results)
    if column is None:
        raise SparsetuneError(
            "nothing was selected in these runs, so there is no objective: give `y`, `val_loss` say"
        )
    require_measure(results, column)
    return column


def search_responses(results: Results, y: str) -> pd.DataFrame:
    """Value of every configuration of every cell's search at the end of its training.

    Configurations that a rung stopped or that have not finished are left out: they have no final
    value.

    Args:
        results: The study.
        y: A measured column.

    Returns:
        One row per cell and configuration: ``cell arm source config_id trial_id``; ``n`` runs
        (seeds); ``value``, the mean of ``y`` over them, NaN if one ``diverged`` or lacks the
        column; then the searched fields.

    Raises:
        SparsetuneError: if ``y`` is unknown.
    """
    resolve_measure(results, y)
    trials = results.trials().set_index("trial_id")
    if y not in trials:
        trials = trials.assign(**{y: np.nan})
    fields = [path for path in results.design.search if path in trials]
    rows = _search_rows(results, trials[["status", y]], y)
    groups = rows.groupby(["cell", "source"], sort=False)
    frame = groups[["arm", "config_id", "trial_id"]].first()
    frame = frame.assign(n=groups.size(), diverged=groups["diverged"].any())
    # A mean over surviving seeds would flatter a configuration that diverged on others.
    is_measured_on_all_seeds = groups["y"].count() == frame["n"]
    frame = frame.assign(value=groups["y"].mean().where(is_measured_on_all_seeds))
    # All seeds of a configuration have its searched values: one trial gives them.
    ended = frame[groups["ended"].all()].reset_index()[RESPONSE_COLUMNS]
    return ended.join(trials[fields], on="trial_id")


def _search_rows(results: Results, trials: pd.DataFrame, y: str) -> pd.DataFrame:
    """One row per search trial of each cell: its use, ``ended``, ``diverged`` and its value ``y``.

    Args:
        results: The study.
        trials: ``status`` and the measured column, by trial.
        y: The measured column; NaN unless the trial is COMPLETE.
    """
    uses = results.uses()
    rows = uses[uses["role"] == "search"]
    # Without a source, as in a table of runs, a configuration stands for itself.
    rows = rows.assign(source=rows["source"].fillna(rows["config_id"]))
    rows = rows.drop_duplicates(["cell", "source", "seed", "config_id"])
    rows = rows.join(trials, on="trial_id")
    is_complete = rows["status"] == "COMPLETE"
    is_diverged = rows["status"] == "DIVERGED"
    return rows.assign(
        ended=is_complete | is_diverged,
        diverged=is_diverged,
        y=rows[y].astype("float64").where(is_complete),
    )


def searched_ranges(results: Results, cells: pd.Index[Any]) -> dict[tuple[str, str], Range]:
    """Searched range of each of the cells and each axis with an order."""
    declared = results.design.ranges.items()
    return {key: axis for key, axis in declared if key[0] in cells and not isinstance(axis, Choice)}


def finished_searches(results: Results, where: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Rows of `Results.cells` whose search has finished, indexed by the cell's name.

    Args:
        results: The study.
        where: Sweep axes and their values; cells to which an axis does not apply stay.

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
        if path in cells:
            is_kept = cells[path].eq(value) | cells[path].isna()
            cells = cells[is_kept.fillna(True)]
    is_tried = (cells["configurations"] >= cells["configurations_asked"]).fillna(False)
    is_finished = cells["finished"].fillna(False)
    return cells[is_tried | is_finished].set_index("cell")


def is_lower_better(results: Results, y: str) -> bool:
    """True if less of a column is better.

    The study decides for its objective; of others, the measure itself.
    """
    if y == results.design.objective:
        return results.design.minimize
    return results.measure(y).direction < 0


def scale_position(axis: Range, unit: Any) -> Floats:
    """Position on the axis's own scale, logarithmic or not, of a part of its range in [0, 1]."""
    is_log = isinstance(axis, LogUniform)
    low = np.log(axis.low) if is_log else axis.low
    high = np.log(axis.high) if is_log else axis.high
    return np.asarray(low + np.asarray(unit, dtype=np.float64) * (high - low))


def value_at_position(axis: Range, unit: Any) -> Floats:
    """Value at a part of the range in [0, 1], not rounded."""
    positions = scale_position(axis, unit)
    return np.asarray(np.exp(positions) if isinstance(axis, LogUniform) else positions)


def to_unit_range(axis: Range, values: Any) -> Floats:
    """Values as parts of the searched range on the axis's own scale, in [0, 1] inside it."""
    low, high = scale_position(axis, [0.0, 1.0])
    x = np.asarray(values, dtype=np.float64)
    scaled = np.log(x) if isinstance(axis, LogUniform) else x
    return np.asarray((scaled - low) / (high - low))


def reaches_ends(draws: Floats, level: float) -> tuple[bool, bool]:
    """True for the low and for the high end of the range if an optimum's interval reaches it.

    Args:
        draws: Positions of the optimum, as parts of the searched range, shape [n_draws].
        level: Coverage of the interval, in (0, 1).
    """
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return bool(low <= REACHED_MARGIN), bool(high >= 1 - REACHED_MARGIN)


def is_natural_end(path: str, axis: Range, end: str) -> bool:
    """True if nothing lies beyond the ``low`` or ``high`` end: a ramp cannot start before 0."""
    if end == "low":
        return bool(axis.low <= 0 and not isinstance(axis, LogUniform))
    return bool(largest_value(path) <= axis.high)


def largest_value(path: str) -> float:
    """The largest value that a search axis can have; infinite if there is none."""
    return 1.0 if path in FRACTION_AXES else np.inf
