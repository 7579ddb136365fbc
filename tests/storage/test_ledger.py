"""The ledger: what was acknowledged is never lost, whatever stops the writer."""

from __future__ import annotations

import itertools
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparsetune.errors import StorageError, StudyDirectoryError
from sparsetune.paths import list_names, resolve_place
from sparsetune.spec.columns import FINISHED_STATUSES
from sparsetune.storage.checksums import SEAL_KEYS
from sparsetune.storage.ledger import AT_ONCE, Ledger, read_records
from sparsetune.storage.owner import Owner, hold_study
from sparsetune.storage.records import Record, encode_record
from sparsetune.storage.trial_state import fold_records
from tests.ledger_records import plain, record


def proposed(trial: str = "t", role: str = "search", **fields: Any) -> Record:
    return record({"type": "proposed", "trial_id": trial, "role": role, **fields})


def started(attempt: int, resumed_from_step: int = 0, trial: str = "t") -> Record:
    fields = {"trial_id": trial, "attempt": attempt, "resumed_from_step": resumed_from_step}
    return record({"type": "started", **fields})


def report(attempt: int, step: int, trial: str = "t") -> Record:
    return record({"type": "report", "trial_id": trial, "attempt": attempt, "step": step})


def ended(attempt: int, status: str = "COMPLETE", trial: str = "t") -> Record:
    return record({"type": "ended", "trial_id": trial, "attempt": attempt, "status": status})


def extended(**fields: Any) -> Record:
    return record({"type": "extended", **fields})


def test_records_come_back_in_order_from_all_segments(tmp_path: Path) -> None:
    records = [proposed(name) for name in "abcd"]
    for pair in (records[:2], records[2:]):
        with closing(Ledger(tmp_path / "ledger")) as ledger:
            ledger.append(*pair)
    assert [path.name for path in sorted((tmp_path / "ledger").iterdir())] == [
        "000001.jsonl",
        "000002.jsonl",
    ]
    assert read_records(tmp_path / "ledger") == records


def test_a_ledger_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    assert read_records(tmp_path / "none") == []


def test_what_is_not_finite_is_missing_at_any_depth() -> None:
    line = plain(proposed(loss=float("nan"), spec={"lr": [float("inf"), 0.1]}))
    assert (line["loss"], line["spec"]) == (None, {"lr": [None, 0.1]})


def test_the_type_comes_first_in_a_line() -> None:
    given = {"step": 3, "attempt": 1, "trial_id": "t", "time": 5.0, "type": "report"}
    line = b'{"type":"report","time":5.0,"trial_id":"t","attempt":1,"step":3}\n'
    assert encode_record(record(given)) == line


@given(
    st.dictionaries(
        st.text().filter(lambda key: key not in SEAL_KEYS),  # those are of lines
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    )
)
def test_a_record_is_one_line_whatever_it_holds(fields: dict[str, Any]) -> None:
    line = {**fields, "type": "report", "time": 0.0, "trial_id": "t", "attempt": 1}
    finite = {k: None if v in (float("inf"), float("-inf")) else v for k, v in line.items()}
    assert encode_record(record(line)).count(b"\n") == 1
    assert json.loads(encode_record(record(line))) == finite


def test_a_last_line_torn_at_any_byte_is_ignored_and_the_next_launch_goes_on(
    tmp_path: Path,
) -> None:
    whole = proposed("whole")
    torn = encode_record(proposed("torn é"))
    later = proposed("later")
    for position in range(len(torn)):
        folder = tmp_path / str(position)
        folder.mkdir()
        (folder / "000001.jsonl").write_bytes(encode_record(whole) + torn[:position])
        assert read_records(folder) == [whole]
        with closing(Ledger(folder)) as ledger:
            ledger.append(later)
        assert read_records(folder) == [whole, later]


def test_a_damaged_line_in_the_middle_is_refused_by_number(tmp_path: Path) -> None:
    (tmp_path / "000001.jsonl").write_bytes(
        encode_record(proposed()) + b'{"type": "rep\n' + encode_record(report(1, 10))
    )
    with pytest.raises(StudyDirectoryError, match=r"line 2 of `.*000001.jsonl` is damaged"):
        read_records(tmp_path)


def test_a_trial_waits_runs_and_ends() -> None:
    records = [proposed(), started(1), report(1, 10), ended(1)]
    states = [fold_records(records[: n + 1])["t"] for n in range(4)]
    assert [state.status for state in states] == ["WAITING", "RUNNING", "RUNNING", "COMPLETE"]
    assert [state.finished for state in states] == [False, False, False, True]
    assert [state.last and state.last.step for state in states] == [None, None, 10, 10]


def test_rows_beyond_the_step_of_resumption_are_done_again() -> None:
    records = [proposed(), started(1), report(1, 10), report(1, 20), report(1, 30), started(2, 10)]
    assert list(fold_records(records)["t"].reports) == [10]
    state = fold_records([*records, report(2, 20), ended(2)])["t"]
    assert {step: row.attempt for step, row in state.reports.items()} == {10: 1, 20: 2}
    assert (state.attempts, state.last.step) == (2, 20)


