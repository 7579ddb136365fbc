"""The one driver of a study: a locked file on a disk, an owner record in an object store.

On a disk the lock ends with its process. In an object store every launch is a generation with a
record of its own, ``owner-<generation>.json``, with a heartbeat: of several drivers that start at
once, exactly one can create it. The generation numbers the segments of the ledger too
(`sparsetune.storage.ledger`), and a driver that takes over seals those of the one before, so that
one that was only paused can write no record any more.
"""

from __future__ import annotations

import errno
import fcntl
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

from sparsetune.errors import StorageError, StudyDirectoryError, printable
from sparsetune.machine import host_name, machine_id, process_start
from sparsetune.paths import (
    Place,
    create_object,
    list_names,
    read_content,
    read_contents,
    refusal_errors,
    storage_errors,
)
from sparsetune.paths.confined import file_facts, open_file, open_lock

if TYPE_CHECKING:
    from upath import UPath

LOCK_FILE = "driver.lock"
"""File of a study on a disk that its driver holds locked."""
MAX_HOLDER_BYTES = 1000
"""Bytes of it that are read."""
BEAT_SECONDS = 10.0
"""Time between two heartbeats."""
# Three beats, so that one or two that come late do not look like a death.
WATCH_SECONDS = 30.0
"""A driver on another machine counts as dead once its record has not changed for so long."""
POLL_SECONDS = 1.0
"""Time between two looks at the record of a driver that is watched."""


@dataclass(frozen=True)
class OwnerRecord:
    """The process that drives, or drove, one launch of a study.

    Args:
        generation: Number of the launch.
        host: Name of the machine.
        machine: Boot and process namespace, in which ``pid`` and ``process_start`` name one
            process.
        pid: Id of the process.
        began: Its start, as `process_start` gives it; None where it is not known.
        token: Random digits, which tell two records apart.
        time: Last heartbeat, in seconds since 1970 by the holder's clock.
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
    def is_alive(self) -> bool | None:
        """True if its process lives; None where only its heartbeat tells, as on another machine."""
        if self.machine != machine_id() or self.began is None:
            return None
        # A later process may have got the number of a dead one; it started later.
        return process_start(self.pid) == self.began

    def encode(self) -> bytes:
        """One line of JSON."""
        return json.dumps(self.__dict__).encode() + b"\n"


@dataclass(frozen=True)
class DiskOwner:
    """This process as the driver of a study on a disk.

    Args:
        folder: The study's folder.
        descriptor: Of the lock's file, which this process holds locked; None where no lock is held.
    """

    folder: Path
    descriptor: int | None = None
    _identity: tuple[int, int] = field(init=False)

    def __post_init__(self) -> None:
        found = self.folder.stat()
        object.__setattr__(self, "_identity", (found.st_dev, found.st_ino))

    @property
    def lost(self) -> str | None:
        """Why it drives the study no more; None while it does."""
        path = self.folder
        try:
            found = path.stat()
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._identity:
            return gone_folder_text(path)
        if self.descriptor is None or is_same_file(path / LOCK_FILE, self.descriptor):
            return None
        return (
            f"`{path / LOCK_FILE}` was deleted or replaced while the study ran, so that another"
            " driver may run it: this one stops.\nWhat was reported before is kept; when nobody"
            " runs the study (`sparsetune status`), run it again"
        )


def gone_folder_text(folder: Path) -> str:
    """What driver and workers say of a study's folder that is not where it was."""
    return (
        f"the folder of the study, `{folder}`, was renamed or deleted while it ran.\nIf it was"
        " renamed, everything that was reported lies there: go on with `sparsetune resume` and its"
        " new name. If it was deleted, so were the trials in it"
    )


def is_same_file(path: Path, descriptor: int) -> bool:
    """True if the file of that name is the one that is open."""
    try:
        found = file_facts(path)
    except OSError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


@contextmanager
def hold_folder(folder: Path) -> Iterator[DiskOwner]:
    """Hold a study on a disk as its only driver.

    Raises:
        OSError: if the lock's file cannot be opened or written, or is a link.
        BlockingIOError: naming the holder, if another process holds it.
    """
    # Not emptied yet: that would erase the holder's name before the lock is ours.
    with open(open_lock(folder / LOCK_FILE), "r+b", buffering=0) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = lock.read(MAX_HOLDER_BYTES).decode(errors="replace").strip()
            raise BlockingIOError(errno.EWOULDBLOCK, holder or "unknown") from error
        lock.truncate(0)
        lock.write(f"pid {os.getpid()} on {host_name()}".encode())
        # The lock ends with its process, however that dies: closing the file gives it up.
        yield DiskOwner(folder, lock.fileno())


def folder_holder(folder: Path) -> str | None:
    """Name of the process that holds a study on a disk; None when none does."""
    try:
        lock = open_file(folder / LOCK_FILE)
    except OSError:
        return None  # there is none, or nothing that a driver could hold
    with lock:
        holder = lock.read(MAX_HOLDER_BYTES).decode(errors="replace")
        return holder if is_locked(lock.fileno()) else None


def is_locked(descriptor: int) -> bool:
    """True if another process holds an open file locked."""
    try:
        # Shared, so that two that look at once do not take each other for a driver.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


