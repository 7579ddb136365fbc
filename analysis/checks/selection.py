"""Checks of how winners were chosen: on which data, in which ranges, and by what is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from sparsetune.study.space import Axis, Choice, IntRange, LogUniform, Uniform

from ..measure import Measure
from .evidence import Evidence, has_value, require_columns
from .finding import (
    Finding,
    MissingEvidenceError,
    Severity,
    format_count,
    list_names,
)

TREND_EDGE_MARGIN = 0.1
"""Part of a range, at either end, in which a winner is at the edge."""
STRICT_EDGE_MARGIN = 0.01
"""Part of a range that is its edge, with too few configurations to see a trend."""
MIN_TREND_CONFIGURATIONS = 8
"""Configurations from which on the best of them must lie towards the edge too."""
BEST_FRACTION = 4
"""The best of the configurations are one in so many."""
TREND_STANDARD_ERRORS = 2.33
"""Standard errors by which the best must lie towards the edge: 1 % do by chance."""
COMPARED_MEASURES = (
    "val_accuracy",
    "val_score",
    "val_error",
    "val_loss",
    "test_accuracy",
    "test_score",
    "test_loss",
)
BEST_COLUMN_PATTERN = re.compile(r"(^|[^a-z])(best|max)([^a-z]|$)")
"""Part of the name of a column that holds the best of several epochs."""


def winners_at_range_edge(evidence: Evidence) -> Iterator[Finding]:
    """Find winners at an end of a searched range, with the better configurations towards it too."""
    design = evidence.results.design
    cells = evidence.cells.dropna(subset="winner_id")
    if not design.search or cells.empty:
        return
    if not design.ranges:
        raise MissingEvidenceError(["the ranges that were searched"])
    search = require_columns(evidence.own_trials, "status").query("role == 'search'")
    # Seeds of one configuration are one point of the range.
    search = search.drop_duplicates(["cell", "config_id"])
    if design.objective not in search:
        raise MissingEvidenceError([str(design.objective)])
    tried_by_cell = dict(list(search.groupby("cell", sort=False)))
    found: list[tuple[str, str, str, str, Any]] = []
    for cell in cells.to_dict("records"):
        tried = tried_by_cell.get(cell["cell"])
        if tried is None:
            continue
        for path in design.search:
            axis = design.ranges.get((cell["cell"], path))
            side = _edge_side(axis, path, cell.get(path), tried, evidence) if axis else ""
            if side:
                found.append((cell["arm"], cell["cell"], path, side, cell[path]))
    frame = pd.DataFrame(found, columns=["arm", "cell", "path", "side", "value"])
    for arm, own in frame.groupby("arm", sort=False):
        parts: list[str] = []
        for (field, end), part in own.groupby(["path", "side"], sort=False):
            values = list_names(f"{row.cell}: {row.value:.3g}" for row in part.itertuples())
            count = format_count(len(part), "cell")
            parts.append(f"`{field}` at its {end} end in {count} ({values})")
        yield Finding(str(arm), list(own["cell"]), "; ".join(parts))


def _edge_side(axis: Axis, path: str, value: Any, tried: pd.DataFrame, evidence: Evidence) -> str:
    """End of the range at which the winner lies, beyond which a better value may lie.

    Args:
        axis: The searched range.
        path: Its dotted field.
        value: The winner's value.
        tried: Configurations of the cell, with this field, the objective and ``status``.
        evidence: The tables.

    Returns:
        ``low`` or ``high``; empty at neither end, at an end that no value can exceed, and for axes
        that are no numbers or have two options.
    """
    if not isinstance(value, int | float) or pd.isna(value):
        return ""
    x = pd.to_numeric(tried[path], errors="coerce").to_numpy(dtype=np.float64)
    low: float
    high: float
    if isinstance(axis, Choice | IntRange):
        options = [float(option) for option in axis.spaced(2) if isinstance(option, int | float)]
        # The best of two options is always at an end.
        if len(options) <= 2:
            return ""
        low = min(options)
        high = max(options)
        sides = {"low": value <= low, "high": value >= high}
    else:
        low = axis.low
        high = axis.high
        design = evidence.results.design
        complete = has_value(tried["status"], "COMPLETE")
        objective = tried[str(design.objective)].where(complete).to_numpy(dtype=np.float64)
        losses = objective if design.minimize else -objective
        winner = float(_to_unit_range(axis, np.array([value], dtype=np.float64))[0])
        sides = near_ends(winner, _to_unit_range(axis, x), losses)
    # Fractions cannot leave [0, 1]; a learning rate may exceed 1.
    is_natural = {"low": low == 0, "high": high == 1 and path != "optim.lr"}
    for side, is_at_end in sides.items():
        if is_at_end and not is_natural[side]:
            return side
    return ""


def near_ends(winner: float, places: np.ndarray, losses: np.ndarray) -> dict[str, bool]:
    """Test if a winner is at either end of a range, and good configurations are towards it too.

    Args:
        winner: Winner's place in the range, in [0, 1].
        places: Places of all configurations, shape [n]; NaN is left out.
        losses: Their objective, lower is better, shape [n]; NaN, a run without one, is the worst.

    Returns:
        True or False for ``low`` and ``high``. Below `MIN_TREND_CONFIGURATIONS` the winner's own
        place decides.
    """
    is_known = ~np.isnan(places)
    places = places[is_known]
    losses = losses[is_known]
    n = len(places)
    if n < MIN_TREND_CONFIGURATIONS:
        is_low = winner <= STRICT_EDGE_MARGIN
        return {"low": is_low, "high": winner >= 1 - STRICT_EDGE_MARGIN}
    count = max(2, round(n / BEST_FRACTION))
    order = np.argsort(np.where(np.isnan(losses), np.inf, losses), kind="stable")
    best = places[order[:count]]
    # Error of the mean of `count` places drawn from the n without replacement.
    error = places.std(ddof=1) * np.sqrt((1 - count / n) / count)
    pull = float((best.mean() - places.mean()) / error) if error else 0.0
    return {
        "low": winner <= TREND_EDGE_MARGIN and pull < -TREND_STANDARD_ERRORS,
        "high": winner >= 1 - TREND_EDGE_MARGIN and pull > TREND_STANDARD_ERRORS,
    }


def _to_unit_range(axis: Uniform | LogUniform, values: np.ndarray) -> np.ndarray:
    """Places of values in the range, on the axis's own scale: 0 at its low end, 1 at its high."""
    low = axis.low
    high = axis.high
    if isinstance(axis, LogUniform):
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log(values)
            low = np.log(low)
            high = np.log(high)
    return np.asarray((values - low) / (high - low))