def test_an_attempt_from_scratch_drops_every_earlier_row() -> None:
    assert fold_records([proposed(), started(1), report(1, 10), started(2, 0)])["t"].reports == {}


def test_a_failed_trial_that_is_retried_runs_again() -> None:
    records = [proposed(), started(1), ended(1, "FAILED")]
    assert fold_records(records)["t"].finished
    assert fold_records([*records, started(2)])["t"].status == "RUNNING"


def test_a_failed_trial_that_is_asked_for_again_waits_until_it_starts_and_counts_once() -> None:
    records = [proposed(), started(1), report(1, 10), ended(1, "FAILED")]
    again = extended(retried=["t", "unknown"])
    state = fold_records([*records, again])["t"]
    assert (state.status, state.finished, state.attempts, list(state.reports)) == (
        "WAITING",
        False,
        1,
        [10],
    )
    states = [
        fold_records([*records, again, *later])["t"]
        for later in ([started(2)], [started(2), ended(2, "FAILED")])
    ]
    assert [(state.status, state.finished) for state in states] == [
        ("RUNNING", False),
        ("FAILED", True),
    ]
    assert fold_records([*records, again, ended(1, "FAILED")])["t"].status == "FAILED"


@pytest.mark.parametrize("status", [status for status in FINISHED_STATUSES if status != "FAILED"])
def test_only_failed_trials_are_run_again(status: str) -> None:
    records = [proposed(), started(1), ended(1, status), extended(retried=["t"])]
    assert fold_records(records)["t"].status == status


def test_a_row_told_twice_counts_once() -> None:
    assert (
        len(fold_records([proposed(), started(1), report(1, 10), report(1, 10)])["t"].reports) == 1
    )


def test_a_trial_of_several_uses_runs_once_and_is_shown_by_the_weightiest() -> None:
    uses = [proposed(role=role, cell=role) for role in ("twin", "search", "control", "report")]
    for count, shown in enumerate(["twin", "search", "control", "report"], start=1):
        state = fold_records([*uses[:count], started(1), ended(1)])["t"]
        assert (len(state.proposed), state.use.cell) == (count, shown)


def test_a_trial_that_was_never_proposed_does_not_exist() -> None:
    assert fold_records([started(1), report(1, 10), extended(report_seeds=2)]) == {}


def test_trials_are_in_order_of_their_proposal() -> None:
    assert list(
        fold_records([proposed("b"), proposed("a"), started(1, trial="a"), proposed("b", "twin")])
    ) == ["b", "a"]


def fill(folder: Path) -> int:
    """Append records of 1 KiB until the disk refuses; the number of those that were
    acknowledged.
    """
    with closing(Ledger(folder)) as ledger:
        for index in itertools.count():
            try:
                ledger.append(proposed(str(index), filler="x" * 1000))
            except StorageError:
                return index
    raise AssertionError("the disk never filled")


def test_a_full_disk_refuses_the_record_and_keeps_what_was_acknowledged(small_disk: Path) -> None:
    acknowledged = fill(small_disk / "ledger")
    assert acknowledged > 10
    assert [record.trial_id for record in read_records(small_disk / "ledger")] == [
        str(i) for i in range(acknowledged)
    ]


def test_a_ledger_goes_on_once_a_full_disk_has_room_again(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 50_000)
    with closing(Ledger(small_disk / "ledger")) as ledger:
        ledger.append(proposed("before"))
        with pytest.raises(StorageError, match="No space left"):
            ledger.append(proposed("torn", filler="x" * 20_000))
        ballast.unlink()
        ledger.append(proposed("after"))
    assert [record.trial_id for record in read_records(small_disk / "ledger")] == [
        "before",
        "after",
    ]


LIMITED = """
import resource, signal, sys
from pathlib import Path
from sparsetune.errors import StorageError
from sparsetune.storage.ledger import Ledger
from tests.ledger_records import record
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
ledger = Ledger(Path(sys.argv[1]))
for index in range(100):
    try:
        filler = "x" * 600
        ledger.append(record({"type": "proposed", "trial_id": str(index), "filler": filler}))
    except StorageError as error:
        sys.exit(f"{index} {error}")
"""


def test_a_file_that_may_not_grow_refuses_the_record_and_keeps_the_others(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True
    )
    acknowledged, message = done.stderr.split(" ", 1)
    assert "cannot be written" in message
    assert [record.trial_id for record in read_records(tmp_path)] == [
        str(i) for i in range(int(acknowledged))
    ]
    assert int(acknowledged) == 6  # 5,000 bytes hold six records of about 750


def test_a_ledger_that_cannot_be_opened_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written: Not a directory"):
        Ledger(tmp_path / "file" / "ledger")


@pytest.fixture
def owned(bucket: str) -> Iterator[tuple[Any, Owner]]:
    """The ledger's prefix of a study in an object store, and this process as its driver."""
    study = resolve_place(f"{bucket}/s")
    with hold_study(study) as owner:
        yield study / "ledger", owner


