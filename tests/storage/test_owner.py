"""One driver in an object store: who wins, who is refused, who takes over, and that a paused one
writes no more.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest

from sparsetune.errors import StorageError, StudyDirectoryError
from sparsetune.paths import resolve_place
from sparsetune.storage import StudyDirectory, owner, segments
from sparsetune.storage.ledger import Ledger, read_records
from sparsetune.storage.owner import (
    Owner,
    claim_study,
    current_owner,
    hold_study,
    machine_id,
    owner_records,
    process_start,
)
from sparsetune.storage.records import Ended
from sparsetune.study import Study

HOLD = """
import itertools, sys
from contextlib import closing
from sparsetune.storage import owner
from sparsetune.storage.ledger import Ledger
from sparsetune.storage.records import Ended
from sparsetune.storage import StudyDirectory
owner.BEAT_SECONDS = 0.2
directory = StudyDirectory(sys.argv[1])
with directory.locked() as mine, closing(Ledger(directory.ledger, mine)) as ledger:
    for line in itertools.chain([""], sys.stdin):
        ledger.append(Ended(trial_id=line.strip(), attempt=1, status="COMPLETE"))
        print("written", flush=True)
"""


def hold(study: str) -> subprocess.Popen[str]:
    """Another process that drives the study, and writes a record for every line that it is
    given.
    """
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HOLD, study]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def study(bucket: str) -> str:
    StudyDirectory(f"{bucket}/s").create(Study(name="s"))
    return f"{bucket}/s"


@pytest.fixture
def driver(study: str) -> Iterator[subprocess.Popen[str]]:
    with hold(study) as process:
        assert process.stdout
        assert process.stdout.readline() == "written\n", process.stderr and process.stderr.read()
        yield process
        process.kill()


def pretend(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the holder of the study seem to be on another machine, which is watched for a second."""
    here = machine_id()
    monkeypatch.setattr(owner, "machine_id", lambda: f"not {here}")
    monkeypatch.setattr(owner, "WATCH_SECONDS", 1.0)
    monkeypatch.setattr(owner, "POLL_SECONDS", 0.05)


def ended(trial: str) -> Ended:
    return Ended(trial_id=trial, attempt=1, status="COMPLETE")


def trial_ids(study: str) -> list[str]:
    return [record.trial_id for record in read_records(StudyDirectory(study).ledger)]


def test_a_second_driver_is_refused_and_told_who_holds_the_study(
    study: str, driver: subprocess.Popen[str]
) -> None:
    assert StudyDirectory(study).driver() == f"pid {driver.pid} on {os.uname().nodename}"
    with pytest.raises(
        StudyDirectoryError, match=rf"is being run by another process \(pid {driver.pid} on "
    ):
        StudyDirectory(study).locked().__enter__()


def test_the_record_of_a_killed_driver_on_this_machine_does_not_hold(
    study: str, driver: subprocess.Popen[str]
) -> None:
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert StudyDirectory(study).driver() is None
    began = time.monotonic()
    with StudyDirectory(study).locked() as mine:
        assert mine and (mine.record.generation, mine.superseded) == (2, (1,))
        assert StudyDirectory(study).driver() == str(mine.record)
    assert time.monotonic() - began < owner.WATCH_SECONDS / 3
    assert StudyDirectory(study).driver() is None


def test_a_driver_that_ends_by_itself_lets_the_next_one_in(
    study: str, driver: subprocess.Popen[str]
) -> None:
    assert driver.communicate("a\nb\n", timeout=60)[0] == "written\nwritten\n"
    with StudyDirectory(study).locked() as mine:
        assert mine and (mine.record.generation, mine.superseded) == (2, ())
    assert trial_ids(study) == ["", "a", "b"]