def selected_on_test(evidence: Evidence) -> Iterator[Finding]:
    """Find winners that were chosen by a column of the test set."""
    objective = evidence.results.design.objective
    if objective is not None and objective.startswith("test_"):
        yield Finding("", list(evidence.cells["cell"]), f"they were chosen by `{objective}`")


def best_epoch_rows(evidence: Evidence) -> Iterator[Finding]:
    """Find trials whose row is not that of their last evaluation, so that luck improves it."""
    sources: tuple[tuple[str, str], ...] = getattr(evidence.results, "sources", ())
    named = [theirs for _, theirs in sources if BEST_COLUMN_PATTERN.search(theirs.lower())]
    if named:
        got = f"the table's {list_names(named)} hold the best of several"
        yield Finding("", list(evidence.cells["cell"]), got)
        return
    measures = "|".join(COMPARED_MEASURES)
    history = require_columns(evidence.history, measures)
    step = evidence.step_column
    history = history.sort_values(step, kind="stable")
    rows = require_columns(evidence.trials, measures).set_index("trial_id")
    evaluations = history.groupby("trial_id").size()
    # The only evaluation of a trial is its last.
    several = evaluations.index[evaluations > 1].intersection(rows.index)
    if len(rows) and several.empty:
        raise MissingEvidenceError(["more than one evaluation of a trial"])
    is_earlier = _shows_earlier_evaluation(rows.loc[several], history, step)
    runs = evidence.runs.drop_duplicates("trial_id").set_index("trial_id")
    cells = runs[["arm", "cell"]].loc[several]
    for arm, own in cells[is_earlier.to_numpy(dtype=bool)].groupby("arm", sort=False):
        total = int((cells["arm"] == arm).sum())
        got = (
            f"{len(own)} of {format_count(total, 'trial')} show an earlier evaluation or the best"
            " of several"
        )
        yield Finding(str(arm), list(own["cell"]), got)


