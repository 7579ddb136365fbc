"""Check that the networks that are compared have learned something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from ..estimates.learning import COMPARED_ROLES, compared_trials
from ..tables.design import EPOCH_MULTIPLIER_FIELD, EPOCHS_FIELD, TARGET_FIELD
from ..wording import field_heading, format_exact, format_sparsity
from .evidence import Evidence, has_value
from .finding import Finding, MissingEvidenceError, Severity

ARM_NAMES = {"gmp": "GMP", "acdc": "AC/DC", "set": "SET", "rigl": "RigL", "granet": "GraNet"}
"""Names of methods in words, by the usual names of their arms."""


def cells_that_learned_nothing(evidence: Evidence) -> Iterator[Finding]:
    """Find cells whose networks give every test example one answer, twins among them."""
    parts = [compared_trials(evidence.results, role).assign(role=role) for role in COMPARED_ROLES]
    rows = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    rows = rows[rows["cell"].isin(evidence.cells["cell"])].drop_duplicates(["cell", "trial_id"])
    if len(rows) and ("learned_nothing" not in rows or rows["learned_nothing"].isna().all()):
        raise MissingEvidenceError(["`learned_nothing`, which newer versions record"])
    for cell in evidence.cells.to_dict("records"):
        own = rows[rows["cell"] == cell["cell"]]
        name = _cell_words(evidence, pd.Series(cell))
        is_twin = own["role"].eq("twin")
        for networks, words in ((own[~is_twin], "network"), (own[is_twin], "dense twin")):
            found = networks[has_value(networks["learned_nothing"], True)]
            if len(found):
                every = found.groupby("role").size().eq(networks.groupby("role").size()).any()
                severity: Severity = "error" if every else "warning"
                got = f"{name}: {_count_words(len(found), len(networks), words)}"
                yield Finding(str(cell["arm"]), [str(cell["cell"])], got + _answer(found), severity)


def _cell_words(evidence: Evidence, cell: pd.Series[Any]) -> str:
    """Name of a cell in words: ``GMP at 97 %, 2x training``."""
    arm = str(cell["arm"])
    words = ARM_NAMES.get(arm, arm)
    if cell[TARGET_FIELD]:
        words += f" at {format_sparsity(cell[TARGET_FIELD])} %"
    for path in evidence.results.design.sweep:
        value = cell.get(path)
        if path == TARGET_FIELD or pd.isna(value):
            continue
        if path == EPOCH_MULTIPLIER_FIELD:
            words += f", {format_exact(value)}x training"
        elif path == EPOCHS_FIELD:
            words += f", {format_exact(value)} epochs"
        else:
            words += f", {field_heading(path).lower()} {format_exact(value)}"
    return words


def _count_words(found: int, total: int, words: str) -> str:
    if total == 1:
        return f"the only {words}"
    if found == total:
        return f"all {total} {words}s"
    return f"{found} of {total} {words}s"


def _answer(found: pd.DataFrame) -> str:
    """What such networks answer: of a classification, how often that is right."""
    one = len(found) == 1
    accuracy = found["test_accuracy"].astype("float64").dropna()
    if accuracy.empty:
        return f" predict{'s' if one else ''} no better than one constant number"
    low, high = (f"{100 * value:.2f}" for value in (accuracy.min(), accuracy.max()))
    share = low if low == high else f"{low} to {high}"
    verb = "answers" if one else "answer"
    return f" {verb} the same class for every test example, which is right for {share} % of them"