def test_a_driver_on_another_machine_is_refused_while_its_heart_beats(
    study: str, driver: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(study, monkeypatch)
    with pytest.raises(
        StudyDirectoryError, match=rf"is being run by another process \(pid {driver.pid} on "
    ):
        StudyDirectory(study).locked().__enter__()


def test_a_paused_driver_loses_the_study_and_writes_nothing_into_it(
    study: str, driver: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert driver.stdin and driver.stdout
    driver.stdin.write("before\n")
    driver.stdin.flush()
    assert driver.stdout.readline() == "written\n"
    driver.send_signal(signal.SIGSTOP)
    pretend(study, monkeypatch)
    with (
        StudyDirectory(study).locked() as mine,
        closing(Ledger(StudyDirectory(study).ledger, mine)) as ledger,
    ):
        assert trial_ids(study) == ["", "before"]
        driver.send_signal(signal.SIGCONT)
        _, said = driver.communicate("after\n", timeout=60)
        assert driver.returncode != 0
        assert "LostStudyError" in said and (
            "taken over by another driver" in said or "took the study over" in said
        )
        ledger.append(ended("of the second"))
        assert owner_records(mine.folder)[-1].token == mine.record.token
    assert trial_ids(study) == ["", "before", "of the second"]


def test_a_paused_driver_that_has_not_looked_yet_is_stopped_by_the_seal(study: str) -> None:
    directory = StudyDirectory(study)
    folder = directory.path
    ledger_folder = directory.ledger
    first = claim_study(folder)
    with closing(Ledger(ledger_folder, first)) as paused:
        paused.append(ended("a"))
        second = Owner(folder, owner.OwnerRecord(2), superseded=(1,))
        segments.seal_launches(ledger_folder, second.superseded)
        segments.seal_launches(ledger_folder, second.superseded)
        with pytest.raises(
            StorageError, match="was written by another driver, which took the study over"
        ):
            paused.append(ended("b"))
    assert trial_ids(study) == ["a"]
    assert [path.name for path in sorted(ledger_folder.iterdir(), key=str)] == [
        "000001-00000001.jsonl",
        "000001-00000002.jsonl",
    ]


def test_of_drivers_that_start_at_once_exactly_one_wins(study: str) -> None:
    with hold(study) as first, hold(study) as second:
        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(lambda process: process.stdout.readline(), (first, second)))
        assert sorted(said) == ["", "written\n"]
        loser, winner = (first, second) if said[0] == "" else (second, first)
        assert (
            f"is being run by another process (pid {winner.pid} on "
            in loser.communicate(timeout=60)[1]
        )
        winner.kill()


def test_of_many_claims_at_once_exactly_one_is_granted(study: str) -> None:
    folder = resolve_place(study)

    def claimed(_: int) -> Owner | None:
        with suppress(StudyDirectoryError):
            return claim_study(folder)
        return None

    with ThreadPoolExecutor(6) as pool:
        won = [one for one in pool.map(claimed, range(6)) if one]
    assert len(won) == 1
    assert [record.token for record in owner_records(folder)] == [won[0].record.token]


def test_a_launch_is_numbered_above_the_segments_of_every_earlier_one(study: str) -> None:
    ledger_folder = StudyDirectory(study).ledger
    (ledger_folder / "000007.jsonl").write_bytes(
        b'{"type":"ended","trial_id":"on a disk","attempt":1,"status":"COMPLETE"}\n'
    )  # copied from a disk
    with StudyDirectory(study).locked() as mine, closing(Ledger(ledger_folder, mine)) as ledger:
        ledger.append(ended("in the store"))
    assert trial_ids(study) == ["on a disk", "in the store"]


def test_a_process_that_took_the_number_of_a_dead_driver_is_not_that_driver(study: str) -> None:
    folder = resolve_place(study)
    dead = claim_study(folder)
    fields = {**dead.record.__dict__, "began": "1"}
    (folder / "owner-000001.json").write_bytes(json.dumps(fields).encode())
    with hold_study(folder) as mine:
        assert mine.record.generation == 2


def test_a_store_that_overwrites_keys_is_refused(
    study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Any = resolve_place(study)
    put = folder.fs.pipe_file
    monkeypatch.setattr(
        folder.fs, "pipe_file", lambda path, data, mode="overwrite": put(path, data)
    )
    with pytest.raises(
        StorageError, match=r"must refuse to write a key that is taken \(If-None-Match\)"
    ):
        claim_study(folder)


def test_a_heart_that_stopped_long_ago_drives_nothing(study: str) -> None:
    folder = resolve_place(study)
    mine = claim_study(folder)
    assert current_owner(folder) == mine.record
    for age, drives in ((5, True), (60, False)):
        fields = {**mine.record.__dict__, "machine": "another", "time": time.time() - age}
        (folder / "owner-000001.json").write_bytes(json.dumps(fields).encode())
        assert (current_owner(folder) is not None) == drives
    mine.release()
    assert current_owner(folder) is None


def test_when_a_process_began() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        first = process_start(process.pid)
        assert first and first.isdecimal() and int(first) >= int(process_start(os.getpid()) or 0)
        process.kill()
        time.sleep(0.2)
        assert process_start(process.pid) is None, (
            "a dead process that nobody waited for drives nothing"
        )
    assert process_start(process.pid) is None
