"""Sound tables say what they were made with, whatever form people give them."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from tests.analysis.tables.fuzz.clean import CLEAN, Given
from tests.analysis.tables.fuzz.fuzz import CLEAN_NAME, COLUMNS, is_true
from tests.analysis.tables.fuzz.numbers import read
from tests.analysis.tables.fuzz.operations import COUNTED, TUNING, Operation
from tests.repository.test_checkout import ROOT

OPERATIONS = (*TUNING, *COUNTED)
RECORD = ROOT / "studies/records/robustness/tables.csv"


def sound(kind: int, seed: int = 0) -> Given:
    return CLEAN[kind](np.random.default_rng([seed, kind]))


@pytest.mark.parametrize("kind", range(len(CLEAN)), ids=[maker.__name__ for maker in CLEAN])
def test_a_sound_table_says_what_it_was_made_with(kind: int) -> None:
    given = sound(kind)
    said = read(given)
    assert not said.refused
    assert is_true(given, said)
    assert said.findings == given.findings


def fitting(operation: Operation) -> list[int]:
    """Kinds of tables that an operation fits."""
    rng = np.random.default_rng(0)
    return [kind for kind in range(len(CLEAN)) if operation.change(sound(kind), rng) is not None]


KEEPING = [operation for operation in OPERATIONS if operation.keeps]
LOSING = [operation for operation in OPERATIONS if not operation.keeps]


@pytest.mark.parametrize("operation", KEEPING, ids=[operation.name for operation in KEEPING])
def test_a_form_that_keeps_the_information_says_the_same(operation: Operation) -> None:
    kinds = fitting(operation)
    # One kind for each operation, another for the next: all of them are a run by hand.
    kind = kinds[OPERATIONS.index(operation) % len(kinds)]
    given = sound(kind, seed=1)
    changed = operation.change(given, np.random.default_rng(1))
    assert changed is not None
    assert read(changed) == read(given)


@pytest.mark.parametrize("operation", LOSING, ids=[operation.name for operation in LOSING])
def test_what_loses_information_changes_a_table(operation: Operation) -> None:
    kinds = fitting(operation)
    assert kinds
    changed = operation.change(sound(kinds[0]), np.random.default_rng(1))
    assert changed is not None and not changed.frame.equals(sound(kinds[0]).frame)


def test_operations_that_were_tuned_on_are_not_counted() -> None:
    assert not {one.change for one in TUNING} & {one.change for one in COUNTED}


def test_the_record_holds_every_operation_that_is_counted() -> None:
    with RECORD.open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["operation"] for row in rows] == [CLEAN_NAME, *(one.name for one in COUNTED)]
    assert sum(int(row["tables"]) for row in rows) >= 5000
    keeping = [row for row in rows if row["keeps"] == "yes"]
    assert sum(int(row["changed"]) for row in keeping) == 0
    page = (ROOT / "docs/foreign.md").read_text()
    for row in rows:
        cells = (row["operation"], row["tables"], row["refused"], row["found"], row["changed"])
        assert f"| {' | '.join(cells)} |" in page, row["operation"]
