"""Every analysis, check and answer on tables with any part of our columns: none raises."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

import analysis
from analysis.checks import checks
from analysis.page.sections import SECTIONS, combination_exhibits, combinations
from analysis.tables.foreign import TableResults, load_table
from analysis.tables.foreign.columns.known import KnownColumn, known_columns
from sparsetune.errors import SparsetuneError

FIXED: dict[str, Any] = {
    "sparsity.target": np.repeat([0, 0.9, 0.95], 8),
    "schedule.epochs": np.tile(np.repeat([4.0, 8.0], 4), 3),
    "seed": np.tile([0, 1, 2, 3], 6),
    "sparsity": np.repeat([0, 0.9, 0.95], 8),
    "target": np.repeat([0, 0.9, 0.95], 8),
    "arm": np.repeat(["dense", "gmp", "gmp"], 8),
    "sparsity.method": np.repeat(["dense", "gmp", "gmp"], 8),
    "epoch": np.tile(np.repeat([4.0, 8.0], 4), 3),
    "step": np.tile(np.repeat([400, 800], 4), 3),
    "progress": 1.0,
    "status": "COMPLETE",
    "phase": "fixed",
    "trial_id": [f"t{k}" for k in range(24)],
}
"""Columns of two lengths, three sparsities and four seeds, in which a table makes sense."""
LEFT_OUT = ("role", "config_id", "twin_id")
NEEDED = ("sparsity.target", "schedule.epochs", "seed")
MISSING_WORD = re.compile(r"(?<![\w`'.])(None|nan|NaN|NaT|<NA>)(?!\w)")


def values(name: str, column: KnownColumn, random: np.random.Generator) -> Any:
    """Values of a column: measured ones vary, those of the recipe are constant."""
    if name in FIXED:
        return FIXED[name]
    low = column.low if np.isfinite(column.low) else 0.2
    high = column.high if np.isfinite(column.high) else low + 10
    match column.kind:
        case "boolean":
            return True
        case "text":
            return "x"
        case "whole":
            return int(np.ceil(low))
        case _ if "." in name:
            return float(low + (high - low) / 4)
    return random.uniform(low + (high - low) / 4, low + (high - low) / 2, 24).round(4)


def full_table() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            name: values(name, column, random)
            for name, column in known_columns().items()
            if name not in LEFT_OUT
        }
    )


def analyse(results: TableResults) -> None:
    """Run all that the page shows; a fault of ours warns there, which is an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for at in combinations(results):
            for section in SECTIONS.values():
                for _ in combination_exhibits(results, at, section):
                    pass
        found = checks(results)
        analysis.answers(results)
    for message in found["message"]:
        assert not MISSING_WORD.search(message), message


def analyse_columns(table: pd.DataFrame) -> None:
    said = {name: name for name in ("epoch", "step") if name in table}
    try:
        results = load_table(table, said, name="t")
    except SparsetuneError as error:
        assert "at least one result" in str(error), error
        return
    analyse(results)


@pytest.mark.parametrize("seed", range(4))
def test_any_half_of_our_columns_is_analysed(seed: int) -> None:
    table = full_table()
    others = [name for name in table if name not in NEEDED]
    kept = np.random.default_rng(seed).permutation(others)[: len(others) // 2]
    analyse_columns(table[[*NEEDED, *kept]])


@pytest.mark.parametrize(
    "name", ["task.model", "task.kind", "sparsity.checkpoint", "optim.name", "distill.hardness"]
)
def test_a_column_without_its_siblings_is_analysed(name: str) -> None:
    analyse_columns(full_table()[[*NEEDED, "test_accuracy", name]])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in known_columns() if name not in LEFT_OUT])
def test_each_column_alone_and_each_table_without_one(name: str) -> None:
    table = full_table()
    analyse_columns(table[list(dict.fromkeys([*NEEDED, "val_accuracy", name]))])
    if name not in NEEDED:
        analyse_columns(table.drop(columns=name))


def test_the_report_of_a_model_without_its_kind_is_written(tmp_path: Any) -> None:
    table = full_table()[[*NEEDED, "test_accuracy", "task.model"]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = analysis.report(load_table(table, name="t"), tmp_path).read_text()
    assert "fault of sparsetune" not in page