def _shows_earlier_evaluation(
    rows: pd.DataFrame, history: pd.DataFrame, step: str
) -> pd.Series[Any]:
    """True for trials whose row is of an earlier step than their last, or has a measure's best.

    Args:
        rows: One row per trial, by id.
        history: Evaluations in order of ``step``.
        step: Column that orders evaluations.
    """
    groups = history.groupby("trial_id")
    found = pd.Series(False, rows.index)
    if step in rows:
        last_step = groups[step].max().reindex(rows.index).astype("float64")
        found |= rows[step].astype("float64") < last_step
    for name in COMPARED_MEASURES:
        if name not in history or name not in rows:
            continue
        shown = rows[name].astype("float64")
        rises = Measure.by_name(name).higher_is_better
        best = groups[name].max() if rises else groups[name].min()
        best = best.reindex(rows.index)
        last = groups[name].last().reindex(rows.index)
        found |= (shown == best) & (shown != last) & last.notna()
    return found


def unselected_measure(evidence: Evidence) -> Iterator[Finding]:
    """Find a plotted measure that is not the one by which winners were chosen."""
    objective = evidence.results.design.objective
    cells = evidence.cells
    is_searched = "configurations" not in cells or (cells["configurations"] > 1).any()
    if objective is None or not is_searched:
        return
    y = evidence.y
    if y is None:
        raise MissingEvidenceError(["test_accuracy or test_score or val_accuracy or val_score"])
    if _measured_quantity(objective, evidence.trials) != _measured_quantity(y, evidence.trials):
        got = f"winners were chosen by `{objective}`, curves show `{y}`"
        severity: Severity | None = "warning" if objective.startswith("train_") else None
        yield Finding("", list(cells["cell"]), got, severity)


def _measured_quantity(column: str, trials: pd.DataFrame) -> str:
    """Quantity in a column, whatever its split: ``accuracy``, ``score``, ``loss``, ``entropy``.

    An error is a score turned round, and a score that equals the accuracy is an accuracy.
    """
    split, _, quantity = column.partition("_")
    if quantity == "error":
        quantity = "score"
    accuracy = f"{split}_accuracy"
    score = f"{split}_score"
    if quantity != "score" or not {accuracy, score} <= set(trials):
        return quantity
    known = trials[[accuracy, score]].dropna()
    is_accuracy = len(known) > 0 and np.isclose(known[accuracy], known[score]).all()
    return "accuracy" if is_accuracy else "score"


def search_runs_reported(evidence: Evidence) -> Iterator[Finding]:
    """Find winners whose values are shown of the very runs that made them win."""
    results = evidence.results
    cells = evidence.cells
    has_counts = "configurations" in cells
    chosen = cells[cells["configurations"].fillna(0) > 1] if has_counts else cells
    if results.design.objective is None or chosen.empty:
        return
    if results.fresh_seeds:
        chosen = chosen[chosen["cell"].isin(_cells_with_shared_seeds(evidence.runs, chosen))]
    for arm, own in chosen.groupby("arm", sort=False):
        tried = own["configurations"].max() if has_counts else np.nan
        best_of = "" if pd.isna(tried) else f" the best of up to {tried:.0f} configurations,"
        count = format_count(len(own), "cell")
        got = f"in {count} the same runs made a winner,{best_of} and are shown"
        yield Finding(str(arm), list(own["cell"]), got)


def _cells_with_shared_seeds(runs: pd.DataFrame, cells: pd.DataFrame) -> set[str]:
    """Cells whose winner was searched and reported on a common seed."""
    of_winner = runs.merge(cells[["cell", "winner_id"]], on="cell")
    is_winner = has_value(of_winner["config_id"] == of_winner["winner_id"], True)
    of_winner = of_winner[is_winner & of_winner["role"].isin(["search", "report"])]
    roles = of_winner.groupby(["cell", "seed"])["role"].nunique()
    return set(roles.index[roles > 1].get_level_values("cell"))
