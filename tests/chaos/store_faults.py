"""Faults at what writes a study's files, by the hundred, in processes without Ray: `python -m …
FOLDER FAULT …`.

Each runs in a forked child, or damages a file. What must hold is asserted; the number of each that
were injected is printed.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

from sparsetune.errors import StorageError
from sparsetune.storage import StudyDirectory
from sparsetune.storage.ledger import Ledger, read_records
from sparsetune.storage.records import Record, encode_record
from sparsetune.study import Arm, Study
from tests.ledger_records import record as record_of

WRITERS = ("directory.py", "segments.py", "checkpoint.py")
STUDY = Study(
    name="s", arms={"gmp": Arm({"sparsity.method": "gmp"})}, sweep={"sparsity.target": [0, 0.9]}
)
Acknowledge = Callable[[int], None]
Write = Callable[[Acknowledge], None]


def killed(after: int, write: Write) -> tuple[list[int], bool]:
    """Kill -9 a child at the n-th line of code of `WRITERS` that it runs.

    Returns:
        What it acknowledged before, and whether it was killed: False when it ended first.
    """
    lines = after

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        if os.path.basename(frame.f_code.co_filename) not in WRITERS:
            return None
        lines -= event == "line"
        if lines == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    def traced(acknowledge: Acknowledge) -> None:
        sys.settrace(trace)
        write(acknowledge)

    return in_child(traced)


def in_child(write: Write) -> tuple[list[int], bool]:
    """What a forked child acknowledged, and whether a signal ended it; an exception there is one
    here.
    """
    reads, writes = os.pipe()
    if (child := os.fork()) == 0:
        try:
            write(lambda number: os.write(writes, number.to_bytes(4)) and None)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writes)
    with open(reads, "rb") as pipe:
        told = pipe.read()
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0, "the child raised"
    return [int.from_bytes(told[at : at + 4]) for at in range(0, len(told), 4)], os.WIFSIGNALED(
        status
    )


def every_line(write: Callable[[int], Write]) -> Iterator[tuple[int, list[int]]]:
    """Kill at each line in turn, until a child gets through; the number of the kill and what was
    acknowledged.
    """
    for after in range(1, 10_000):
        acknowledged, died = killed(after, write(after))
        yield after, acknowledged
        if not died:
            return


def limited(size: int) -> None:
    """Let no file of this process grow beyond a size: the write that would is cut there, as on a
    full disk.
    """
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def record(number: int) -> Record:
    filler = {"filler": "é" * (number % 50)}
    return record_of({"type": "proposed", "trial_id": f"t{number}", **filler})


def numbers(folder: Path) -> list[int]:
    """The numbers of the records that are read back; each is whole."""
    found = [int(one.trial_id[1:]) for one in read_records(folder)]
    assert read_records(folder) == [record(number) for number in found]
    return found


def appends(folder: Path, first: int, count: int) -> Write:
    def write(acknowledge: Acknowledge) -> None:
        with closing(Ledger(folder)) as ledger:
            for number in range(first, first + count):
                ledger.append(record(number))
                acknowledge(number)

    return write


def ledger_killed(folder: Path) -> int:
    """A second launch is killed at every line: what either acknowledged stays, in order."""

    def launch(kill: int) -> Write:
        appends(folder / str(kill), 1, 2)(lambda number: None)
        return appends(folder / str(kill), 3, 3)

    kill = 0
    for kill, acknowledged in every_line(launch):
        now = numbers(folder / str(kill))
        assert now == list(range(1, len(now) + 1))
        assert len(acknowledged) <= len(now) - 2 <= len(acknowledged) + 1
    return kill - 1


def ledger_killed_any_time(folder: Path) -> int:
    """A hundred launches of one ledger are killed at random moments, inside system calls too."""
    chance = random.Random(0)
    kept = []
    for kill in range(1, 101):

        def write(
            acknowledge: Acknowledge,
            kill: int = kill,
            seconds: float = chance.uniform(0.0005, 0.02),
        ) -> None:
            signal.setitimer(signal.ITIMER_REAL, seconds)  # its signal ends the process
            appends(folder, 1000 * kill, 999)(acknowledge)

        acknowledged, died = in_child(write)
        now = numbers(folder)
        assert died
        assert now[: len(kept) + len(acknowledged)] == kept + acknowledged
        kept = now
    return kill


def ledger_torn(folder: Path) -> int:
    """A last record that is cut at every byte was never acknowledged; the next launch goes on."""
    whole = b"".join(map(encode_record, map(record, (1, 2)))) + encode_record(record(49))
    first = len(whole) - len(encode_record(record(49)))
    for end in range(first, len(whole)):
        (folder / "000001.jsonl").write_bytes(whole[:end])
        assert numbers(folder) == [1, 2]
        appends(folder, 7, 1)(lambda number: None)
        assert numbers(folder) == [1, 2, 7]
        (folder / "000002.jsonl").unlink()
    return len(whole) - first


def ledger_full(folder: Path) -> int:
    """A disk that is full at every third byte of an append refuses it; with room again the same
    launch goes on.
    """
    rooms = range(
        0, len(encode_record(record(1)) + encode_record(record(49)) + encode_record(record(3))), 3
    )
    for room in rooms:

        def write(acknowledge: Acknowledge, room: int = room) -> None:
            with closing(Ledger(folder / str(room))) as ledger:
                limited((folder / str(room) / "000001.jsonl").stat().st_size + room)
                try:
                    ledger.append(record(1))
                    acknowledge(1)
                    ledger.append(record(49), record(3))
                    raise AssertionError("the disk was not full")
                except StorageError:
                    limited(resource.RLIM_INFINITY)
                ledger.append(record(5))
                acknowledge(5)

        acknowledged, _ = in_child(write)
        assert numbers(folder / str(room)) == acknowledged
        assert acknowledged[-1] == 5
    return len(rooms)


def disk_full(folder: Path) -> int:
    """A small disk fills again and again under a ledger, a declaration and a provenance."""
    chance = random.Random(0)
    kept = []
    launches = 0
    home = StudyDirectory(folder / "s")
    ballast = folder / "ballast"
    home.create(STUDY)
    for fault in range(50):
        with closing(Ledger(home.ledger)) as ledger:
            ballast.write_bytes(
                b"x" * max(0, shutil.disk_usage(folder).free - chance.randrange(12_000))
            )
            for number in range(1000 * fault, 1000 * fault + 999):
                try:
                    ledger.append(record(number))
                except StorageError:
                    break
                kept.append(number)
            else:
                raise AssertionError("the disk was not full")
        try:
            home.record_launch({"command": "x" * 300})
            launches += 1
        except StorageError:
            pass
        ballast.unlink()
        assert numbers(home.ledger) == kept
        assert (home.study(), len(home.launches())) == (STUDY.under_defaults(1), launches)
        if shutil.disk_usage(folder).free < 20_000:
            shutil.rmtree(home.path)
            home.create(STUDY)
            kept = []
            launches = 0
    return fault + 1


def declaration_killed(folder: Path) -> int:
    """A start that is killed leaves a declaration and a provenance that are whole or absent, and
    can be repeated.
    """

    def start(kill: int) -> Write:
        def write(acknowledge: Acknowledge) -> None:
            home = StudyDirectory(folder / str(kill))
            home.create(STUDY)
            acknowledge(0)
            for launch in range(1, 4):
                home.record_launch({"launch": launch})
                acknowledge(launch)

        return write

    kill = 0
    for kill, acknowledged in every_line(start):
        home = StudyDirectory(folder / str(kill))
        assert home.declaration.exists() or not acknowledged
        home.create(STUDY)  # accepts what was left, whole or absent
        assert home.study() == STUDY.under_defaults(1)
        launches = [one["launch"] for one in home.launches()]
        assert launches == list(range(1, len(launches) + 1))
        assert len(launches) >= len(acknowledged) - 1
    return kill - 1


def declaration_full(folder: Path) -> int:
    """The same where the disk is full at every eighth byte."""
    text = json.dumps(
        {"schema": 1, "digest": STUDY.digest(), "declaration": STUDY.given()}, indent=2
    )
    sizes = range(0, len(text), 8)
    for room in sizes:

        def write(acknowledge: Acknowledge, room: int = room) -> None:
            home = StudyDirectory(folder / str(room))
            limited(room)
            try:
                home.create(STUDY)
            except StorageError:
                acknowledge(0)
            limited(resource.RLIM_INFINITY)
            assert not home.declaration.exists()
            home.create(STUDY)
            home.record_launch({"launch": 1})
            limited(room)
            try:
                home.record_launch({"launch": "x" * 1000})
            except StorageError:
                acknowledge(1)

        assert in_child(write) == ([0, 1], False)
        home = StudyDirectory(folder / str(room))
        assert (home.study(), home.launches()) == (STUDY.under_defaults(1), [{"launch": 1}])
    return 2 * len(sizes)


def checkpoint(folder: Path, step: int) -> None:
    import torch

    from sparsetune.train.checkpoint import Checkpoints

    Checkpoints(folder).write(
        step, "t", [{"step": step}], {"weight": torch.full((1000,), float(step))}
    )


def step_of(folder: Path) -> int:
    """The step of the checkpoint that a trial would go on from, which is whole; 0 if there is
    none.
    """
    from sparsetune.train.checkpoint import latest_checkpoint

    found = latest_checkpoint([folder])
    if found is None:
        return 0
    assert found.reports == [{"step": found.step}]
    assert found.state["weight"].tolist() == [found.step] * 1000
    return found.step


def checkpoints_killed(folder: Path) -> int:
    """A worker that is killed while it writes loses no checkpoint that was there."""

    def writes(kill: int) -> Write:
        def write(acknowledge: Acknowledge) -> None:
            for step in range(1, 4):
                checkpoint(folder / str(kill), step)
                acknowledge(step)

        return write

    kill = 0
    for kill, acknowledged in every_line(writes):
        assert len(acknowledged) <= step_of(folder / str(kill)) <= len(acknowledged) + 1
    return kill - 1


def checkpoints_damaged(folder: Path) -> int:
    """The newest one is cut at a hundred lengths, or lost: the one before is read."""
    for step in (8, 9):
        checkpoint(folder, step)
    newest = folder / "checkpoint-9.pt"
    whole = newest.read_bytes()
    lengths = sorted(
        {
            *range(5),
            *random.Random(0).sample(range(len(whole)), 90),
            *range(len(whole) - 5, len(whole)),
        }
    )
    for length in lengths:
        newest.write_bytes(whole[:length])
        assert step_of(folder) == 8
    newest.unlink()
    assert step_of(folder) == 8
    (folder / "checkpoint-8.pt").unlink()
    assert step_of(folder) == 0
    return len(lengths) + 2


def checkpoints_flipped(folder: Path) -> int:
    """One bit of the newest one is wrong: it is read as it was, where the bit means nothing, or the
    one before is.
    """
    for step in (8, 9):
        checkpoint(folder, step)
    newest = folder / "checkpoint-9.pt"
    whole = newest.read_bytes()
    places = random.Random(0).sample(range(len(whole)), 150)
    steps = set()
    for at in places:
        newest.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        steps.add(step_of(folder))
    assert steps == {8, 9}
    return len(places)


def checkpoints_full(folder: Path) -> int:
    """A full disk refuses the newest one; those before stay, and nothing half-written takes their
    room.
    """
    for step in (8, 9):
        checkpoint(folder, step)
    size = (folder / "checkpoint-9.pt").stat().st_size
    rooms = sorted({0, 1, size - 1, *random.Random(0).sample(range(size), 50)})
    for room in rooms:

        def write(acknowledge: Acknowledge, room: int = room) -> None:
            limited(room)
            try:
                checkpoint(folder, 10)
            except StorageError:
                acknowledge(1)

        assert in_child(write) == ([1], False)
        assert sorted(path.name for path in folder.iterdir()) == [
            "checkpoint-8.pt",
            "checkpoint-9.pt",
        ]
        assert step_of(folder) == 9
    return len(rooms)


FAULTS: dict[str, Callable[[Path], int]] = {
    function.__name__: function
    for function in (
        ledger_killed,
        ledger_killed_any_time,
        ledger_torn,
        ledger_full,
        declaration_killed,
        declaration_full,
        checkpoints_killed,
        checkpoints_damaged,
        checkpoints_flipped,
        checkpoints_full,
        disk_full,
    )
}

if __name__ == "__main__":
    for name in sys.argv[2:]:
        (Path(sys.argv[1]) / name).mkdir()
        print(name, FAULTS[name](Path(sys.argv[1]) / name))