def test_a_store_has_a_record_that_must_be_durable_with_all_before_it(
    owned: tuple[Any, Owner],
) -> None:
    folder, owner = owned
    written = [proposed(), started(1), *(report(1, step) for step in range(1, 4)), ended(1)]
    with closing(Ledger(folder, owner)) as ledger:
        ledger.append(written[0])
        assert read_records(folder) == written[:1]
        for record in written[1:]:
            ledger.append(record)
        assert read_records(folder) == written
    assert read_records(folder) == written
    assert 2 <= len(list_names(folder)) < len(written), "records that may wait share a segment"
    assert list_names(folder)[:2] == ["000001-00000001.jsonl", "000001-00000002.jsonl"]


def test_a_store_has_the_other_records_after_a_second_or_64_kib_or_at_the_end(
    owned: tuple[Any, Owner],
) -> None:
    folder, owner = owned
    with closing(Ledger(folder, owner)) as ledger:
        ledger.append(report(1, 1))
        assert read_records(folder) == []
        time.sleep(1.5)
        assert read_records(folder) == [report(1, 1)]
        ledger.append(*(report(1, step) for step in range(2, 2000)))
        deadline = time.monotonic() + 0.9
        while len(list_names(folder)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(read_records(folder)) == 1999
        ledger.append(report(1, 2000))
    assert [record.step for record in read_records(folder)] == list(range(1, 2001))


@contextmanager
def refusing(folder: Any) -> Iterator[None]:
    """A store that takes nothing, as one that is full or whose keys were withdrawn."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("Access Denied")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder.fs, "pipe_file", refuse)
        yield


def test_a_store_that_refuses_is_a_storage_error_and_loses_nothing(
    owned: tuple[Any, Owner],
) -> None:
    folder, owner = owned
    ledger = Ledger(folder, owner)
    ledger.append(proposed())
    with refusing(folder):
        for record in (ended(1), report(1, 2), ended(1)):
            with pytest.raises(
                StorageError, match=r"000001-00000002.jsonl` cannot be written: Access Denied"
            ):
                ledger.append(record)
        ledger.close()
    assert read_records(folder) == [proposed()]


def test_a_store_that_refuses_what_waited_is_told_at_the_end(owned: tuple[Any, Owner]) -> None:
    folder, owner = owned
    ledger = Ledger(folder, owner)
    with refusing(folder):
        ledger.append(report(1, 1))
        with pytest.raises(StorageError, match="cannot be written: Access Denied"):
            ledger.close()


def test_a_driver_that_lost_the_study_writes_no_record(owned: tuple[Any, Owner]) -> None:
    folder, owner = owned
    with closing(Ledger(folder, owner)) as ledger:
        owner.lost = "the study was taken over by another driver"
        with pytest.raises(StorageError, match="taken over by another driver"):
            ledger.append(proposed())
        owner.lost = None
    assert read_records(folder) == []


def test_a_ledger_in_a_store_is_written_by_its_driver_alone(bucket: str) -> None:
    with pytest.raises(StudyDirectoryError, match="must be written by the study's driver alone"):
        Ledger(resolve_place(f"{bucket}/s/ledger"))


def test_a_missing_segment_is_named(tmp_path: Path, owned: tuple[Any, Owner]) -> None:
    for folder in (tmp_path, owned[0]):
        for number in (1, 2, 4):
            (folder / f"000003-{number:08d}.jsonl").write_bytes(encode_record(proposed()))
        with pytest.raises(
            StudyDirectoryError,
            match=r"segment `000003-00000003.jsonl` of the ledger .* is missing",
        ):
            read_records(folder)


def test_a_ledger_that_was_copied_from_a_store_goes_on_on_a_disk(tmp_path: Path) -> None:
    (tmp_path / "000001-00000001.jsonl").write_bytes(encode_record(proposed("a")))
    (tmp_path / "000001-00000002.jsonl").write_bytes(b"")
    with closing(Ledger(tmp_path)) as ledger:
        ledger.append(proposed("b"))
    assert sorted(path.name for path in tmp_path.iterdir())[-1] == "000002.jsonl"
    assert [record.trial_id for record in read_records(tmp_path)] == ["a", "b"]


@given(
    st.lists(st.sampled_from(["proposed", "started", "report", "ended"]), max_size=30),
    st.integers(0, 30),
)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_the_store_holds_when_the_driver_dies_is_a_beginning_with_all_that_was_acknowledged(
    owned: tuple[Any, Owner], kinds: list[str], death: int
) -> None:
    folder, owner = owned
    folder = folder / secrets.token_hex(4)
    written = []
    acknowledged = 0
    with closing(Ledger(folder, owner)) as ledger:
        for number, kind in enumerate(kinds[:death]):
            fields = {"step": number} if kind == "report" else {}
            fields |= {"status": "COMPLETE"} if kind == "ended" else {}
            written.append(record({"type": kind, "trial_id": "t", "number": number, **fields}))
            ledger.append(written[-1])
            acknowledged = len(written) if isinstance(written[-1], AT_ONCE) else acknowledged
        found = read_records(folder)  # what a kill -9 at this moment leaves
        assert found == written[: len(found)] and len(found) >= acknowledged