@dataclass
class Owner:
    """This process as the driver of a study in an object store.

    Args:
        folder: The study's prefix.
        record: Its record as last written.
        superseded: Numbers of earlier launches that did not end by themselves.
        lost: Why it drives the study no more; None while it does.
    """

    folder: UPath
    record: OwnerRecord
    superseded: tuple[int, ...] = ()
    lost: str | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    def keep_heartbeat(self) -> None:
        """Renew the record every `BEAT_SECONDS` until this driver ends or another takes over."""
        while not self._ended.wait(BEAT_SECONDS):
            # A store that is away for longer refuses the ledger's records.
            with suppress(*refusal_errors()):
                # Asked before the record is renewed: a driver that lost the study renews nothing.
                after = read_content(_record_path(self.folder, self.record.generation + 1))
                if after:
                    other = _decode_record(0, after)
                    self.lost = f"the study was taken over by another driver ({other})"
                    return
                self._write(replace(self.record, time=time.time()))

    def release(self) -> None:
        """Let the next driver start at once; where the store refuses, it has to wait."""
        with suppress(*storage_errors()):
            self._write(replace(self.record, time=time.time(), released=True))

    def _write(self, record: OwnerRecord) -> None:
        self.record = record
        self.folder.fs.pipe_file(_record_path(self.folder, record.generation).path, record.encode())


@contextmanager
def hold_study(folder: UPath, after: int = 0) -> Iterator[Owner]:
    """Hold a study as its only driver, with a heartbeat.

    Args:
        folder: The study's prefix.
        after: Largest number that a launch had; this one gets a larger one.

    Raises:
        StudyDirectoryError: if another driver holds it.
        StorageError: if the store cannot be used, or does not know conditional writes.
    """
    owner = claim_study(folder, after)
    # A thread of its own, since the driver may wait for Ray longer than a beat.
    heart = threading.Thread(target=owner.keep_heartbeat, name="heartbeat", daemon=True)
    heart.start()
    try:
        yield owner
    finally:
        owner._ended.set()
        heart.join()
        if not owner.lost:
            owner.release()


def claim_study(folder: UPath, after: int = 0) -> Owner:
    """Become the driver, once no other one lives; see `hold_study`."""
    before = owner_records(folder)
    if before and not before[-1].released:
        _wait_for_death(folder, before[-1])
    # Above the ledger's segments too: a ledger copied from elsewhere has no owner records.
    generation = 1 + max([after, *(record.generation for record in before)])
    pid = os.getpid()
    who: dict[str, Any] = {
        "host": host_name(),
        "machine": machine_id(),
        "pid": pid,
        "began": process_start(pid),
    }
    record = OwnerRecord(generation, **who, token=secrets.token_hex(8), time=time.time())
    path = _record_path(folder, generation)
    if not create_object(path, record.encode()):
        raise StudyDirectoryError(
            _busy_message(folder, _decode_record(generation, read_content(path) or b""))
        )
    # A store that overwrites would let every driver win: nothing here could be relied on.
    if create_object(path, b"\n"):
        rule = "its store must refuse to write a key that is taken (If-None-Match), and did not"
        raise StorageError(
            f"`{folder}` cannot hold a study: {rule}; use another store, or a folder"
        )
    return Owner(
        folder, record, tuple(record.generation for record in before if not record.released)
    )


def owner_records(folder: Place) -> list[OwnerRecord]:
    """Records of all launches, oldest first."""
    listed = [name for name in list_names(folder) if re.fullmatch(r"owner-\d+\.json", name)]
    contents = read_contents(folder, listed)
    records = []
    for name, data in zip(listed, contents, strict=True):
        generation = int(name.removeprefix("owner-").removesuffix(".json"))
        records.append(_decode_record(generation, data))
    return records


def current_owner(folder: Place) -> OwnerRecord | None:
    """The driver by its last heartbeat and this machine's clock; None when there is none."""
    last = owner_records(folder)[-1:]
    if not last or last[0].released:
        return None
    alive = last[0].is_alive
    if alive is None:
        alive = time.time() - last[0].time < WATCH_SECONDS
    return last[0] if alive else None


def _wait_for_death(folder: UPath, last: OwnerRecord) -> None:
    """Return once the holder is known to be dead.

    Raises:
        StudyDirectoryError: if it lives.
    """
    alive = last.is_alive
    path = _record_path(folder, last.generation)
    deadline = time.monotonic() + WATCH_SECONDS
    if alive is None:
        said = "`%s` was left by %s; waiting %g s to see whether it still runs"
        logging.getLogger(__name__).warning(said, folder, printable(str(last)), WATCH_SECONDS)
        # Whether the record changes is seen without trusting the other machine's clock.
        before = read_content(path)
        while not alive and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            alive = read_content(path) != before
    # A driver that ended while it was watched has changed its record once more, and released it.
    if alive and not _decode_record(last.generation, read_content(path) or b"").released:
        raise StudyDirectoryError(_busy_message(folder, last))


def _busy_message(folder: UPath, record: OwnerRecord) -> str:
    return f"`{folder}` is being run by another process ({record}); wait for it, or stop it first"


def _record_path(folder: UPath, generation: int) -> UPath:
    return folder / f"owner-{generation:06d}.json"


def _decode_record(generation: int, data: bytes) -> OwnerRecord:
    """A record; where it cannot be read, one of an unknown machine."""
    fields: Mapping[str, Any] = {}
    with suppress(ValueError, TypeError):
        fields = {**json.loads(data), "generation": generation}
        return OwnerRecord(**fields)
    return OwnerRecord(generation)
