"""What a table says: its numbers, its answer and its findings, in a form that compares."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis import load_table
from analysis.answers.answers import answers
from analysis.checks import checks
from analysis.curves.curve import sparsity_curve
from analysis.tables.results import Results
from sparsetune.errors import SparsetuneError
from tests.analysis.tables.fuzz.clean import Given

DIGITS = 9
"""Decimals to which numbers are compared."""
CURVE_NUMBERS = (
    "n",
    "mean",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "spread_low",
    "spread_high",
)
MEASURES = ("test_accuracy", "val_accuracy", "val_score", "test_loss", "val_loss")
"""Results of which the first that was measured is drawn."""
FINDINGS = ("warning", "error")
"""Severities that count as a finding; a note is none."""


@dataclass(frozen=True)
class Said:
    """What came of a table.

    Args:
        refused: Why it was refused; empty if it was read.
        curve: Rows of its curve, in order.
        winners: Rows of its cells, in order.
        answer: Sentences of the first screen.
        findings: Codes of its findings.
        messages: Findings in words.
    """

    refused: str = ""
    curve: tuple[tuple[Any, ...], ...] = ()
    winners: tuple[tuple[Any, ...], ...] = ()
    answer: tuple[str, ...] = ()
    findings: frozenset[str] = frozenset()
    messages: tuple[str, ...] = field(default=(), compare=False)


def read(given: Given) -> Said:
    """Read a table as its owner would, and look at all that it says.

    Raises:
        Exception: whatever is no error for users.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            results = load_table(given.frame, **given.arguments)
            curve = _curve_rows(results)
            winners = _winner_rows(results)
            found = checks(results)
        except SparsetuneError as error:
            return Said(str(error))
        screen = answers(results).first_screen()
    severe = found[found["severity"].isin(FINDINGS)]
    return Said(
        "",
        curve,
        winners,
        tuple(map(str, screen.sentences)),
        frozenset(severe["code"]),
        tuple(f"{row.code}: {row.message}" for row in severe.itertuples()),
    )


def _curve_rows(results: Results) -> tuple[tuple[Any, ...], ...]:
    measured = [name for name in MEASURES if results.trials()[name].notna().any()]
    by = "schedule.epochs" if "schedule.epochs" in results.design.sweep else None
    points = sparsity_curve(results, measured[0] if measured else None, by=by).frame()
    names = ("arm", "sparsity", "schedule.epochs", *CURVE_NUMBERS)
    return tuple(sorted((_row(row, names) for row in points.to_dict("records")), key=repr))


def _winner_rows(results: Results) -> tuple[tuple[Any, ...], ...]:
    fields = [path for path in results.design.search if not path.startswith("sparsity.ramp")]
    names = ("arm", "sparsity.target", "configurations", "objective", *fields)
    cells = results.cells().to_dict("records")
    return tuple(sorted((_row(cell, names) for cell in cells), key=repr))


def _row(row: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(_rounded(row.get(name)) for name in names)


def _rounded(value: Any) -> Any:
    """A value that equals another one where only rounding parts them; missing ones are None."""
    if value is None or pd.isna(value):
        return None
    if isinstance(value, str):
        return value
    return round(float(value), DIGITS)


def means_of(said: Said) -> dict[tuple[str, float], tuple[int, float]]:
    """Number of runs and mean by arm and sparsity, of the longest training; dense runs once."""
    found = {}
    for arm, sparsity, _, n, mean, *_ in said.curve:
        target = round(sparsity, 3)
        found[arm if target else "dense", target] = (int(n), mean)
    return found
