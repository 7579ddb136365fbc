"""Checks of how winners were chosen: on what, within which ranges, and whether what is shown is what was chosen by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analysis.checks.evidence import Evidence, has_value, require_columns
from analysis.checks.finding import (
    Finding,
    MissingEvidenceError,
    Severity,
    format_count,
    list_names,
)
from analysis.estimates.means import direction_of
from sparsetune.study.space import Axis, Choice, IntRange, LogUniform, Uniform

TREND_EDGE_MARGIN = 0.1
"""How near to an end of its range, as a part of it, a winner lies at the edge."""
STRICT_EDGE_MARGIN = 0.01
"""The same where there are too few configurations to see a trend."""
MIN_TREND_CONFIGURATIONS = 8
"""Configurations from which on the best of them must lie towards the edge too."""
TREND_STANDARD_ERRORS = 2.33
"""Standard errors by which they must: 1 % by chance."""
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
"""In the name of a column that holds the best of several epochs."""


def winners_at_range_edge(evidence: Evidence) -> Iterator[Finding]:
    """Winners at an end of a searched range, towards which the better configurations lie too."""
    cells = evidence.cells.dropna(subset="winner_id")
    if not (evidence.results.design.search and len(cells)):
        return
    ranges = evidence.results.design.ranges
    if not ranges:
        raise MissingEvidenceError(["the ranges that were searched"])
    search = (
        require_columns(evidence.own_trials, "status")
        .query("role == 'search'")
        .drop_duplicates(["cell", "config_id"])
    )
    if evidence.results.design.objective not in search:
        raise MissingEvidenceError([str(evidence.results.design.objective)])
    by_cell = dict(list(search.groupby("cell", sort=False)))
    found = [
        (cell["arm"], cell["cell"], path, side, cell[path])
        for cell in cells.to_dict("records")
        for path in evidence.results.design.search
        if (axis := ranges.get((cell["cell"], path))) and cell["cell"] in by_cell
        if (side := _edge_side(axis, path, cell.get(path), by_cell[cell["cell"]], evidence))
    ]
    frame = pd.DataFrame(found, columns=["arm", "cell", "path", "side", "value"])
    for arm, own in frame.groupby("arm", sort=False):
        parts = [
            f"`{path}` at its {side} end in {format_count(len(part), 'cell')} ({_cell_values_text(part)})"
            for (path, side), part in own.groupby(["path", "side"], sort=False)
        ]
        yield Finding(str(arm), list(own["cell"]), "; ".join(parts))


def _cell_values_text(part: pd.DataFrame) -> str:
    return list_names(f"{row.cell}: {row.value:.3g}" for row in part.itertuples())


def _edge_side(axis: Axis, path: str, value: Any, tried: pd.DataFrame, evidence: Evidence) -> str:
    """``low`` or ``high`` where the winner lies at that end and a better value may lie beyond; else empty."""
    if not isinstance(value, int | float) or pd.isna(value):
        return ""
    x = pd.to_numeric(tried[path], errors="coerce").to_numpy(dtype=np.float64)
    if isinstance(axis, Choice | IntRange):
        options = [float(option) for option in axis.spaced(2) if isinstance(option, int | float)]
        low = min(options)
        high = max(options)
        enough = len(options) > 2
        sides = {"low": value <= low, "high": value >= high}
    else:
        low = axis.low
        high = axis.high
        enough = True
        place = float(_to_unit_range(axis, np.array([value], dtype=np.float64))[0])
        objective = tried[str(evidence.results.design.objective)].where(
            has_value(tried["status"], "COMPLETE")
        )
        values = objective.to_numpy(dtype=np.float64) * (
            1 if evidence.results.design.minimize else -1
        )
        sides = _near_ends(place, _to_unit_range(axis, x), values)
    natural = {"low": low == 0, "high": high == 1 and path != "optim.lr"}
    return next((side for side, at in sides.items() if at and enough and not natural[side]), "")


def _near_ends(place: float, units: np.ndarray, values: np.ndarray) -> dict[str, bool]:
    """Whether the winner at ``place``, and with enough configurations the best quarter of them, lie at either end."""
    units, values = units[~np.isnan(units)], values[~np.isnan(units)]
    n = len(units)
    edge = STRICT_EDGE_MARGIN
    pull = 0.0
    if n >= MIN_TREND_CONFIGURATIONS:
        count = max(2, round(n / 4))
        best = units[np.argsort(np.where(np.isnan(values), np.inf, values), kind="stable")[:count]]
        error = units.std(ddof=1) * np.sqrt((1 - count / n) / count)
        edge = TREND_EDGE_MARGIN
        pull = float((best.mean() - units.mean()) / error) if error else 0.0
    return {
        "low": place <= edge and (n < MIN_TREND_CONFIGURATIONS or pull < -TREND_STANDARD_ERRORS),
        "high": place >= 1 - edge
        and (n < MIN_TREND_CONFIGURATIONS or pull > TREND_STANDARD_ERRORS),
    }


def _to_unit_range(axis: Uniform | LogUniform, values: np.ndarray) -> np.ndarray:
    """Values as parts of the range, on the axis's own scale."""
    low = axis.low
    high = axis.high
    if isinstance(axis, LogUniform):
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log(values)
            low = np.log(low)
            high = np.log(high)
    return np.asarray((values - low) / (high - low))


