"""Checks of columns that seem to hold something else than their names say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from ...catalogue import write
from ...measure import Measure
from ..digits import decimals
from ..evidence import Evidence, has_value, require_columns
from ..finding import Finding, format_count

COMPLEMENT_TOLERANCE = 0.005
"""Distance from 1 - the sparsity asked for within which a sparsity counts as that."""
CENTRE = 0.05
"""Distance from a half within which a sparsity and its complement are too close to tell apart."""
MIN_RUNS = 3
"""Runs from which on a relation between two columns is no chance."""
MIN_SHARE = 0.8
"""Share of the runs that must show it."""
MAX_ASKED_DECIMALS = 3
"""Decimals of a sparsity that somebody asked for: 0.9, 0.98, 0.995."""
MIN_REACHED_DECIMALS = 5
"""Decimals of a sparsity that was counted."""
MIN_SPARSITIES = 4
"""Sparsities that show a direction."""
COMPARED_QUANTITIES = (("accuracy", "score"), ("error",), ("loss",), ("entropy",))
"""Quantities that may be one: a score is often an accuracy."""
SWAPPED_SPLITS = ("val", "test")


def complementary_sparsities(evidence: Evidence) -> Iterator[Finding]:
    """Find arms whose sparsity reached is 1 - the one asked for, as a density would be."""
    rows = require_columns(evidence.own_trials, "status", "sparsity")
    rows = rows[has_value(rows["status"], "COMPLETE") & rows["sparsity"].notna()]
    rows = rows.drop_duplicates("trial_id")
    asked = rows["sparsity.target"].astype("float64")
    reached = rows["sparsity"].astype("float64")
    rows = rows.assign(is_complement=(reached - (1 - asked)).abs() < COMPLEMENT_TOLERANCE)
    # A dense network has no complement that is a sparsity.
    judged = rows[(asked > 0) & ((asked - 0.5).abs() > CENTRE)]
    if judged["is_complement"].sum() < 2:
        return
    for arm, own in judged.groupby("arm", sort=False):
        found = own[own["is_complement"]]
        if found.empty or len(found) < MIN_SHARE * len(own):
            continue
        first = found.iloc[0]
        said = write(
            "found_complement",
            runs=format_count(len(found), "run"),
            asked=f"{100 * first['sparsity.target']:.4g}",
            reached=f"{100 * first['sparsity']:.4g}",
        )
        yield Finding(str(arm), list(found["cell"]), [said])


def shared_splits(evidence: Evidence) -> Iterator[Finding]:
    """Find measures of validation and test that are one column, or equal in every run."""
    cells = list(evidence.cells["cell"])
    sources: tuple[tuple[str, str], ...] = getattr(evidence.results, "sources", ())
    shared: set[str] = set()
    for validation, column in sources:
        for test, other in sources:
            is_pair = validation.startswith("val_") and test.startswith("test_")
            if is_pair and column == other:
                shared |= {validation, test}
                found = write("found_one_column", column=column, **_phrases(validation, test))
                yield Finding("", cells, [found])
    rows = evidence.trials
    for quantities in COMPARED_QUANTITIES:
        for validation, test in _pairs_of_splits(quantities):
            if not {validation, test} & shared and _are_equal(rows, validation, test):
                shared |= {validation, test}
                both = int(rows[[validation, test]].notna().all(axis=1).sum())
                runs = format_count(both, "run")
                found = write("found_equal_splits", runs=runs, **_phrases(validation, test))
                yield Finding("", cells, [found])


def _pairs_of_splits(quantities: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A validation and a test column of each two of the quantities, equal ones first."""
    pairs = sorted(itertools.product(quantities, repeat=2), key=lambda pair: pair[0] != pair[1])
    yield from ((f"val_{first}", f"test_{second}") for first, second in pairs)


def _phrases(validation: str, test: str) -> dict[str, str]:
    """Names in words of two columns."""
    return {
        "validation": Measure.by_name(validation).phrase,
        "test": Measure.by_name(test).phrase,
    }


def _are_equal(rows: pd.DataFrame, first: str, second: str) -> bool:
    """True if two columns agree in every run that has both, of which there are several values."""
    if first not in rows or second not in rows:
        return False
    both = rows[[first, second]].astype("float64").dropna()
    is_varied = both[first].nunique() >= MIN_RUNS
    return is_varied and bool((both[first] == both[second]).all())


def swapped_columns(evidence: Evidence) -> Iterator[Finding]:
    """Find pairs of columns that look swapped: accuracy and loss, sparsity asked and reached."""
    for split in SWAPPED_SPLITS:
        accuracy = f"{split}_accuracy"
        loss = f"{split}_loss"
        if _falls_while_learning(evidence.history, accuracy, loss) or _rises_with_sparsity(
            evidence, accuracy, loss
        ):
            found = write(
                "found_swapped",
                first=Measure.by_name(accuracy).phrase,
                second=Measure.by_name(loss).phrase,
            )
            yield Finding("", list(evidence.cells["cell"]), [found])
    rows = evidence.trials
    if _asked_is_finer(rows):
        yield Finding("", list(evidence.cells["cell"]), [write("found_swapped_sparsity")])


def _falls_while_learning(history: pd.DataFrame, accuracy: str, loss: str) -> bool:
    """True if in most runs the accuracy ends lower and the loss higher than both began."""
    if accuracy not in history or loss not in history:
        return False
    both = history[["trial_id", accuracy, loss]].dropna()
    groups = both.groupby("trial_id")[[accuracy, loss]]
    change = (groups.last() - groups.first())[groups.size() >= MIN_RUNS]
    is_worse = (change[accuracy] < 0) & (change[loss] > 0)
    return len(change) >= 2 and bool(is_worse.mean() >= MIN_SHARE)


def _rises_with_sparsity(evidence: Evidence, accuracy: str, loss: str) -> bool:
    """True if, over all sparsities of a table, accuracy always rises and loss always falls."""
    rows = evidence.trials
    if evidence.results.design.measured or accuracy not in rows or loss not in rows:
        return False
    both = rows[["sparsity.target", accuracy, loss]].astype("float64").dropna()
    means = both.groupby("sparsity.target").mean()
    steps = means.diff().dropna()
    is_long = len(means) >= MIN_SPARSITIES
    return is_long and bool((steps[accuracy] > 0).all() and (steps[loss] < 0).all())


def _asked_is_finer(rows: pd.DataFrame) -> bool:
    """True if the sparsities asked for have the decimals of counted ones, and those reached not."""
    if "sparsity" not in rows or "sparsity.target" not in rows:
        return False
    both = rows[["sparsity.target", "sparsity"]].astype("float64").dropna()
    both = both[both["sparsity.target"] > 0]
    if len(both) < MIN_RUNS:
        return False
    is_fine = _decimals(both["sparsity.target"]) >= MIN_REACHED_DECIMALS
    is_round = _decimals(both["sparsity"]) <= MAX_ASKED_DECIMALS
    return bool((is_fine & is_round).mean() >= MIN_SHARE)


def _decimals(values: pd.Series[Any]) -> pd.Series[Any]:
    # Few sparsities of a long column are different ones.
    known = {value: decimals(value) for value in values.unique()}
    return values.map(known)
