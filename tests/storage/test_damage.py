"""What is damaged in a study directory is refused by file and line, by one reader for all."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import analysis
from analysis.diff import diff
from sparsetune.errors import SparsetuneError, StorageError, StudyDirectoryError
from sparsetune.search.status import study_status
from sparsetune.storage import StudyDirectory
from sparsetune.storage.checks import MAX_LINE_BYTES
from sparsetune.storage.checksums import Chain, seal_lines, unsealed
from sparsetune.storage.ledger import Ledger, read_records
from sparsetune.storage.records import Extended
from tests.chaos.damaged import write_study

GOLDEN = Path(__file__).parents[1] / "golden" / "schema-1"
NOT_CLOSED = "not closed: the driver was killed, or the file was cut"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("whole") / "study")


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """A finished study."""
    return Path(shutil.copytree(whole, tmp_path / "copied"))


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A study of a version that wrote no checksums."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "old"))


def segment(path: Path) -> Path:
    return path / "ledger" / "000001.jsonl"


def lines_of(path: Path) -> list[bytes]:
    return segment(path).read_bytes().splitlines(keepends=True)


def write_lines(path: Path, lines: list[bytes]) -> None:
    segment(path).write_bytes(b"".join(lines))


def sealed_again(path: Path, change: Callable[[dict[str, Any]], None], kind: str) -> None:
    """Change the first record of a type, and make numbers and checksums fit, as a sender can."""
    bare = [unsealed(line.rstrip(b"\n")) for line in lines_of(path)]
    number = next(n for n, line in enumerate(bare) if json.loads(line)["type"] == kind)
    values = json.loads(bare[number])
    change(values)
    bare[number] = json.dumps(values, separators=(",", ":")).encode()
    segment(path).write_bytes(seal_lines([line + b"\n" for line in bare], Chain())[0])


def refused(path: Path, match: str) -> None:
    """Load, status and the reading of a launch refuse it with one message."""
    said = set()
    home = StudyDirectory(path)
    for read in (analysis.load, study_status, lambda _: home.read_records(home.study())):
        with pytest.raises(SparsetuneError, match=match) as caught:
            read(path)
        said.add(str(caught.value))
    assert len(said) == 1


def notices(path: Path) -> list[str]:
    """What load and status both say."""
    said = study_status(path)["notices"]
    assert list(analysis.load(path).notices) == said
    return list(said)


def same_numbers(path: Path, other: Path) -> bool:
    tables = [(analysis.load(one).trials(), analysis.load(one).history()) for one in (path, other)]
    return all(mine.equals(theirs) for mine, theirs in zip(*tables, strict=True))


def test_a_whole_study_has_nothing_to_say(copied: Path, whole: Path) -> None:
    assert notices(copied) == []
    assert same_numbers(copied, whole)


def test_a_line_has_its_number_and_the_checksum_of_all_bytes_before_it(whole: Path) -> None:
    data = segment(whole).read_bytes()
    lines = data.splitlines()
    assert [json.loads(line)["line"] for line in lines] == list(range(1, len(lines) + 1))
    last = json.loads(lines[-1])
    assert last["type"] == "closed" and last["lines"] == len(lines) - 1
    digits = len('01234567"}') + 1
    assert last["checksum"] == f"{zlib.crc32(data[:-digits]):08x}"
    assert last["last"] == f"{zlib.crc32(data[: -len(lines[-1]) - 1]):08x}"


@pytest.mark.parametrize("position", [*range(0, 1000, 37), -1, -2, -7, -30, -60])
def test_a_flipped_bit_is_named_by_file_and_line(copied: Path, position: int) -> None:
    data = bytearray(segment(copied).read_bytes())
    line = data.count(b"\n", 0, position % len(data)) + 1
    data[position] ^= 4
    segment(copied).write_bytes(data)
    if position == -1:  # the last line feed: the closing record is torn
        assert NOT_CLOSED in notices(copied)[0]
    else:
        refused(copied, rf"^line {line} of `.*000001\.jsonl` is damaged: ")


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda lines: lines[:4] + lines[5:], 5),
        (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], 5),
        (lambda lines: [*lines[:5], lines[4], *lines[5:]], 6),
        (lambda lines: [*lines[:5], b"\n", *lines[5:]], 6),
        (lambda lines: [*lines[:5], b'{"type":"note"}\n', *lines[5:]], 6),
        (lambda lines: [unsealed(lines[0].rstrip()) + b"\n", *lines[1:]], 1),
        (lambda lines: lines[1:], 1),
    ],
    ids=["dropped", "swapped", "doubled", "empty", "added", "unsealed", "first dropped"],
)
def test_lines_that_are_missing_or_added_are_named(
    copied: Path, damage: Callable[[list[bytes]], list[bytes]], line: int
) -> None:
    write_lines(copied, damage(lines_of(copied)))
    refused(copied, rf"^line {line} of `.*000001\.jsonl` is damaged: ")


def test_a_cut_ledger_is_not_closed(copied: Path, whole: Path) -> None:
    lines = lines_of(copied)
    for kept in (0, 1, 7, len(lines) - 1):
        write_lines(copied, lines[:kept])
        assert NOT_CLOSED in notices(copied)[0]
    write_lines(copied, [*lines[:-1], lines[-1][:20]])
    assert "its last line is torn" in notices(copied)[0]
    segment(copied).unlink()
    assert "`provenance.jsonl` has 1 launches and the ledger 0" in notices(copied)[0]
    with closing(StudyDirectory(copied).open_ledger()):
        pass
    assert notices(copied) == []


def test_the_next_launch_closes_what_a_killed_one_left(copied: Path) -> None:
    home = StudyDirectory(copied)
    write_lines(copied, [*lines_of(copied)[:-1], b'{"type":"rep'])
    home.record_launch({"time": 1.0})
    with closing(home.open_ledger()) as ledger:
        ledger.append(Extended(report_seeds=1))
    assert notices(copied) == []
    opened = json.loads((home.ledger / "000002.jsonl").read_text().splitlines()[0])
    assert (opened["previous"], opened["torn"], opened["launches"]) == ("000001.jsonl", 12, 2)
    write_lines(copied, lines_of(copied)[:-3])
    refused(copied, r"line \d+ of `.*000001\.jsonl` is damaged: \d+ lines were in it when the next")


def test_a_segment_that_is_missing_is_noticed(copied: Path) -> None:
    home = StudyDirectory(copied)
    home.record_launch({"time": 1.0})
    with closing(home.open_ledger()) as ledger:
        ledger.append(Extended(report_seeds=1))
    last = home.ledger / "000002.jsonl"
    text = last.read_bytes()
    last.unlink()
    assert "`provenance.jsonl` has 2 launches and the ledger 1" in notices(copied)[0]
    last.write_bytes(text)
    segment(copied).unlink()
    refused(copied, r"`.*000001\.jsonl` is damaged: it is missing")


def test_what_is_whole_before_a_damage_can_be_read(copied: Path, whole: Path) -> None:
    lines = lines_of(copied)
    write_lines(copied, [*lines[:9], lines[9].replace(b"1", b"2", 1), *lines[10:]])
    refused(copied, "read the lines before it with --salvage")
    results = analysis.load(copied, salvage=True)
    assert len(results.history()) == sum(b'"report","time"' in line for line in lines[:9])
    assert "line 10 of" in results.notices[0]
    assert study_status(copied, salvage=True)["notices"] == list(results.notices)
    with pytest.raises(StudyDirectoryError, match="line 10 of"):
        diff(copied, whole)
    assert len(diff(copied, whole, salvage=True).before.history()) == len(results.history())
    with pytest.raises(StudyDirectoryError, match="line 10 of"):
        Ledger(copied / "ledger")


def test_an_older_ledger_reads_and_goes_on_and_says_that_it_has_no_checksums(old: Path) -> None:
    before = read_records(old / "ledger")
    assert notices(old) == [
        "the ledger carries no checksums: an older version wrote them, and damage may stay unseen"
    ]
    home = StudyDirectory(old)
    home.record_launch({"time": 1.0})
    with closing(home.open_ledger()) as ledger:
        ledger.append(Extended(report_seeds=1))
    assert read_records(old / "ledger")[: len(before)] == before
    assert notices(old)[0].startswith("2 of the ledger's 3 segments carry no checksums")
    text = segment(old).read_bytes()
    segment(old).write_bytes(text.replace(b"0.3", b"0.2", 1))  # now it is known what it was
    refused(old, "`.*000002.jsonl` is damaged: it has other lines than when the next launch began")


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("report", {"val_accuracy": 7.5}, r"`val_accuracy` must be in \[0, 1\], got 7.5"),
        (
            "report",
            {"val_accuracy": True},
            r"`val_accuracy` must be .*, got 'True'",
        ),
        (
            "report",
            {"val_accuracy": "0.99"},
            r"`val_accuracy` must be .*, got '0.99'",
        ),
        ("report", {"step": None}, "a report must have `step`"),
        ("report", {"step": 1.5}, "`step` must be a whole number"),
        ("report", {"progress": -0.5}, r"`progress` must be in \[0, 1\]"),
        ("report", {"trial_id": 3}, "`trial_id` must be a text"),
        ("ended", {"status": "GREAT"}, "`status` must be one of WAITING, .*got 'GREAT'"),
        ("ended", {"test_accuracy": 2}, r"`test_accuracy` must be a number in \[0, 1\], got 2"),
        ("ended", {"certified": 1}, "`certified` must be true or false or null, got 1"),
        ("ended", {"trial_id": "../../x"}, "`trial_id` must be"),
        ("ended", {"attempt": -1}, "`attempt` must be a whole number"),
        ("started", {"resumed_from_step": "0"}, "`resumed_from_step` must be a whole number"),
        ("proposed", {"role": "winner"}, "`role` must be one of search,"),
        ("proposed", {"spec": []}, "`spec` must be an object"),
        ("proposed", {"spec": {"optim": {"lr": 0.7}}}, "must be those of its `spec`"),
        ("proposed", {"spec": {"optim": {"lr": "x"}}}, "line 2 of"),
    ],
)
def test_values_have_their_types_and_ranges_and_trials_the_name_of_their_declaration(
    copied: Path, kind: str, change: dict[str, Any], says: str
) -> None:
    sealed_again(copied, lambda values: values.update(change), kind)
    refused(copied, rf"^line \d+ of `.*000001\.jsonl` is damaged: .*{says}|{says}")


def test_a_count_below_zero_that_earlier_code_wrote_of_a_diverged_network_reads(
    copied: Path,
) -> None:
    sealed_again(copied, lambda values: values.update(zeros_in_mask=-19_985.0), "report")
    assert analysis.load(copied).history()["zeros_in_mask"].min() == -19_985


def test_spaces_in_legal_json_are_read_alike(old: Path, tmp_path: Path) -> None:
    spaced = Path(shutil.copytree(old, tmp_path / "spaced"))
    for file in (spaced / "ledger").iterdir():
        lines = [json.dumps(json.loads(line)) for line in file.read_text().splitlines()]
        file.write_text("\n".join(lines) + "\n")
    assert same_numbers(spaced, old)
    assert read_records(spaced / "ledger") == read_records(old / "ledger")


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"report","trial_id":"t","attempt":1,"step":1,"a":' + b"[" * 100_000 + b"}",
        b'{"type":"note","a":' + b'{"a":' * 3000 + b"1" + b"}" * 3001,
        b"\xef\xbb\xbf" + b'{"type":"note","trial_id":"t","attempt":1,"note":"n"}',
        b'["type","report"]',
        b"7",
        b'{"type":[],"trial_id":"t"}',
        b'{"type":"report","trial_id":"t","attempt":1,"step":' + b"9" * 5000 + b"}",
        b'{"type":"report","trial_id":"t","attempt":1,"step":NaN}',
        b'{"type":"report","trial_id":"t","attempt":1,"step":1,"lr":1e999}',
        b'{"type":"ended","trial_id":"t","attempt":1,"status":"FAILED","error":"\\ud800"}',
        b'{"type":"report","trial_id":"\xff","attempt":1,"step":1}',
        b'{"type":"note","a":"' + b"x" * MAX_LINE_BYTES + b'"}',
        b'{"type":"report","trial_id":"t","attempt":1,"step":1}{"type":"report"}',
        b'{"type":"report","trial_id":"t","attempt":1,"step":1,"step":2}',
        b'{"type":"report"',
    ],
    ids=range(15),
)
def test_a_line_that_is_no_record_is_one_line_of_refusal(old: Path, line: bytes) -> None:
    write_lines(old, [*lines_of(old)[:3], line + b"\n", *lines_of(old)[3:]])
    refused(old, r"^line 4 of `.*000001\.jsonl` is damaged: [^\n]*$")


def maximized(stored: dict[str, Any]) -> None:
    stored["declaration"]["objective"] = {"kind": "maximize", "column": "val_error"}


def asked_otherwise(stored: dict[str, Any]) -> None:
    stored["declaration"]["question"] = "Which of its bytes may be lost?"


def longer(stored: dict[str, Any]) -> None:
    stored["declaration"]["report_seeds"] = 3


@pytest.mark.parametrize("change", [maximized, asked_otherwise, longer])
def test_a_declaration_that_was_changed_is_refused(
    copied: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    file = copied / "study.json"
    stored = json.loads(file.read_text())
    change(stored)
    file.write_text(json.dumps(stored, indent=2))
    refused(copied, r"study\.json` was changed or damaged .*: its checksum does not fit")
    del stored["checksum"]  # as in a directory of an older version
    file.write_text(json.dumps(stored, indent=2))
    if change is asked_otherwise:  # a question in words changes nothing that runs
        assert notices(copied) == []
    else:
        refused(copied, r"study\.json` was changed or damaged .*: its digest does not fit")


@pytest.mark.parametrize("text", ["\ufeff{}", "[" * 100_000, '{"schema": NaN}', "[1]", "7", ""])
def test_a_declaration_that_is_none_is_refused(copied: Path, text: str) -> None:
    (copied / "study.json").write_text(text)
    refused(copied, r"study\.json` is not a study's declaration: [^\n]*$")


@pytest.mark.parametrize("name", ["study.json", "ledger/000001.jsonl"])
def test_a_file_that_is_none_is_refused_without_waiting(copied: Path, name: str) -> None:
    (copied / name).unlink()
    os.mkfifo(copied / name)
    refused(copied, "it must be a regular file, and is not")
    (copied / name).unlink()
    (copied / name).mkdir()
    refused(copied, "it must be a regular file, and is not")


def test_damaged_launches_are_noticed_and_cost_no_number(copied: Path, whole: Path) -> None:
    (copied / "provenance.jsonl").write_bytes(b'{"time": 1.7e9, "comm')
    assert (
        "line 1 of" in notices(copied)[0] and "provenance.jsonl` is damaged" in notices(copied)[0]
    )
    (copied / "provenance.jsonl").unlink()
    os.mkfifo(copied / "provenance.jsonl")
    assert "it must be a regular file, and is not" in notices(copied)[0]
    assert same_numbers(copied, whole)


def test_a_file_larger_than_what_is_read_is_refused_before_it_is(copied: Path) -> None:
    with open(copied / "study.json", "ab") as file:
        file.truncate(2**40)
    refused(copied, "it must have at most 67,108,864 bytes")
    with open(segment(copied), "ab") as file:
        file.truncate(2**40)
    with pytest.raises(StorageError, match="must have at most 4,294,967,296 bytes"):
        read_records(copied / "ledger")


def test_a_launch_that_was_changed_is_named(copied: Path) -> None:
    home = StudyDirectory(copied)
    facts = home.launches()
    home.record_launch({"time": 2.0, "command": "resume"})
    assert home.launches() == [*facts, {"time": 2.0, "command": "resume"}]
    text = home.provenance.read_bytes()
    for damaged in (text[:-9], text.replace(b"2.0", b"2.5"), text.splitlines(True)[1]):
        home.provenance.write_bytes(damaged)
        with pytest.raises(StudyDirectoryError, match=r"^line \d of `.*provenance\.jsonl`"):
            home.launches()
