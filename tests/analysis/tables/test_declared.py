from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.tables import declared
from analysis.tables.declared import configurations, narrow_dtype
from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.spec import TrialSpec

TEACHER = {"optim": {"lr": 0.05}, "schedule": {"epochs": 6.0}}


def one_by_one(specs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The same, every declaration read by itself."""
    rows = [TrialSpec.model_validate(spec).columns() for spec in specs]
    frame = pd.DataFrame(
        [{name: value for name, value in row.items() if name != "seed"} for row in rows]
    )
    return frame.assign(**{name: narrow_dtype(frame[name]) for name in frame})


def variants(base: TrialSpec) -> Iterator[dict[str, Any]]:
    """The declaration, and it with each number changed by itself to a few others."""
    yield base.given()
    for path, value in base.columns().items():
        if type(value) in (int, float) and path not in ("seed", "sparsity.target"):
            for other in (
                (value + 1, value + 2)
                if isinstance(value, int)
                else (value / 2, value / 3, 0.4, 0.3)
            ):
                spec = base.with_values({path: other})
                if not spec.problems():
                    yield spec.given()


@pytest.mark.parametrize("method", METHODS)
def test_columns_are_those_of_each_declaration_read_by_itself(method: str) -> None:
    task = {"task": {"kind": "text"}} if method == "transfer" else {}
    base = TrialSpec().with_values(
        {**task, "sparsity.method": method, "sparsity.target": 0 if method == "dense" else 0.9}
    )
    specs = list(variants(base))
    assert len(specs) > 20
    pd.testing.assert_frame_equal(configurations(specs), one_by_one(specs), check_exact=True)


def test_numbers_that_decide_and_those_that_are_not_columns_as_they_stand() -> None:
    specs: list[dict[str, Any]] = [
        {"schedule": {"epochs": 8}},  # an integer where the column is real
        {"schedule": {"epochs": 9}, "seed": 3},
        {"schedule": {"epochs": 8.5}},
        {"sparsity": {"method": "gmp", "target": 0.9}},
        {"sparsity": {"method": "gmp", "target": 0.0}},  # dense
        {"sparsity": {"method": "gmp", "target": 0.8, "ramp": {"start": 0.1}}},
        {"sparsity": {"method": "gmp", "target": 0.8, "ramp": {"start": "1 epochs"}}},
        {"distill": {"hardness": 0.5, "temperature": 2.0, "teacher": TEACHER}},
        {
            "distill": {
                "hardness": 0.5,
                "temperature": 2.0,
                "teacher": {**TEACHER, "optim": {"lr": 0.06}},
            }
        },
        {"distill": {"hardness": 0.25, "temperature": 4.0, "teacher": TEACHER}},
        {"distill": {"hardness": 0.0, "temperature": 4.0, "teacher": TEACHER}},
    ]
    found = configurations(specs)
    pd.testing.assert_frame_equal(found, one_by_one(specs), check_exact=True)
    assert found["schedule.epochs"].tolist()[:3] == [8, 9, 8.5]
    assert found["distill.teacher"].nunique() == 2


def test_declarations_that_differ_in_numbers_alone_are_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = []
    columns = declared._columns

    def counted(spec: Mapping[str, Any]) -> dict[str, Any]:
        read.append(spec)
        return columns(spec)

    monkeypatch.setattr(declared, "_columns", counted)
    rates = np.random.default_rng(0).random(500)
    frame = configurations({"optim": {"lr": lr}, "seed": k} for k, lr in enumerate(rates.tolist()))
    assert frame["optim.lr"].tolist() == rates.tolist()
    assert len(read) <= 2