def selected_on_test(evidence: Evidence) -> Iterator[Finding]:
    """Winners chosen by a column of the test set."""
    objective = evidence.results.design.objective
    if objective is not None and objective.startswith("test_"):
        yield Finding("", list(evidence.cells["cell"]), f"they were chosen by `{objective}`")


def best_epoch_rows(evidence: Evidence) -> Iterator[Finding]:
    """Trials whose row is not that of their last evaluation: the best of several is too good by luck."""
    named = [
        theirs
        for _, theirs in getattr(evidence.results, "sources", ())
        if BEST_COLUMN_PATTERN.search(theirs.lower())
    ]
    if named:
        yield Finding(
            "",
            list(evidence.cells["cell"]),
            f"the table's {list_names(named)} hold the best of several",
        )
        return
    history = require_columns(evidence.history, "|".join(COMPARED_MEASURES)).sort_values(
        evidence.clock, kind="stable"
    )
    rows = require_columns(evidence.trials, "|".join(COMPARED_MEASURES)).set_index("trial_id")
    evaluations = history.groupby("trial_id").size()
    several = evaluations.index[evaluations > 1].intersection(rows.index)
    if len(rows) and several.empty:
        raise MissingEvidenceError(["more than one evaluation of a trial"])
    early = _is_not_last_evaluation(rows.loc[several], history, evidence.clock)
    cells = (
        evidence.runs.drop_duplicates("trial_id")
        .set_index("trial_id")[["arm", "cell"]]
        .loc[several]
    )
    for arm, own in cells[early.to_numpy(dtype=bool)].groupby("arm", sort=False):
        total = int((cells["arm"] == arm).sum())
        got = f"{len(own)} of {format_count(total, 'trial')} show an earlier evaluation or the best of several"
        yield Finding(str(arm), list(own["cell"]), got)


def _is_not_last_evaluation(
    rows: pd.DataFrame, history: pd.DataFrame, clock: str
) -> pd.Series[Any]:
    """Which trials, by id, show an earlier evaluation than their last, or a measure's best, which is not its last."""
    groups = history.groupby("trial_id")
    found = pd.Series(False, rows.index)
    if clock in rows:
        found |= rows[clock].astype("float64") < groups[clock].max().reindex(rows.index).astype(
            "float64"
        )
    for name in (name for name in COMPARED_MEASURES if name in history and name in rows):
        final = rows[name].astype("float64")
        best = groups[name].max() if direction_of(name) > 0 else groups[name].min()
        best = best.reindex(rows.index)
        last = groups[name].last().reindex(rows.index)
        found |= (final == best) & (final != last) & last.notna()
    return found


def unselected_measure(evidence: Evidence) -> Iterator[Finding]:
    """A plotted measure that is not the one by which winners were chosen."""
    objective = evidence.results.design.objective
    y = evidence.y
    searched = (
        "configurations" not in evidence.cells or (evidence.cells["configurations"] > 1).any()
    )
    if objective is None or not searched:
        return
    if y is None:
        raise MissingEvidenceError(["test_accuracy or test_score or val_accuracy or val_score"])
    if _measure_family(objective, evidence.trials) != _measure_family(y, evidence.trials):
        got = f"winners were chosen by `{objective}`, curves show `{y}`"
        severity: Severity | None = "warning" if objective.startswith("train_") else None
        yield Finding("", list(evidence.cells["cell"]), got, severity)


def _measure_family(column: str, trials: pd.DataFrame) -> str:
    """What a column measures, whatever the split: ``accuracy``, ``score``, ``loss``, ``entropy``."""
    split, _, name = column.partition("_")
    name = "score" if name == "error" else name
    pair = [f"{split}_accuracy", f"{split}_score"]
    if name == "score" and set(pair) <= set(trials):
        known = trials[pair].dropna()
        same = np.isclose(known[pair[0]], known[pair[1]]).all() if len(known) else False
        return "accuracy" if same else name
    return name


def search_runs_reported(evidence: Evidence) -> Iterator[Finding]:
    """Values shown of the very runs that made their configuration the winner."""
    results = evidence.results
    cells = evidence.cells
    chosen = cells[cells["configurations"].fillna(0) > 1] if "configurations" in cells else cells
    if results.design.objective is None or chosen.empty:
        return
    if getattr(results, "fresh_seeds", True):
        runs = evidence.runs.merge(chosen[["cell", "winner_id"]], on="cell")
        runs = runs[
            has_value(runs["config_id"] == runs["winner_id"], True)
            & runs["role"].isin(["search", "report"])
        ]
        both = runs.groupby(["cell", "seed"])["role"].nunique()
        names = set(both.index[both > 1].get_level_values("cell"))
        chosen = chosen[chosen["cell"].isin(names)]
    for arm, own in chosen.groupby("arm", sort=False):
        tried = own["configurations"].max() if "configurations" in own else np.nan
        of = "" if pd.isna(tried) else f" the best of up to {tried:.0f} configurations,"
        yield Finding(
            str(arm),
            list(own["cell"]),
            f"in {format_count(len(own), 'cell')} the same runs made a winner,{of} and are shown",
        )
