"""Malformed tables give a clear error or valid results, and no wrong value is ever read."""

from __future__ import annotations

import datetime
import warnings
from collections import Counter
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.curves.curve import sparsity_curve
from analysis.tables.foreign import TableResults, load_table
from sparsetune.errors import SparsetuneError
from sparsetune.spec.columns import HISTORY_COLUMNS, TRIAL_COLUMNS

NAMES = [
    "val_error",
    "test_accuracy",
    "sparsity",
    "sparsity.target",
    "seed",
    "epoch",
    "step",
    "trial_id",
    "arm",
    "status",
]
NAMES += [
    "optim.lr",
    "optim.nesterov",
    "sparsity.ramp.start",
    "schedule.epochs",
    "role",
    "val_loss",
    "optim.name",
    "x",
]
FRACTIONS = st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.98])
WILD: st.SearchStrategy[Any] = st.one_of(
    st.floats(),
    st.integers(),
    st.booleans(),
    st.none(),
    st.text(max_size=8),
    st.sampled_from(
        [
            "93%",
            "93.1 ± 0.2",
            " 1e-3 ",
            "0.93",
            "nan",
            "inf",
            "-",
            "1,5",
            "2 epochs",
            "COMPLETE",
            "crashed",
            "report",
            "\0",
        ]
    ),
    st.sampled_from(
        [
            10**400,
            10**5000,
            -(2**63),
            2**64,
            2**53 + 1,
            1e308,
            b"0.9",
            1j,
            [1],
            {"a": 1},
            (),
            Decimal("0.9"),
        ]
    ),
    st.sampled_from(
        [
            datetime.datetime(2026, 1, 1),
            pd.Timedelta(1),
            pd.NaT,
            pd.NA,
            np.float32(0.5),
            np.bool_(True),
        ]
    ),
    st.just("x" * 1_000_000),
    st.just(float("nan")),
)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "val_error": FRACTIONS,
    "test_accuracy": FRACTIONS,
    "sparsity": FRACTIONS,
    "sparsity.target": FRACTIONS,
    "seed": st.integers(0, 2),
    "epoch": st.integers(1, 4),
    "step": st.integers(1, 4),
    "trial_id": st.sampled_from("abcdef"),
    "arm": st.sampled_from(["gmp", "dense"]),
    "status": st.sampled_from(["COMPLETE", "FAIL", "finished"]),
    "optim.lr": st.floats(1e-4, 1),
    "optim.nesterov": st.booleans(),
    "sparsity.ramp.start": st.floats(0, 1),
    "schedule.epochs": st.integers(1, 4),
    "role": st.sampled_from(["search", "report"]),
    "val_loss": st.floats(0, 3),
    "optim.name": st.sampled_from(["sgd", "adamw"]),
    "x": st.integers(),
}
DTYPES = [
    "object",
    "float64",
    "float32",
    "str",
    "string",
    "category",
    "Int64",
    "boolean",
    "datetime64[ns]",
    "complex128",
]
UNITS = st.sampled_from(["percent", "fraction", "density", "compression_ratio", "parsecs"])
COUNTS: Counter[str] = Counter()


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Good columns, one or two of them spoiled in some cells, the dtype, the unit or the name."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=0, max_size=6, unique=True))
    if draw(st.integers(0, 9)):
        names = list(
            dict.fromkeys(
                ["val_error", draw(st.sampled_from(["sparsity", "sparsity.target"])), *names]
            )
        )
    rows = draw(st.sampled_from([1, 2, 3, 6, 12, 0]))
    columns = [
        pd.Series(draw(st.lists(GOOD[n], min_size=rows, max_size=rows)), dtype="object")
        for n in names
    ]
    for _ in range(draw(st.sampled_from([0, 1, 1, 2])) if names and rows else 0):
        which = draw(st.integers(0, len(names) - 1))
        how = draw(
            st.sampled_from(["cell", "cell", "column", "dtype", "percent", "name", "missing"])
        )
        if how == "name":
            names[which] = draw(st.sampled_from(NAMES))
        columns[which] = _spoiled(draw, columns[which], how)
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(rows))
    return frame.set_axis(names, axis=1)


