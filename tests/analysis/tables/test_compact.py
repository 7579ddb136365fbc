from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

import analysis
from analysis.load import StudyResults
from analysis.tables.compact import read_compact
from sparsetune.errors import StorageError, StudyDirectoryError
from sparsetune.storage import StudyDirectory, write_durably
from sparsetune.storage.ledger import Ledger
from sparsetune.storage.records import Extended, encode_record

TABLES = ("trials", "history", "uses", "cells")


@pytest.fixture
def study(small: Path, tmp_path: Path) -> Path:
    shutil.copytree(small / "ledger", tmp_path / "ledger")
    shutil.copy(small / "study.json", tmp_path)
    return tmp_path


def kept(study: Path) -> bool:
    """Whether the study would be loaded from its two files."""
    home = StudyDirectory(study)
    return read_compact(home, home.read_ledger_text().end) is not None


def same(a: StudyResults, b: StudyResults) -> None:
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(a, name)(), getattr(b, name)(), check_exact=True)


def test_a_compacted_study_is_the_same_study(study: Path) -> None:
    raw = analysis.load(study)
    assert not (study / "tables").exists()  # nothing is written unless asked for
    same(raw, analysis.load(study, compact=True))
    assert kept(study)
    same(raw, analysis.load(study))


def test_it_is_read_instead_of_parsing_the_ledger(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis.load(study, compact=True)
    monkeypatch.setattr(StudyDirectory, "read_records", None)
    assert len(analysis.load(study).history())


def test_a_ledger_that_was_damaged_since_is_named(study: Path) -> None:
    analysis.load(study, compact=True)
    segment = study / "ledger" / "000001.jsonl"
    before = segment.stat()
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(data)
    os.utime(segment, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(StudyDirectoryError, match=r"000001.jsonl` is damaged"):
        analysis.load(study)


def test_a_study_without_evaluations_or_records_is_compacted_too(study: Path) -> None:
    shutil.rmtree(study / "ledger")
    raw = analysis.load(study, compact=True)
    assert kept(study)
    same(raw, analysis.load(study))


def resumed(study: Path) -> None:
    with closing(Ledger(study / "ledger")) as ledger:
        ledger.append(Extended(report_seeds=2))


def resumed_by_an_older_version(study: Path) -> None:
    (study / "ledger" / "000002.jsonl").write_bytes(encode_record(Extended(report_seeds=2)))


@pytest.mark.parametrize("change", [resumed, resumed_by_an_older_version])
def test_a_ledger_that_changed_is_read_itself(study: Path, change: Callable[[Path], None]) -> None:
    before = analysis.load(study, compact=True)
    change(study)
    assert not kept(study)
    after = analysis.load(study)
    assert not after.cells().equals(before.cells())
    analysis.load(study, compact=True)
    assert kept(study)
    same(after, analysis.load(study))


def torn(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 4] ^= 1
    file.write_bytes(data)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def other_columns(file: Path) -> None:
    pyarrow.parquet.write_table(pa.table({"a": [1]}), file)
    path = file.parent / "compact.json"
    manifest = json.loads(path.read_text())
    manifest[file.stem] = hashlib.sha256(file.read_bytes()).hexdigest()
    path.write_text(json.dumps(manifest))


def missing(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("name", ["reports", "records"])
@pytest.mark.parametrize("fault", [torn, flipped, empty, other_columns, missing])
def test_a_file_that_is_not_right_is_ignored_and_made_anew(
    study: Path, fault: Callable[[Path], None], name: str
) -> None:
    raw = analysis.load(study, compact=True)
    fault(study / "tables" / f"{name}.parquet")
    assert not kept(study)
    same(raw, analysis.load(study, compact=True))
    assert kept(study)


def test_files_of_another_study_are_ignored(study: Path, small: Path, tmp_path: Path) -> None:
    analysis.load(study, compact=True)
    other = tmp_path / "other"
    shutil.copytree(study, other, ignore=shutil.ignore_patterns("other"))
    resumed(other)
    assert not kept(other)
    assert not analysis.load(other).cells()["finished"].any()


def test_where_the_files_cannot_be_written_it_is_said(study: Path) -> None:
    (study / "tables").write_text("in the way")
    with pytest.raises(StorageError, match="tables"):
        analysis.load(study, compact=True)
    assert len(analysis.load(study).trials())


def test_in_an_object_store_the_segments_are_not_fetched_again(
    small: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = StudyDirectory(f"{bucket}/study")
    for path in (small / "study.json", small / "provenance.jsonl"):
        write_durably(home.path / path.name, path.read_bytes())
    lines = (small / "ledger" / "000001.jsonl").read_bytes()
    write_durably(home.ledger / "000001.jsonl", lines)
    raw = analysis.load(home.path, compact=True)
    with monkeypatch.context() as patch:
        patch.setattr(StudyDirectory, "read_ledger_text", None)
        again = analysis.load(home.path)
    same(raw, again)
    assert again.notices == raw.notices
    write_durably(home.ledger / "000001.jsonl", lines[:-20])  # the closing record is torn
    assert "not closed" in analysis.load(home.path).notices[0]
