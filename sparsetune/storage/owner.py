"""The one driver of a study in an object store: an owner record created conditionally, with a heartbeat.

Every launch is a generation with a record of its own, ``owner-<generation>.json``: of several drivers that start at
once, exactly one can create it. The generation numbers the segments of the ledger too (`sparsetune.storage.ledger`), and
a driver that takes over seals those of the one before, so that one that was only paused can write no record any more.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsetune.errors import StorageError, StudyDirectoryError
from sparsetune.paths import Place, content, contents, create, failures, names, refusals

if TYPE_CHECKING:
    from upath import UPath

BEAT_SECONDS = 10.0
WATCH_SECONDS = 30.0
"""How long the record of a driver on another machine must stay as it is before that driver counts as dead."""
POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Record:
    """Who drives, or drove, one launch of a study.

    Args:
        generation: The launch's number.
        host: The machine's name.
        machine: Boot and process namespace, in which ``pid`` and ``began`` name one process.
        pid: The process.
        began: Its start, in clock ticks since the machine's.
        token: Random; tells two records apart.
        time: Of the last heartbeat, in seconds since 1970 by the holder's clock.
        released: Whether the launch ended by itself.
    """

    generation: int
    host: str = "unknown"
    machine: str = ""
    pid: int = 0
    began: str | None = None
    token: str = ""
    time: float = 0.0
    released: bool = False

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}"

    @property
    def alive(self) -> bool | None:
        """Whether its process lives; None where only its heartbeat can tell: it is another machine's."""
        return began(self.pid) == self.began is not None if self.machine == this_machine() else None

    def encode(self) -> bytes:
        """One line of JSON."""
        return json.dumps(self.__dict__).encode() + b"\n"


@dataclass
class Owner:
    """This process as the driver of a study.

    Args:
        folder: The study's.
        record: As last written.
        superseded: Earlier launches that did not end by themselves.
        lost: Why it drives the study no more; None while it does.
    """

    folder: UPath
    record: Record
    superseded: tuple[int, ...] = ()
    lost: str | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def beat(self) -> None:
        """Show every `BEAT_SECONDS` that this driver lives, until it ends or another one has taken over."""
        while not self._ended.wait(BEAT_SECONDS):
            with suppress(
                *refusals()
            ):  # a store that is away for longer refuses the ledger's records
                if after := content(_path(self.folder, self.record.generation + 1)):
                    self.lost = f"the study was taken over by another driver ({_decode(0, after)})"
                    return
                self._write(replace(self.record, time=time.time()))

    def release(self) -> None:
        """Let the next driver start at once. Where the store refuses, that one will watch for a little first."""
        with suppress(*failures()):
            self._write(replace(self.record, time=time.time(), released=True))

    def _write(self, record: Record) -> None:
        self.record = record
        self.folder.fs.pipe_file(_path(self.folder, record.generation).path, record.encode())


@contextmanager
def held(folder: UPath, after: int = 0) -> Iterator[Owner]:
    """Hold a study as its only driver, with a heartbeat.

    Args:
        folder: The study's.
        after: The launch's number is above this one.

    Raises:
        StudyDirectoryError: if another driver holds it.
        StorageError: if the store cannot be used, or does not know conditional writes.
    """
    owner = claim(folder, after)
    heart = threading.Thread(target=owner.beat, name="heartbeat", daemon=True)
    heart.start()
    try:
        yield owner
    finally:
        owner._ended.set()
        heart.join()
        if not owner.lost:
            owner.release()


def claim(folder: UPath, after: int = 0) -> Owner:
    """Become the driver, once no other one lives; see `held`."""
    before = records(folder)
    if before and not before[-1].released:
        _see_it_dead(folder, before[-1])
    generation = 1 + max([after, *(record.generation for record in before)])
    pid = os.getpid()
    who: dict[str, Any] = {
        "host": os.uname().nodename,
        "machine": this_machine(),
        "pid": pid,
        "began": began(pid),
    }
    record = Record(generation, **who, token=secrets.token_hex(8), time=time.time())
    path = _path(folder, generation)
    if not create(path, record.encode()):
        raise StudyDirectoryError(_busy(folder, _decode(generation, content(path) or b"")))
    if create(path, b"\n"):
        rule = "its store must refuse to write a key that is taken (If-None-Match), and did not"
        raise StorageError(
            f"`{folder}` cannot hold a study: {rule}; use another store, or a folder"
        )
    return Owner(
        folder, record, tuple(record.generation for record in before if not record.released)
    )


def records(folder: Place) -> list[Record]:
    """Every launch's record, oldest first."""
    listed = [name for name in names(folder) if re.fullmatch(r"owner-\d+\.json", name)]
    return [
        _decode(int(name[6:-5]), data)
        for name, data in zip(listed, contents(folder, listed), strict=True)
    ]


def holder(folder: Place) -> Record | None:
    """Who drives the study now, as far as its last heartbeat tells by this machine's clock; None when nobody does."""
    last = records(folder)[-1:]
    if not last or last[0].released:
        return None
    beats = time.time() - last[0].time < WATCH_SECONDS
    return last[0] if (beats if last[0].alive is None else last[0].alive) else None


def _see_it_dead(folder: UPath, last: Record) -> None:
    """Return once the holder is known to be dead.

    Raises:
        StudyDirectoryError: if it lives.
    """
    alive = last.alive
    path = _path(folder, last.generation)
    deadline = time.monotonic() + WATCH_SECONDS
    if alive is None:
        said = "`%s` was left by %s; waiting %g s to see whether it still runs"
        logging.getLogger(__name__).warning(said, folder, last, WATCH_SECONDS)
        before = content(path)
        while not alive and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            alive = content(path) != before
    if alive and not _decode(last.generation, content(path) or b"").released:
        raise StudyDirectoryError(_busy(folder, last))


def _busy(folder: UPath, record: Record) -> str:
    return f"`{folder}` is being run by another process ({record}); wait for it, or stop it first"


def _path(folder: UPath, generation: int) -> UPath:
    return folder / f"owner-{generation:06d}.json"


def _decode(generation: int, data: bytes) -> Record:
    """A record; where it cannot be read, one of an unknown machine."""
    fields: Mapping[str, Any] = {}
    with suppress(ValueError, TypeError):
        fields = {**json.loads(data), "generation": generation}
        return Record(**fields)
    return Record(generation)


def this_machine() -> str:
    """Names the boot of this machine and the process namespace: a pid says something in there only."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return os.uname().nodename


def began(pid: int) -> str | None:
    """When a process began, which tells it from a later one of the same number; None if there is none."""
    try:
        state, *others = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else others[18]
