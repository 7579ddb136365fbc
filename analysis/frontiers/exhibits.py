"""Exhibits of what to spend: the best at a budget, equal training FLOPs, the Pareto front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sparsetune.errors import SparsetuneError

from ..curves.curve import displayed_costs
from ..estimates.means import cell_values
from ..exhibit import SPARSITY_COLUMN, Exhibit, TableColumn, measure_format
from ..measure import Measure
from ..recipes.responses import ranking_measure
from ..tables.results import Results
from .budgets import (
    BUDGET_UNITS,
    DEFAULT_MEASURE,
    Candidates,
    candidates,
    cell_spending,
)
from .iso_flops import iso_flops
from .pareto import pareto_front

COST_COLUMN = TableColumn("Training FLOPs\n(dense epochs)", "train_flops")
LIMIT_UNITS = BUDGET_UNITS | {"train_flops": "dense epochs"}
"""Units of limits in a heading, where FLOPs are clear already."""


def frontier_exhibits(
    results: Results, y: str, where: Mapping[str, Any] | None = None
) -> Iterator[Exhibit]:
    """The best at each budget, cells at equal FLOPs, and the Pareto front.

    The last two are of the validation loss, or of what a table has in its place; there are none if
    all cells cost the same.

    Args:
        results: The study.
        y: The headline measure, of the best at a budget.
        where: Dotted fields and their values.
    """
    yield from _budget_exhibits(results, y, where)
    loss = _priced_measure(results, where)
    if loss is None or cell_spending(results, where)["train_flops"].nunique() < 2:
        return
    found = iso_flops(results, loss, where=where)
    yield Exhibit(
        "iso-flops",
        "At equal training FLOPs",
        found.frame(),
        found.note(),
        found.plot,
        _iso_flops_columns(found.y) if len(found.pairs) else None,
    )
    front = pareto_front(results, loss, where=where)
    columns = (
        TableColumn("Arm", "arm"),
        SPARSITY_COLUMN,
        TableColumn("Epochs", "epochs"),
        COST_COLUMN,
        _mean_column(front.y),
        TableColumn("n", "n"),
        TableColumn("Verdict", "verdict"),
    )
    name = "loss" if loss.endswith("_loss") else front.y.phrase
    title = f"Pareto front of {name}, sparsity and training FLOPs"
    yield Exhibit("pareto-front", title, front.frame(), front.note(), front.plot, columns)


def _iso_flops_columns(measure: Measure) -> tuple[TableColumn, ...]:
    """Columns of pairs of cells at equal cost."""
    heading = f"{measure.difference_heading('Difference')}\n[95 % interval]"
    form = measure_format(measure)
    return (
        TableColumn("Network", "cell"),
        TableColumn("With", "other_cell"),
        COST_COLUMN,
        TableColumn("n", "n"),
        TableColumn(heading, "difference", "low", "high", form),
        TableColumn("p (Holm)", "p_holm"),
        TableColumn("Verdict", "verdict"),
    )


def _mean_column(measure: Measure) -> TableColumn:
    """Column of a mean with its interval."""
    heading = f"{measure.label}\n[95 % interval]"
    return TableColumn(heading, "mean", "low", "high", measure_format(measure))


def _priced_measure(results: Results, where: Mapping[str, Any] | None) -> str | None:
    """The first loss that a cell with known training FLOPs has; None without one.

    Of a table without losses it is the measure by which configurations are compared.
    """
    is_priced = cell_spending(results, where)["train_flops"].notna()
    for name in (DEFAULT_MEASURE, "train_loss", ranking_measure(results)):
        if name is None:
            continue
        is_measured = cell_values(results, name, where)[1].notna().any(axis=1)
        if (is_measured & is_priced).any():
            return name
    return None


def _budget_exhibits(
    results: Results, y: str, where: Mapping[str, Any] | None
) -> Iterator[Exhibit]:
    """A table for each budget that separates lengths; none if nothing can be chosen by.

    One is drawn: that of FLOPs, or of epochs if FLOPs are unknown.
    """
    try:
        found = candidates(results, y, where)
    # Without validation nothing can be chosen; the other frontiers are shown all the same.
    except SparsetuneError:
        return
    budgets = _separating_budgets(results, found, where)
    drawn_budget = "train_flops" if "train_flops" in budgets else "epochs"
    for name in budgets:
        best = found.best(name)
        columns = (
            TableColumn(f"At most\n({LIMIT_UNITS[name]})", "limit"),
            SPARSITY_COLUMN,
            TableColumn("Arm", "arm"),
            TableColumn("Epochs", "epochs"),
            COST_COLUMN,
            _mean_column(best.y),
            TableColumn("n", "n"),
            TableColumn("Best of\n(cells)", "cells"),
            TableColumn("Verdict", "verdict"),
        )
        yield Exhibit(
            f"best-at-{name.replace('_', '-')}",
            f"The best at a budget of {BUDGET_UNITS[name]}",
            best.frame(),
            best.note(),
            best.plot if name == drawn_budget else None,
            columns,
        )


def _separating_budgets(
    results: Results, found: Candidates, where: Mapping[str, Any] | None
) -> list[str]:
    """Names of the budgets that a report shows; none if all cells have one length."""
    if found.means["epochs"].nunique() < 2:
        return []
    costs = displayed_costs(results, where)
    return [name for name in BUDGET_UNITS if name == "epochs" or name in costs]
