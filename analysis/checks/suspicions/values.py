"""Checks of values that no training gives: those of chance, copies of other runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from ...catalogue import write
from ...estimates.learning import compared_trials
from ...estimates.means import MEASURE_COLUMNS
from ...measure import SPLITS, Measure
from ..digits import ROUNDING_TOLERANCE, significant_digits
from ..evidence import Evidence, has_value, require_columns
from ..finding import Finding, MissingEvidenceError, format_count
from ..seeds import SEED_LOSS_COLUMNS

CLASS_COUNTS = (*range(2, 9), 10, 14, 20, 37, 47, 62, 100, 101, 102, 120, 196, 200, 365, 1000)
"""Numbers of classes of usual data sets."""
MANY_CLASSES = 10
"""Classes from which on hardly any other network has the share of one: 10 %, but not 50 %."""
NEAR_TOLERANCE = 0.02
"""Distance of an accuracy from the share of one class, as a part of it."""
LOSS_TOLERANCE = 0.002
"""Distance of a loss from ln(classes), as a part of it."""
LONE_LOSS_TOLERANCE = 0.0005
"""The same where no accuracy says that the network is weak: any loss is near some ln(classes)."""
CHANCE_MARGIN = 1.5
"""Accuracy up to which a network is at chance, in shares of one class."""
SHARED_DIGITS = 2
"""First digits of a measure that runs of one table share anyway."""
COINCIDENCE_DIGITS = 2
"""Digits beyond those of the number of pairs: one table in a hundred has such a pair by chance."""
MEASURES = tuple(
    name
    for name in MEASURE_COLUMNS
    if name.startswith(tuple(SPLITS)) and name.endswith(("accuracy", "score", "error", "loss"))
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
    worst = {f"{split}_loss": _worst_loss(rows, split) for split in ("test", "val")}
    for cell, own in rows.groupby("cell", sort=False):
        network = evidence.name_cells([cell])
        finding = _chance_finding(own, str(arms[cell]), str(cell), network, worst)
        if finding is not None:
            yield finding
    for name in MEASURES:
        values = rows[name].astype("float64").dropna() if name in rows else pd.Series(dtype=float)
        if len(values) > 1 and (values == 0).all():
            measure = Measure.by_name(name).phrase
            found = write("found_zero", measure=measure, runs=format_count(len(values), "run"))
            yield Finding("", list(dict.fromkeys(rows["cell"])), [found])


def _worst_loss(rows: pd.DataFrame, split: str) -> float:
    """Largest mean loss of a cell; a network at chance is hardly ever exceeded."""
    losses = _values(rows, f"{split}_loss")
    return float(losses.groupby(rows["cell"]).mean().max()) if len(losses) else math.inf


def _chance_finding(
    rows: pd.DataFrame, arm: str, cell: str, network: str, worst: Mapping[str, float]
) -> Finding | None:
    """What shows that networks of one cell are at chance; None where nothing does.

    Args:
        rows: Runs of the cell.
        arm: Its arm.
        cell: Its name.
        network: Its name in sentences.
        worst: Largest mean loss of all cells, by the loss.
    """
    for split in ("test", "val"):
        accuracies = _accuracies(rows, split)
        losses = _values(rows, f"{split}_loss")
        for classes in CLASS_COUNTS:
            known = {
                "network": network,
                "runs": format_count(len(rows), "run"),
                "classes": classes,
            }
            share = f"{100 / classes:.4g}"
            if _is_share(accuracies, classes):
                said = write("found_share", share=share, **known)
                return Finding(arm, [cell], [said])
            if _is_chance_loss(losses, accuracies, classes, worst[f"{split}_loss"]):
                said = write("found_chance_loss", loss=f"{math.log(classes):.4f}", **known)
                return Finding(arm, [cell], [said])
            if _is_near_share(accuracies, classes):
                said = write("found_near_share", share=share, **known)
                return Finding(arm, [cell], [said], "warning")
    return None


def _accuracies(rows: pd.DataFrame, split: str) -> pd.Series[Any]:
    """Accuracies of a split, or what stands for them: a score, or 1 - an error."""
    for name in (f"{split}_accuracy", f"{split}_score"):
        values = _values(rows, name)
        if len(values):
            return values
    return 1 - _values(rows, f"{split}_error")


def _is_share(accuracies: pd.Series[Any], classes: int) -> bool:
    """True if all are exactly the share of one of so many classes."""
    is_equal = (accuracies - 1 / classes).abs() < ROUNDING_TOLERANCE
    # One run with a quarter or a half right is none to wonder at.
    is_enough = len(accuracies) > (1 if classes < MANY_CLASSES else 0)
    return is_enough and bool(is_equal.all())


def _is_near_share(accuracies: pd.Series[Any], classes: int) -> bool:
    """True if all of several are about the share of one of many classes."""
    is_near = (accuracies * classes - 1).abs() <= NEAR_TOLERANCE
    return classes >= MANY_CLASSES and len(accuracies) > 1 and bool(is_near.all())


def _is_chance_loss(
    losses: pd.Series[Any], accuracies: pd.Series[Any], classes: int, worst: float
) -> bool:
    """True if all losses are about that of equal odds for so many classes, and accuracies low.

    Without accuracies, several losses must be very near it, and no other cell's above.
    """
    distances = (losses / math.log(classes) - 1).abs()
    if len(accuracies):
        is_weak = accuracies < CHANCE_MARGIN / classes
        return bool(len(losses) and (distances < LOSS_TOLERANCE).all() and is_weak.all())
    is_exceeded = worst > math.log(classes) * (1 + LOSS_TOLERANCE)
    is_near = bool((distances < LONE_LOSS_TOLERANCE).all())
    return len(losses) > 1 and is_near and not is_exceeded


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
    copies = rows.groupby(names, dropna=False)["trial_id"].transform("size") - 1
    values = rows[names].astype("float64")
    digits = values.map(significant_digits, na_action="ignore").fillna(0) - SHARED_DIGITS
    surprise = digits.clip(lower=0).sum(axis=1) * copies
    rows = rows[surprise >= math.log10(pairs) + COINCIDENCE_DIGITS]
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
