"""Checks of values that no training gives: those of chance, copies of other runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from ...catalogue import write
from ...catalogue.template import Sentence
from ...estimates.learning import compared_trials
from ...measure import Measure
from ..evidence import Evidence, has_value, require_columns
from ..finding import Finding, MissingEvidenceError, format_count
from ..seeds import SEED_LOSS_COLUMNS
from .digits import ROUNDING_TOLERANCE, significant_digits

CLASS_COUNTS = (
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    10,
    14,
    20,
    37,
    47,
    62,
    100,
    101,
    102,
    120,
    196,
    200,
    365,
    1000,
)
"""Numbers of classes of usual data sets."""
FEW_CLASSES = 10
"""Classes below which a share of one is met by a weak network too, such as 25 % or 50 %."""
LOSS_TOLERANCE = 0.002
"""Distance of a loss from ln(classes), as a part of it."""
CHANCE_MARGIN = 1.5
"""Accuracy up to which a network is at chance, in shares of one class."""
SHARED_DIGITS = 2
"""First digits of a measure that runs of one table share anyway."""
COINCIDENCE_DIGITS = 2
"""Digits beyond those of the number of pairs: one table in a hundred has such a pair by chance."""
MEASURES = tuple(
    f"{split}_{quantity}"
    for split in ("test", "val", "train")
    for quantity in ("accuracy", "score", "error", "loss", "entropy")
)


def chance_values(evidence: Evidence) -> Iterator[Finding]:
    """Find networks whose numbers are those of chance, where no record says what they learned."""
    rows = compared_trials(evidence.results)
    rows = rows[rows["cell"].isin(evidence.cells["cell"])]
    if "learned_nothing" in rows:
        # Networks that were judged by their answers have a check of their own.
        rows = rows[rows["learned_nothing"].isna()]
    if len(rows) and not any(name in rows and rows[name].notna().any() for name in MEASURES):
        raise MissingEvidenceError(["an accuracy or a loss"])
    arms = evidence.cells.set_index("cell")["arm"]
    for cell, own in rows.groupby("cell", sort=False):
        said = _chance_sentence(own, evidence.name_cells([cell]))
        if said is not None:
            yield Finding(str(arms[cell]), [str(cell)], [said])
    for name in MEASURES:
        values = rows[name].astype("float64").dropna() if name in rows else pd.Series(dtype=float)
        if len(values) > 1 and (values == 0).all():
            measure = Measure.by_name(name).phrase
            found = write("found_zero", measure=measure, runs=format_count(len(values), "run"))
            yield Finding("", list(dict.fromkeys(rows["cell"])), [found])


def _chance_sentence(rows: pd.DataFrame, network: str) -> Sentence | None:
    """What shows that networks of one cell are at chance; None where nothing does."""
    count = format_count(len(rows), "run")
    for split in ("test", "val"):
        accuracy = _values(rows, f"{split}_accuracy")
        for classes in CLASS_COUNTS:
            is_share = (accuracy - 1 / classes).abs() < ROUNDING_TOLERANCE
            # One run with a quarter or a half right is none to wonder at.
            is_enough = classes >= FEW_CLASSES or len(rows) > 1
            if len(accuracy) and is_share.all() and is_enough:
                share = f"{100 / classes:.4g}"
                return write(
                    "found_share", network=network, runs=count, share=share, classes=classes
                )
        loss = _values(rows, f"{split}_loss")
        for classes in CLASS_COUNTS:
            is_chance = (loss / math.log(classes) - 1).abs() < LOSS_TOLERANCE
            is_weak = bool((accuracy < CHANCE_MARGIN / classes).all())
            # Without accuracies one loss near ln 2 means nothing.
            is_known = len(accuracy) > 0 or len(loss) > 1
            if len(loss) and is_chance.all() and is_weak and is_known:
                chance = f"{math.log(classes):.4f}"
                return write(
                    "found_chance_loss",
                    network=network,
                    runs=count,
                    loss=chance,
                    classes=classes,
                )
    return None


def _values(rows: pd.DataFrame, name: str) -> pd.Series[Any]:
    return rows[name].astype("float64").dropna() if name in rows else pd.Series(dtype="float64")


def equal_runs(evidence: Evidence) -> Iterator[Finding]:
    """Find runs with the same numbers in all measures, as copied rows have.

    A dense run may stand in several arms.
    """
    rows = evidence.own_trials
    require_columns(rows, "status", "|".join(MEASURES))
    rows = rows[has_value(rows["status"], "COMPLETE")].drop_duplicates("trial_id")
    names = [name for name in MEASURES if name in rows and rows[name].notna().any()]
    pairs = max(1, len(rows) * (len(rows) - 1) // 2)
    rows = rows[rows.duplicated(names, keep=False)]
    values = rows[names].astype("float64")
    digits = values.map(significant_digits, na_action="ignore").fillna(0) - SHARED_DIGITS
    rows = rows[digits.clip(lower=0).sum(axis=1) >= math.log10(pairs) + COINCIDENCE_DIGITS]
    group = rows.groupby(names, dropna=False, sort=False)
    is_sparse = group["sparsity.target"].transform("max") > 0
    # Where losses were measured, `seeds.dependent_seeds` names equal runs of one configuration.
    has_losses = any(name in SEED_LOSS_COLUMNS for name in names)
    is_one_recipe = group["config_id"].transform("nunique") == 1
    suspects = rows[is_sparse & ~(is_one_recipe & has_losses)]
    for arm, own in suspects.groupby("arm", sort=False):
        found = write(
            "found_copies",
            runs=format_count(len(own), "run"),
            networks=evidence.name_cells(own["cell"]),
        )
        yield Finding(str(arm), list(own["cell"]), [found])
