"""Files of general formats: the same rows in each, and a sentence for each that is none."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import load_table
from analysis.tables.readers.formats import workbook as workbook_reader
from sparsetune.errors import DataError
from tests.analysis.tables.readers.artefacts import RUNS, truncated_zip, workbook

SHOWN = ["sparsity.target", "test_accuracy", "seed"]


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/._runs.csv", "x")
        archive.writestr("runs.csv", RUNS.to_csv(index=False))


def sheet_rows(frame: pd.DataFrame) -> list[list[Any]]:
    return [list(frame.columns), *frame.to_numpy(dtype=object).tolist()]


WRITERS: dict[str, Callable[[Path], Any]] = {
    "CSV file": lambda path: RUNS.to_csv(path, index=False),
    "Parquet file": lambda path: RUNS.to_parquet(path),
    "JSON file": lambda path: RUNS.to_json(path, orient="records"),
    "JSON file ": lambda path: RUNS.to_json(path),
    "JSON file  ": lambda path: RUNS.to_json(path, orient="split"),
    "JSON file   ": lambda path: RUNS.to_json(path, orient="table", index=False),
    "JSON file    ": lambda path: path.write_text(json.dumps(RUNS.to_dict("list"))),
    "JSON file     ": lambda path: path.write_text(json.dumps({"runs": RUNS.to_dict("records")})),
    "JSON file      ": lambda path: path.write_text(
        json.dumps({f"run-{n}": row for n, row in enumerate(RUNS.to_dict("records"))})
    ),
    "file of JSON lines": lambda path: RUNS.to_json(path, orient="records", lines=True),
    "Excel workbook": lambda path: workbook(path, {"runs": sheet_rows(RUNS), "empty": []}),
    "CSV file       ": zipped,
    "CSV file        ": lambda path: path.write_bytes(
        gzip.compress(RUNS.to_csv(index=False).encode())
    ),
}
"""How each format is written; blanks at the end of a name tell its variants apart."""


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_same_runs_whatever_the_files_name(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "runs.txt"
    if kind == "Excel workbook":
        path = tmp_path / "runs.xlsx"
    WRITERS[kind](path)
    before = path.read_bytes()
    results = load_table(path.rename(tmp_path / "runs.txt"))
    expected = RUNS.rename(columns={"sparsity": "sparsity.target"})
    shown = results.trials()[SHOWN].astype("float64")
    pd.testing.assert_frame_equal(shown, expected.astype("float64"))
    assert kind.strip() in results.recognised
    assert f"`runs` is read as {results.recognised}." in results.notes
    assert [each.name for each in tmp_path.iterdir()] == ["runs.txt"]
    assert (tmp_path / "runs.txt").read_bytes() == before


def test_nested_records_have_a_column_for_each_leaf(tmp_path: Path) -> None:
    path = tmp_path / "runs.json"
    row = {"config": {"lr": 0.1, "layers": [1, 2]}, "sparsity": 0.9, "test_accuracy": 0.8}
    path.write_text(json.dumps([row, {**row, "config": {"lr": 0.3}}]))
    results = load_table(path, {"optim.lr": "config.lr"})
    assert results.trials()["optim.lr"].tolist() == [0.1, 0.3]
    assert "`config.layers`" in results.notes[-1] or "config.layers" in results.notes[-1]


def test_a_torn_last_line_is_said_and_another_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    lines = RUNS.to_json(orient="records", lines=True).splitlines()
    path.write_text("\n".join(lines)[:-9])
    results = load_table(path)
    assert len(results.trials()) == 2
    assert "`runs.jsonl` ends within a record, which is left out." in results.notes
    path.write_text("\n".join([lines[0], lines[1][:-9], lines[2]]))
    with pytest.raises(DataError, match="a damage in line 2"):
        load_table(path)


def refusal(path: object) -> str:
    with pytest.raises(DataError) as raised:
        load_table(path)  # type: ignore[arg-type]
    return str(raised.value)


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(RUNS))


def unknown_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (a)")
    connection.commit()
    connection.close()


def two_sheets(path: Path) -> None:
    workbook(path.with_suffix(".xlsx"), {"a": sheet_rows(RUNS), "b": sheet_rows(RUNS)})
    path.with_suffix(".xlsx").rename(path)


def titled(path: Path) -> None:
    workbook(path.with_suffix(".xlsx"), {"a": [["Our runs"], *sheet_rows(RUNS)]})
    path.with_suffix(".xlsx").rename(path)


def formula(path: Path) -> None:
    workbook(path.with_suffix(".xlsx"), {"a": [["sparsity", "test_accuracy"], [0.9, "=1-0.1"]]})
    path.with_suffix(".xlsx").rename(path)


def cut(write: Callable[[Path], Any]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        other = path.with_suffix(".xlsx")
        write(other)
        path.write_bytes(other.read_bytes()[:-40])
        other.unlink()

    return make


def sparse_file(path: Path) -> None:
    with path.open("wb") as file:
        file.write(b"sparsity,val_loss\n")
        file.truncate(3 * 2**30)


def two_members(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "x")


NO_TABLES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "blank": (lambda path: path.write_text(" \n\n"), "is empty"),
    "binary": (lambda path: path.write_bytes(bytes(range(1, 200)) + b"\0"), "a zero byte"),
    "zeros": (lambda path: path.write_bytes(b"\0" * 5000), "a zero byte at 0"),
    "latin": (lambda path: path.write_bytes(b"a,b\n\xe9,1\n"), "must be UTF-8 text"),
    "UTF-16": (lambda path: path.write_text("a,b", encoding="utf-16"), "save it as UTF-8"),
    "pickle": (pickled, "a pickle: it can run code"),
    "numpy": (lambda path: path.write_bytes(b"\x93NUMPY\1\0"), "a NumPy array: convert it"),
    "HTML": (lambda path: path.write_text("<!DOCTYPE html><table>"), "got HTML"),
    "pdf": (lambda path: path.write_bytes(b"%PDF-1.7 x"), "a PDF: write its table as CSV"),
    "old workbook": (lambda path: path.write_bytes(b"\xd0\xcf\x11\xe0\xa1"), "before 2007: save"),
    "cut workbook": (cut(WRITERS["Excel workbook"]), "cannot be read"),
    "cut Parquet": (cut(RUNS.to_parquet), "taken for a Parquet file and cannot be read"),
    "cut gzip": (
        lambda path: path.write_bytes(gzip.compress(os.urandom(900))[:-300]),
        "a damaged or locked gzip file",
    ),
    "two sheets": (two_sheets, "one sheet with rows, got `a`, `b`: give the frame of `pandas."),
    "title": (titled, "name every column in its first row with values, got 2 without a name"),
    "formula": (formula, "the formula `=1-0.1` without its result: open and save it"),
    "two files": (two_members, "a zip archive of one file, got `a.csv`, `b.csv`: unpack it first"),
    "zip bomb": (truncated_zip, "at most 2 GiB, got 3.0"),
    "huge": (sparse_file, "must have at most 2 GiB, got 3.0: read the columns that you need"),
    "unknown database": (unknown_database, "has the tables `mine`: give the frame of `pandas.read"),
    "damaged database": (
        lambda path: path.write_bytes(b"SQLite format 3\0" + b"\7" * 5000),
        "an SQLite database that cannot be read",
    ),
    "JSON of a number": (lambda path: path.write_text("[1, 2]"), "a list of int: give the frame"),
    "JSON of parts": (
        lambda path: path.write_text('{"a": [1, 2], "b": {"c": 3}}'),
        "got an object of `a`, `b`",
    ),
    "JSON, ambiguous": (
        lambda path: path.write_text('{"0": {"1": 0.9}, "1": {"1": 0.8}}'),
        "must hold a list of records",
    ),
    "damaged JSON": (lambda path: path.write_text('[{"sparsity": 0.9,\n "a": }]'), "line 2"),
    "deep JSON": (lambda path: path.write_text("[" * 100_000), "cannot be read"),
    "wide JSON": (
        lambda path: path.write_text(json.dumps([dict.fromkeys(map(str, range(20_000)), 1)])),
        "at most 10,000 values",
    ),
}


@pytest.mark.parametrize("kind", NO_TABLES)
def test_what_is_no_table_is_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    write, said = NO_TABLES[kind]
    path = tmp_path / "runs.csv"
    write(path)
    message = refusal(path)
    assert said in message and "runs.csv" in message and "\n" not in message


def test_a_device_and_an_unreadable_file_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "must be a file or a folder" in refusal("/dev/null")
    assert "No such file" in refusal(tmp_path / "none.csv")


def test_a_workbook_without_openpyxl_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workbook(tmp_path / "runs.xlsx", {"runs": sheet_rows(RUNS)})
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    said = refusal(path)
    assert "pip install 'sparsetune[excel]'" in said and "pandas.read_excel" in said
    assert workbook_reader.WORKBOOK.kind == "an Excel workbook"


def test_several_files_are_one_table(tmp_path: Path) -> None:
    for part in (0, 1):
        folder = tmp_path / f"part-{part}"
        folder.mkdir()
        RUNS.assign(seed=part, note=part).to_csv(folder / "runs.csv", index=False)
    results = load_table(str(tmp_path / "part-*" / "runs.csv"))
    assert results.trials()["seed"].tolist() == [0, 0, 0, 1, 1, 1]
    assert results.design.name == tmp_path.name
    assert "2 paths, the first of which is a CSV file" in results.recognised
    named = load_table(str(tmp_path / "part-*" / "runs.csv"), {"arm": "path"})
    assert set(named.trials()["arm"]) > {"part-0/runs.csv", "part-1/runs.csv"}


def test_paths_of_several_kinds_or_none_are_refused(tmp_path: Path) -> None:
    RUNS.to_csv(tmp_path / "a.csv", index=False)
    RUNS.to_json(tmp_path / "b.json", orient="records")
    said = refusal(str(tmp_path / "*.*"))
    assert "one kind, got `a.csv` (a CSV file), `b.json` (a JSON file): load them apart" in said
    assert "at least one path, got none for" in refusal(str(tmp_path / "*.parquet"))


def test_a_name_with_brackets_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "runs[1].csv"
    RUNS.to_csv(path, index=False)
    assert len(load_table(str(path)).trials()) == 3


def test_a_study_directory_is_named_whatever_trackers_left_in_it(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    (tmp_path / "events.out.tfevents.1").write_bytes(b"x")
    assert "is a study directory: `analysis.load` reads it" in refusal(tmp_path)


def test_an_unknown_folder_is_named_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    said = refusal(tmp_path)
    assert "a Ray Tune experiment" in said and "holds `a.csv`" in said and "*.csv`" in said
