"""The lines of a ledger: their bytes, what each class reads of them, and lines of other
versions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sparsetune.errors import StudyDirectoryError
from sparsetune.spec import TrialSpec
from sparsetune.storage import checks
from sparsetune.storage.ledger import read_ledger, read_records
from sparsetune.storage.records import (
    Ended,
    Extended,
    Granted,
    Note,
    Proposed,
    Record,
    Report,
    Started,
    UnknownRecord,
    decode_record,
    encode_record,
)
from sparsetune.storage.report_table import reports_schema
from sparsetune.storage.trial_state import fold_records

NAMES: dict[str, Any] = {"trial_id": "0123456789ab", "attempt": 2, "time": 1764450000.25}
LINES: list[tuple[Record, str]] = [
    (
        Proposed(
            trial_id="0123456789ab",
            config_id="ba9876543210",
            cell="gmp/target=0.9",
            arm="gmp",
            role="report",
            index=3,
            source="sobol:1",
            seed=1000,
            spec={"sparsity": {"method": "gmp", "target": 0.9}, "seed": 1000},
            twin_id="aaaaaaaaaaaa",
            time=1764450000.25,
        ),
        '{"type":"proposed","time":1764450000.25,"trial_id":"0123456789ab",'
        '"config_id":"ba9876543210","cell":"gmp/target=0.9","arm":"gmp","role":"report","index":3,'
        '"source":"sobol:1","seed":1000,'
        '"spec":{"sparsity":{"method":"gmp","target":0.9},"seed":1000},"twin_id":"aaaaaaaaaaaa"}',
    ),
    (
        Started(
            **NAMES,
            resumed_from_step=80,
            pid=7,
            host="here",
            device="cpu",
            threads=1,
            processor="A",
            data="digits=aa",
            device_memory=8000,
            reason="the worker died",
            note="on the CPU",
        ),
        '{"type":"started","time":1764450000.25,"trial_id":"0123456789ab","attempt":2,'
        '"resumed_from_step":80,"pid":7,"host":"here","device":"cpu","threads":1,"processor":"A",'
        '"data":"digits=aa","device_memory":8000,"reason":"the worker died","note":"on the CPU"}',
    ),
    (
        Report(**NAMES, row={"step": 80, "epoch": 4.0, "phase": "ramp", "val_loss": float("nan")}),
        '{"type":"report","time":1764450000.25,"trial_id":"0123456789ab","attempt":2,"step":80,'
        '"epoch":4.0,"phase":"ramp","val_loss":null}',
    ),
    (
        Ended(
            **NAMES,
            status="COMPLETE",
            certified=True,
            columns={"pruned_weights": 9, "peak_memory": 5, "test_loss": 0.5},
        ),
        '{"type":"ended","time":1764450000.25,"trial_id":"0123456789ab","attempt":2,'
        '"status":"COMPLETE","error":null,"certified":true,"pruned_weights":9,"peak_memory":5,'
        '"test_loss":0.5}',
    ),
    (
        Ended(**NAMES, status="PRUNED", error="rank 2 of 2", rung=0),
        '{"type":"ended","time":1764450000.25,"status":"PRUNED","error":"rank 2 of 2",'
        '"certified":null,"rung":0,"trial_id":"0123456789ab","attempt":2}',
    ),
    (
        Ended(**NAMES, status="PRUNED", error="another seed was stopped"),
        '{"type":"ended","time":1764450000.25,"status":"PRUNED","error":"another seed was stopped",'
        '"certified":null,"trial_id":"0123456789ab","attempt":2}',
    ),
    (
        Extended(
            report_seeds=2, sweep={"sparsity.target": [0.97]}, retried=["a"], time=1764450000.25
        ),
        '{"type":"extended","time":1764450000.25,"report_seeds":2,'
        '"sweep":{"sparsity.target":[0.97]},"retried":["a"]}',
    ),
    (
        Granted(look=2, report_seeds=3, cells=["dense", "gmp"], time=1764450000.25),
        '{"type":"granted","time":1764450000.25,"look":2,"report_seeds":3,"cells":["dense","gmp"]}',
    ),
    (
        Note(**NAMES, note="no checkpoints"),
        '{"type":"note","time":1764450000.25,"trial_id":"0123456789ab","attempt":2,'
        '"note":"no checkpoints"}',
    ),
]
"""Records with their lines as version 1 of the file format has them."""
KINDS = [type(record).__name__ for record, _ in LINES]


@pytest.mark.parametrize(("record", "line"), LINES, ids=KINDS)
def test_a_record_has_the_bytes_of_its_format(record: Record, line: str) -> None:
    assert encode_record(record).decode() == line + "\n"


@pytest.mark.parametrize(("record", "line"), LINES, ids=KINDS)
def test_a_line_reads_as_its_record_and_is_written_back_as_it_was(
    record: Record, line: str
) -> None:
    read = decode_record(json.loads(line))
    assert type(read) is type(record)
    assert encode_record(read).decode() == line + "\n"


@pytest.mark.parametrize("line", [line for _, line in LINES], ids=KINDS)
def test_keys_of_another_version_are_kept(line: str) -> None:
    longer = line[:-1] + ',"colour":"blue","depth":{"of":[1,2]}}'
    read = decode_record(json.loads(longer))
    assert json.loads(encode_record(read)) == json.loads(longer)


def test_a_type_of_another_version_is_kept_and_changes_nothing() -> None:
    values = {"type": "moved", "time": 5.0, "trial_id": "t", "to": "there"}
    read = decode_record(values)
    assert read == UnknownRecord(values=values)
    assert json.loads(encode_record(read)) == values
    assert fold_records([read]) == {}


def test_what_an_older_version_did_not_record_is_none() -> None:
    line = {"type": "started", "time": 1.0, "trial_id": "t", "attempt": 1, "resumed_from_step": 0}
    started = decode_record(line)
    assert isinstance(started, Started)
    assert (started.device, started.device_memory, started.reason) == (None, None, None)


@pytest.mark.parametrize("missing", ["trial_id", "attempt", "status"])
def test_a_line_without_what_its_type_must_have_is_damaged(tmp_path: Path, missing: str) -> None:
    line = {"type": "ended", "time": 1.0, "trial_id": "t", "attempt": 1, "status": "COMPLETE"}
    del line[missing]
    (tmp_path / "000001.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(
        StudyDirectoryError, match=f"line 1 of .*000001.jsonl` is damaged: .*'{missing}'"
    ):
        read_records(tmp_path)


def test_two_records_in_one_line_are_damaged(tmp_path: Path) -> None:
    two = b",".join(encode_record(record).rstrip() for record, _ in LINES[:2])
    (tmp_path / "000001.jsonl").write_bytes(encode_record(LINES[0][0]) + two + b"\n")
    with pytest.raises(StudyDirectoryError, match=r"line 2 of `.*000001.jsonl` is damaged"):
        read_records(tmp_path)


def test_one_reader_gives_records_and_a_table(tmp_path: Path) -> None:
    rows = [Report(trial_id="t", attempt=1, row={"step": step, "lr": 0.5}) for step in (1, 2)]
    records = [LINES[0][0], rows[0], LINES[1][0], rows[1]]
    (tmp_path / "000001.jsonl").write_bytes(b"".join(map(encode_record, records)))
    ledger = read_ledger(tmp_path)
    assert [type(record) for record in ledger.records()] == [Proposed, Report, Started, Report]
    assert [type(record) for record in ledger.others] == [Proposed, Started]
    assert (ledger.report_numbers, ledger.other_numbers) == ([1, 3], [0, 2])
    table = ledger.reports
    assert table.schema.names == reports_schema().names
    assert table.column("step").to_pylist() == [1, 2]
    assert table.column("val_loss").to_pylist() == [None, None]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"seed": 3},
        {"seed": 3, "optim.lr": 2.0, "schedule.epochs": 30},
        # A teacher has a seed of its own, which may be the same or begin alike.
        {"seed": 3, "distill.teacher": TrialSpec(seed=3), "distill.hardness": 0.5},
        {"seed": 3, "distill.teacher": TrialSpec(seed=31), "distill.hardness": 0.5},
    ],
)
def test_a_trial_as_it_is_written_has_the_names_of_its_declaration(values: dict[str, Any]) -> None:
    spec = TrialSpec().with_values(values)
    assert checks._digests_as_written(spec.given()) == (spec.trial_id(), spec.config_id())
