"""CSV files: no text in them is a formula, every text comes back, no number changes."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.tables.csv import csv_bytes, csv_text
from analysis.tables.readers import read_path

TEXTS = ["=1+1", "+a", "-a", "@SUM(A1)", "\ta", "\ra", "'=a", "''@", "plain", "'plain", "a=b", ""]


@pytest.mark.parametrize("write", [csv_text, lambda frame: csv_bytes(frame).decode()])
@pytest.mark.parametrize("dtype", ["object", "string", "category"])
def test_a_text_that_would_run_gets_an_apostrophe_and_a_number_none(
    write: Callable[[pd.DataFrame], str], dtype: str
) -> None:
    frame = pd.DataFrame(
        {"=name": pd.Series(TEXTS, dtype=dtype), "n": [-float(n) for n in range(len(TEXTS))]}
    )
    read = pd.read_csv(io.StringIO(write(frame)), dtype=str, keep_default_na=False)
    assert list(read.columns) == ["'=name", "n"]
    texts = dict(zip(TEXTS, read["'=name"], strict=True))
    ran = TEXTS[:8]
    assert {text: f"'{text}" for text in ran} | {text: text for text in TEXTS[8:]} == texts
    assert read["n"].astype(float).tolist() == frame["n"].tolist()
    assert read["n"][1].startswith("-1")
    assert list(frame.columns) == ["=name", "n"] and list(frame["=name"]) == TEXTS


def test_numbers_written_as_text_stay_in_a_mixed_column() -> None:
    frame = pd.DataFrame({"mixed": ["-0.5", -0.5, "+3", "-x", None]})
    assert csv_text(frame).splitlines() == ["mixed", "-0.5", "-0.5", "+3", "'-x", '""']


@given(st.lists(st.text("=+-@\t'ab1.", min_size=1, max_size=5), min_size=1, max_size=4))
def test_every_text_comes_back(texts: list[str]) -> None:
    frame = pd.DataFrame({"name": [f"{text}|" for text in texts], "n": range(len(texts))})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_text(csv_text(frame))
        table = read_path(path).frame
    assert table["name"].tolist() == frame["name"].tolist()
