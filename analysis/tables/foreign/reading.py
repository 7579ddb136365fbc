"""Account of how a table was read: each column with its meaning, unit and alternative."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import pandas as pd

from ..design import EPOCHS_FIELD, Design
from .columns.choices import Choices
from .columns.known import COUNT_COLUMN, LABEL_PREFIX, RESULT_COLUMNS, SPREAD_SUFFIXES
from .columns.units import SPARSITY_COLUMNS
from .columns.values import ReadColumns
from .rows import ORDER_COLUMNS

READING_COLUMNS = ("column", "taken_as", "role", "unit", "alternative", "choose")
_OTHER_SPLITS = {"val_": ("test_", "test set"), "test_": ("val_", "validation set")}
_KEPT_UNITS = {"percent": "density_percent"}
"""Unit of the share of weights that is left, by that of a sparsity."""
_COMMON_NAMES = {
    ("acc", "accuracy", "top1"): ("accuracy on the test or validation set", "test_accuracy"),
    ("loss",): ("loss on the training, validation or test set", "val_loss"),
    ("score",): ("score on the test or validation set", "test_score"),
    ("err", "error"): ("error on the validation set", "val_error"),
    ("density", "kept", "remaining"): ("share of the weights that are left", "sparsity"),
    ("epochs",): ("length of the training in epochs", EPOCHS_FIELD),
    ("method", "algorithm"): ("method with its recipe", "arm"),
}
"""Meanings of usual names that are none of ours, with the first of our names for each."""


@dataclass(frozen=True)
class Alternative:
    """Another meaning that a column may have.

    Args:
        meaning: The meaning in a few words; empty if there is none.
        choose: Argument of `load_table` that chooses it.
    """

    meaning: str = ""
    choose: str = ""


def reading_table(
    table: pd.DataFrame, read: ReadColumns, choices: Choices, design: Design
) -> pd.DataFrame:
    """One row per column of the table, with `READING_COLUMNS` as text.

    Args:
        table: The rows as they were given.
        read: The columns under our names.
        choices: What the caller says of the columns.
        design: Axes that the runs imply.
    """
    ours_of: dict[Hashable, list[str]] = {}
    for ours, theirs in read.theirs.items():
        ours_of.setdefault(theirs, []).append(ours)
    rows = []
    for column in table.columns:
        for ours in ours_of.get(column, [""]):
            is_ignored = not ours and column in choices.ignored
            role = "left out" if is_ignored else _role(ours, read, design)
            unit = read.units.get(ours, "") or read.units.get(_mean_of(ours), "")
            other = Alternative() if is_ignored else _alternative(ours, str(column), unit)
            rows.append(
                {
                    "column": str(column),
                    "taken_as": ours,
                    "role": role,
                    "unit": unit,
                    "alternative": other.meaning,
                    "choose": other.choose,
                }
            )
    return pd.DataFrame(rows, columns=[*READING_COLUMNS], dtype="str")


def _mean_of(ours: str) -> str:
    """Our name of the mean whose spread a column holds, which has its unit; empty of others."""
    for suffix in SPREAD_SUFFIXES:
        if ours.endswith(suffix):
            return ours.removesuffix(suffix)
    return ""


def _role(ours: str, read: ReadColumns, design: Design) -> str:
    """Part that a column plays."""
    if not ours:
        return "not taken"
    if ours.startswith(LABEL_PREFIX):
        return "label"
    if ours in design.search:
        return "searched"
    if ours in design.sweep or ours in SPARSITY_COLUMNS:
        return "sparsity" if ours in SPARSITY_COLUMNS else "swept"
    if "." in ours:
        is_constant = read.rows[ours].nunique(dropna=False) <= 1
        return "recipe, constant" if is_constant else "recipe"
    if ours in RESULT_COLUMNS:
        return "result"
    if ours == COUNT_COLUMN or ours.endswith(SPREAD_SUFFIXES):
        return "spread of a mean"
    return "order of evaluations" if ours in ORDER_COLUMNS else "record"


def _alternative(ours: str, theirs: str, unit: str) -> Alternative:
    """Other meaning of a column, the likeliest one; empty where there is none.

    Args:
        ours: Our name of it; empty if it was not taken.
        theirs: The table's.
        unit: Unit that it was read in.
    """
    fixed: Mapping[str, tuple[str, str]] = {
        "optim.lr": ("learning rate of the last step", f"columns={{'lr': '{theirs}'}}"),
        "lr": ("learning rate that was searched", f"columns={{'optim.lr': '{theirs}'}}"),
        "epoch": ("length of the training", f"columns={{'{EPOCHS_FIELD}': '{theirs}'}}"),
        "step": ("an axis of its own", f"sweep=['{theirs}']"),
        "seed": ("number of runs behind a mean", f"columns={{'{COUNT_COLUMN}': '{theirs}'}}"),
        EPOCHS_FIELD: ("epoch of an evaluation", f"columns={{'epoch': '{theirs}'}}"),
    }
    if not ours:
        return _untaken_alternative(theirs)
    if ours in fixed:
        return Alternative(*fixed[ours])
    if ours in SPARSITY_COLUMNS:
        is_kept = unit.startswith("density")
        meaning = "share of the weights that are pruned" if is_kept else "share that is left"
        other = unit.replace("density", "pruned") if is_kept else _KEPT_UNITS.get(unit, "density")
        return Alternative(meaning, f"units={{'{ours}': '{other}'}}")
    if "." in ours:
        return Alternative("axis that was crossed on purpose", f"sweep=['{theirs}']")
    if ours in RESULT_COLUMNS:
        for start, (other, split) in _OTHER_SPLITS.items():
            if ours.startswith(start):
                name = f"{other}{ours.removeprefix(start)}"
                return Alternative(f"the same on the {split}", f"columns={{'{name}': '{theirs}'}}")
    return Alternative()


def _untaken_alternative(theirs: str) -> Alternative:
    """What a column that was not taken may be."""
    for names, (meaning, ours) in _COMMON_NAMES.items():
        if theirs.lower() in names:
            return Alternative(meaning, f"columns={{'{ours}': '{theirs}'}}")
    return Alternative("part of the recipe", f"search=['{theirs}'] or sweep=['{theirs}']")