def _spoiled(draw: st.DrawFn, column: pd.Series[Any], how: str) -> pd.Series[Any]:
    values = list(column)
    match how:
        case "cell" | "column":
            places = (
                [draw(st.integers(0, len(values) - 1))] if how == "cell" else range(len(values))
            )
            for place in places:
                values[place] = draw(WILD)
            return pd.Series(values, dtype="object")
        case "percent":
            return pd.Series(
                [v * 100 if isinstance(v, float) else v for v in values], dtype="object"
            )
        case "missing":
            return column.mask(column.index == draw(st.integers(0, len(values) - 1)))
        case "dtype":
            return _cast(column, draw(st.sampled_from(DTYPES)))
    return column


def _cast(column: pd.Series[Any], dtype: str) -> pd.Series[Any]:
    try:
        return column.astype(dtype)
    except Exception:
        return column.infer_objects()


def is_sound(results: TableResults) -> None:
    """Columns, dtypes, keys and ranges that every analysis relies on."""
    trials = results.trials()
    history = results.history()
    cells = results.cells()
    uses = results.uses()
    for frame, columns in ((trials, TRIAL_COLUMNS), (history, HISTORY_COLUMNS)):
        assert list(frame.columns[: len(columns)]) == [c.name for c in columns]
        assert [str(frame[c.name].dtype) for c in columns] == [c.dtype for c in columns]
    assert trials["trial_id"].is_unique and len(trials) and cells["cell"].is_unique
    assert not history.duplicated(["trial_id", "step", "epoch", "progress"]).any() and set(
        history["trial_id"]
    ) == set(trials["trial_id"])
    assert trials["sparsity.target"].between(0, 1, inclusive="left").all()
    for column in ("test_accuracy", "val_accuracy", "sparsity"):
        assert trials[column].dropna().between(0, 1).all()
    assert set(uses["cell"]) <= set(cells["cell"]) and set(uses["trial_id"]) <= set(
        trials["trial_id"]
    )
    assert not uses[uses["role"] == "report"].duplicated(["cell", "seed"]).any()
    sparsity_curve(results, "val_error").frame()


def attempt(source: Any, **arguments: Any) -> str:
    """How reading ended, counted; raises where an exception is not for users."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            results = load_table(source, **arguments)
        except SparsetuneError as error:
            assert len(str(error)) < 20_000 and str(error)
            COUNTS["refused"] += 1
            return "refused"
        try:
            is_sound(results)
        except SparsetuneError:
            COUNTS["read, no curve"] += 1
            return "read"
    COUNTS["read"] += 1
    return "read"


def fuzzed(examples: int) -> Any:
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    return settings(
        max_examples=examples, deadline=None, suppress_health_check=quiet, derandomize=True
    )


ARGUMENTS = {
    "columns": st.just(None)
    | st.dictionaries(st.sampled_from(NAMES), st.sampled_from(NAMES), max_size=3),
    "units": st.none() | st.dictionaries(st.sampled_from(NAMES), UNITS, max_size=2),
    "select": st.sampled_from([None, None, "best", "all", "test", "some"]),
    "sweep": st.sampled_from([(), ("optim.lr",), ("optim.name", "x")]),
    "search": st.lists(st.sampled_from(NAMES), max_size=2),
    "label": st.lists(st.sampled_from(NAMES), max_size=1),
    "ignore": st.lists(st.sampled_from([*NAMES, "x"]), max_size=2),
    "totals": st.sampled_from([None, {"epochs": 4, "steps": 100}, {"epochs": 0}, {"hours": 1}]),
    "spread": st.sampled_from([None, "sd", "se", "ci"]),
    "runs_per_mean": st.sampled_from([None, None, 3, 0]),
    "tolerance": st.sampled_from([None, 0.01, 2]),
}


@fuzzed(150)
@given(table=tables(), arguments=st.fixed_dictionaries({}, optional=ARGUMENTS))
def test_a_spoiled_frame_is_read_or_refused(table: pd.DataFrame, arguments: dict[str, Any]) -> None:
    attempt(table, **arguments)


@pytest.mark.slow
@settings(fuzzed(2000), derandomize=False)
@given(table=tables(), arguments=st.fixed_dictionaries({}, optional=ARGUMENTS))
def test_a_spoiled_frame_is_read_or_refused_many(
    table: pd.DataFrame, arguments: dict[str, Any]
) -> None:
    attempt(table, **arguments)


@fuzzed(100)
@given(
    data=st.binary(max_size=200)
    | st.text(alphabet="sparsity,val_error\n\r\t;\"'0.9%5 \0", max_size=200).map(str.encode)
)
def test_spoiled_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_bytes(data)
    attempt(path)


@pytest.fixture(scope="module", autouse=True)
def counted() -> Any:
    yield
    print("\nmalformed tables:", dict(COUNTS))
