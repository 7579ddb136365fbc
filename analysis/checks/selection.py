"""Checks of how winners were chosen: on which data, in which ranges, and by what is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from sparsetune.study.questions.words import field_words

from ..catalogue import write
from ..measure import Measure
from ..recipes.axis_text import format_value
from ..recipes.optima.edges import edges
from ..recipes.responses import ranking_measure
from .digits import decimals
from .evidence import Evidence, has_value, require_columns
from .finding import (
    Count,
    Finding,
    MissingEvidenceError,
    Severity,
    format_count,
    list_names,
)

COMPARED_MEASURES = (
    "val_accuracy",
    "val_score",
    "val_error",
    "val_loss",
    "test_accuracy",
    "test_score",
    "test_loss",
)
MIN_DECIMALS = 3
"""Decimals from which on a result is compared with rounded evaluations: 0.9 fits too many."""
BEST_COLUMN_PATTERN = re.compile(r"(^|[^a-z])(best|max)([^a-z]|$)")
"""Part of the name of a column that holds the best of several epochs."""


def winners_at_range_edge(evidence: Evidence) -> Iterator[Finding]:
    """Find axes whose best value surely lies at an end of the searched range, or beyond.

    The rule is that of `analysis.edges`; what is not sure there is in its table alone.
    """
    design = evidence.results.design
    cells = evidence.cells.dropna(subset="winner_id")
    if not design.search or design.objective is None or cells.empty:
        return
    if not design.ranges:
        raise MissingEvidenceError(["the ranges that were searched"])
    require_columns(evidence.own_trials.query("role == 'search'"), "status", design.objective)
    found = edges(evidence.results, where={})
    sure = found[found["sure"].astype(bool) & found["cell"].isin(cells["cell"])]
    for arm, own in sure.groupby("arm", sort=False):
        parts = []
        for (field, end), part in own.groupby(["axis", "end"], sort=False):
            parts.append(
                write(
                    "found_edge",
                    field=field_words(str(field)),
                    end="lower" if end == "low" else "upper",
                    bound=format_value(str(field), part["bound"].iloc[0]),
                    networks=format_count(len(part), "network"),
                    names=evidence.name_cells(part["cell"]),
                )
            )
        yield Finding(str(arm), list(own["cell"]), parts)


def selected_on_test(evidence: Evidence) -> Iterator[Finding]:
    """Find winners chosen by a column of the test set, and best values that are read off one."""
    objective = evidence.results.design.objective
    if objective is not None and objective.startswith("test_"):
        measure = evidence.results.measure(objective).phrase
        found = write("found_selected_on_test", measure=measure)
        yield Finding("", list(evidence.cells["cell"]), [found])
    column = ranking_measure(evidence.results)
    if objective is not None or column is None or not column.startswith("test_"):
        return
    measure = evidence.results.measure(column).phrase
    read_off = []
    if evidence.results.design.search:
        read_off.append(write("found_ranked_on_test", measure=measure))
    costs = evidence.report.get("train_flops", pd.Series(dtype="float64"))
    if costs.nunique() > 1:
        read_off.append(write("found_front_on_test", measure=measure))
    if read_off:
        yield Finding("", list(evidence.cells["cell"]), read_off, "warning")


def best_epoch_rows(evidence: Evidence) -> Iterator[Finding]:
    """Find trials whose row is not that of their last evaluation, so that luck improves it."""
    sources: tuple[tuple[str, str], ...] = getattr(evidence.results, "sources", ())
    named = [theirs for _, theirs in sources if BEST_COLUMN_PATTERN.search(theirs.lower())]
    if named:
        found = write("found_best_columns", columns=list_names(named))
        yield Finding("", list(evidence.cells["cell"]), [found])
        return
    best_of: tuple[tuple[str, str], ...] = getattr(evidence.results, "best_of", ())
    if best_of:
        result, column = best_of[0]
        measure = evidence.results.measure(result).phrase
        found = write("found_best_of", measure=measure, column=column)
        yield Finding("", list(evidence.cells["cell"]), [found])
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
        found = write("found_best_epoch", shown=Count(len(own)), runs=format_count(total, "run"))
        yield Finding(str(arm), list(own["cell"]), [found])


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
        best = best.reindex(rows.index).astype("float64")
        last = groups[name].last().reindex(rows.index).astype("float64")
        found |= _is_rounded(shown, best) & ~_is_rounded(shown, last) & last.notna()
    return found


def _is_rounded(shown: pd.Series[Any], value: pd.Series[Any]) -> pd.Series[Any]:
    """True where a shown number is a value, or the value rounded to the shown number's decimals."""
    same = shown == value
    # Published results have fewer decimals than the evaluations that they come from.
    is_near = (shown - value).abs() <= 0.5 * 10.0**-MIN_DECIMALS
    for run in shown.index[is_near & ~same]:
        places = decimals(shown[run])
        same[run] = places >= MIN_DECIMALS and round(value[run], places) == shown[run]
    return same


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
        chosen, shown = (evidence.results.measure(name).phrase for name in (objective, y))
        found = write("found_unselected", objective=chosen, measure=shown)
        severity: Severity | None = "warning" if objective.startswith("train_") else None
        yield Finding("", list(cells["cell"]), [found], severity)


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
        found = [write("found_same_runs", networks=format_count(len(own), "network"))]
        if pd.notna(tried):
            found.append(write("found_same_runs_best", tried=f"{tried:.0f}"))
        yield Finding(str(arm), list(own["cell"]), found)


def _cells_with_shared_seeds(runs: pd.DataFrame, cells: pd.DataFrame) -> set[str]:
    """Cells whose winner was searched and reported on a common seed."""
    of_winner = runs.merge(cells[["cell", "winner_id"]], on="cell")
    is_winner = has_value(of_winner["config_id"] == of_winner["winner_id"], True)
    of_winner = of_winner[is_winner & of_winner["role"].isin(["search", "report"])]
    roles = of_winner.groupby(["cell", "seed"])["role"].nunique()
    return set(roles.index[roles > 1].get_level_values("cell"))
