"""Measures of a study's task: units and directions that follow from its loss and its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sparsetune.spec.task.measured import Measured, MetricFacts

from ..measure import LOSS_RANGE, PERCENT, SPLITS, UNIT_RANGE, Measure, quantity_name


def task_measure(
    tasks: Sequence[Measured], column: str, score_rises: Callable[[], bool | None]
) -> Measure:
    """Measure of a column that tasks have in common.

    Args:
        tasks: What the tasks of all cells measure; where they differ in a unit, there is none.
        column: Name of the column.
        score_rises: Direction of the score's metric as measured, for a metric whose declaration
            does not say it.
    """
    split, _, quantity = column.partition("_")
    if split not in SPLITS or not tasks:
        return Measure.by_name(column)
    if quantity == "loss":
        units = {task.loss_unit for task in tasks}
        unit = units.pop() if len(units) == 1 else ""
        # A loss of a user's own, without a unit, may be negative.
        possible = LOSS_RANGE if unit else None
        return replace(Measure.by_name(column), unit=unit, range=possible)
    if quantity in ("score", "error"):
        scores = {task.metrics[0] for task in tasks}
        return _score_measure(column, scores, score_rises)
    for task in tasks:
        for facts in task.metrics:
            if facts.column == quantity != "accuracy":
                return _metric_measure(column, facts)
    return Measure.by_name(column)


def _score_measure(
    column: str, scores: set[MetricFacts], score_rises: Callable[[], bool | None]
) -> Measure:
    """Measure of ``val_score``, say: the metric, negated where that is better when lower.

    The error is 1 - score, or the metric itself where that is better when lower.
    """
    usual = Measure.by_name(column)
    is_fraction = all(facts.is_fraction for facts in scores)
    if len(scores) > 1:
        return usual if is_fraction else replace(usual, unit="", range=None)
    (facts,) = scores
    rises = score_rises() if facts.higher_is_better is None else facts.higher_is_better
    if is_fraction and rises is not False:
        return usual
    is_error = column.endswith("error")
    words = {True: "1 - {}" if is_error else "{}", False: "{}" if is_error else "minus {}"}
    metric = "" if rises is None else words[rises].format(facts.words)
    if not is_fraction:
        return replace(usual, unit="", range=None, metric=metric)
    return replace(usual, metric=metric, range=UNIT_RANGE if is_error else (-1.0, 0.0))


def _metric_measure(column: str, facts: MetricFacts) -> Measure:
    """Measure of a column of the metric itself."""
    return Measure(
        column,
        quantity_name(column, facts.words),
        unit=PERCENT if facts.is_fraction else "",
        higher_is_better=facts.higher_is_better,
        range=UNIT_RANGE if facts.is_fraction else None,
    )
