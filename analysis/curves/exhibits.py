"""Exhibits of curves: a measure against sparsity, length and cost; arms side by side; histories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pandas as pd

from ..catalogue import paragraph, write
from ..estimates.means import GAP_BASELINES, is_measured
from ..exhibit import Exhibit
from ..tables.results import Results
from .comparison import compare_arms
from .curve import Curve, cost_curve, displayed_costs, length_curve, sparsity_curve
from .histories import TRACE_COLUMNS, winners_history
from .history_figure import draw_histories

SUPPORTING_MEASURES = ("train_loss", "val_loss", "train_entropy", "val_entropy")
"""Measures whose curves stand below the headline measure's."""
AXIS_TITLES = {
    "sparsity": "sparsity",
    "epochs": "training length",
    "train_flops": "training FLOPs",
    "gpu_hours": "hours on the device",
}


def curve_exhibits(
    results: Results, y: str, where: Mapping[str, Any] | None = None
) -> Iterator[Exhibit]:
    """Curves of the headline measure, with its gaps and costs, then curves of losses and entropies.

    Args:
        results: The study.
        y: The headline measure; the test loss replaces it if it was not measured.
        where: Dotted fields and their values.
    """
    by = next(iter(results.design.lengths()), None)
    # The test loss leads if neither accuracy nor score was measured.
    headline = y if is_measured(results, y) else "test_loss"
    for column in (headline, *SUPPORTING_MEASURES):
        if not is_measured(results, column):
            continue
        yield from _curve_exhibit(sparsity_curve(results, column, by, where=where))
        # Gaps and costs would repeat the same runs for every supporting measure.
        if column == headline:
            for gap in GAP_BASELINES:
                yield from _curve_exhibit(sparsity_curve(results, column, by, where=where, gap=gap))
        if by:
            yield from _curve_exhibit(length_curve(results, column, where=where))
        if by and column == headline:
            for cost in displayed_costs(results, where):
                yield from _curve_exhibit(cost_curve(results, column, x=cost, where=where))


def _curve_exhibit(curve: Curve) -> Iterator[Exhibit]:
    """The exhibit of one curve; none if nothing was measured."""
    if not curve.frame()["n"].gt(0).any():
        return
    name = "-".join(part for part in (curve.y.column, curve.gap, curve.x) if part)
    baseline = f" minus that of {GAP_BASELINES[curve.gap]}" if curve.gap else ""
    title = f"{curve.y.title}{baseline} against {AXIS_TITLES[curve.x]}"
    yield Exhibit(name, title, curve.frame(), curve.note(), curve.plot)


def comparison_exhibits(
    results: Results, y: str, where: Mapping[str, Any] | None = None
) -> Iterator[Exhibit]:
    """Arms side by side; none if no sparsity has several arms."""
    found = compare_arms(results, y, where=where)
    if found.shared():
        length = f", after {found.epochs:g} epochs" if results.design.lengths() else ""
        title = f"{found.y.title} and cost of training against sparsity{length}"
        yield Exhibit("comparison", title, found.frame(), found.note(), found.plot)


def history_exhibits(results: Results, where: Mapping[str, Any] | None = None) -> Iterator[Exhibit]:
    """Losses over training, and the sparsity of the mask; none if no trial was evaluated twice."""
    history = winners_history(results, where)
    has_many_lengths = bool(results.design.lengths()) and history["epochs"].nunique() > 2
    lengths = [write("history_lengths")] if has_many_lengths else []
    caption = paragraph([write("history_lines"), *lengths])
    for column in ("val_loss", "train_loss"):
        rows = history.dropna(subset=column)
        if _has_line(rows):
            measure = results.measure(column)
            title = f"{measure.title} over training"
            figure = partial(draw_histories, rows, measure)
            shown = rows[[*TRACE_COLUMNS, column]]
            yield Exhibit(f"history-{column}", title, shown, caption, figure)
    rows = _first_seeds(history).dropna(subset="sparsity_now")
    if _has_line(rows) and rows["sparsity_now"].gt(0).any():
        yield Exhibit(
            "history-sparsity",
            "Sparsity of the mask over training",
            rows[[*TRACE_COLUMNS, "sparsity_now"]],
            paragraph([write("history_first_seed"), *lengths]),
            partial(draw_histories, rows, results.measure("sparsity_now")),
        )


def _first_seeds(history: pd.DataFrame) -> pd.DataFrame:
    """The evaluations of the first seed of each arm, length and sparsity."""
    # Sparsity follows the schedule: lines of further seeds would cover the first one.
    first = history.groupby(["arm", "epochs", "sparsity"])["seed"].transform("min")
    return history[history["seed"] == first]


def _has_line(rows: pd.DataFrame) -> bool:
    """True if a trial has two evaluations: one makes no line."""
    return bool(rows.duplicated(["arm", "trial_id"]).any())
