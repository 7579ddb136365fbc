"""The study directory: its files, who may write them, and what is refused.

The driver writes `study.json`, `provenance.jsonl`, `ledger/` and `search.journal`; a worker only
its own `trials/<id>/attempt-<n>/`; analysis the rest.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sparsetune.errors import StorageError, StudyDirectoryError
from sparsetune.machine import host_name
from sparsetune.paths import (
    Place,
    create_object,
    list_names,
    read_content,
    refusal_reason,
    resolve_place,
    storage_errors,
)
from sparsetune.spec import SCHEMA_VERSION
from sparsetune.spec.defaults import DEFAULTS_BY_VERSION
from sparsetune.storage import owner
from sparsetune.storage.segments import last_launch_number, seal_launches
from sparsetune.study import Study, declaration_differences


class StudyDirectory:
    """Paths of one study, and the few files that are read and written as a whole.

    Args:
        path: Folder, or ``s3://`` URL of a prefix.
    """

    def __init__(self, path: str | os.PathLike[str] | Place) -> None:
        self.path = resolve_place(path)
        self.declaration = self.path / "study.json"
        self.provenance = self.path / "provenance.jsonl"
        self.ledger = self.path / "ledger"
        self.journal = self.path / "search.journal"
        self.trials = self.path / "trials"
        self.tables = self.path / "tables"
        self.figures = self.path / "figures"
        self.report = self.path / "report" / "index.html"

    def attempt(self, trial_id: str, attempt: int) -> Place:
        """Folder of one attempt of a trial."""
        return self.trials / trial_id / f"attempt-{attempt}"

    def attempts(self, trial_id: str) -> list[int]:
        """Attempts of a trial that left a folder, oldest first; the ledger may lack the last one.

        Raises:
            StorageError: if the folders cannot be listed.
        """
        names = list_names(self.trials / trial_id)
        matches = [re.fullmatch(r"attempt-(\d+)", name) for name in names]
        return sorted(int(match[1]) for match in matches if match)

    def study(self) -> Study:
        """The declaration that the directory was started from.

        Raises:
            StudyDirectoryError: if this is no study directory, or one of another schema version.
            StorageError: if it cannot be read.
        """
        text = read_content(self.declaration)
        if text is None:
            raise StudyDirectoryError(
                f"`{self.path}` is not a study directory: it has no `study.json`"
            )
        try:
            stored = json.loads(text)
            version = stored["schema"]
        except (ValueError, KeyError, TypeError) as error:
            raise StudyDirectoryError(
                f"`{self.declaration}` is not a study's declaration: {error!r}"
            ) from error
        if version != SCHEMA_VERSION:
            raise StudyDirectoryError(
                f"`{self.path}` has schema version {version},"
                f" this sparsetune reads {SCHEMA_VERSION};"
                " read it with the version that wrote it (see its `provenance.jsonl`)"
            )
        try:
            study = Study.model_validate(stored["declaration"])
        except (ValueError, KeyError) as error:
            raise StudyDirectoryError(f"`{self.declaration}` is damaged: {error}") from error
        # What is stored is complete: a field that is left out has the value of version 1.
        return study.under_defaults(1)

    def defaults_version(self) -> int:
        """Version of the defaults that the study was declared under; the current one if it is new.

        A declaration is compared under this version. A damaged file counts as version 1: reading
        the study says what is wrong with it.

        Raises:
            StudyDirectoryError: if the study was declared under a later version.
            StorageError: if it cannot be read.
        """
        text = read_content(self.declaration)
        if text is None:
            return DEFAULTS_BY_VERSION.current
        version = 1
        with suppress(ValueError, AttributeError):
            version = json.loads(text).get("defaults", 1)
        if version not in DEFAULTS_BY_VERSION.versions:
            raise StudyDirectoryError(
                f"`{self.path}` was declared under defaults version {version}, this sparsetune"
                f" knows 1 to {DEFAULTS_BY_VERSION.current}; go on with the version that wrote it"
                " (see its `provenance.jsonl`)"
            )
        return version

    def create(self, study: Study, defaults_version: int = 1) -> None:
        """Start the directory, or accept one that was started from the same declaration.

        Args:
            study: The declaration, complete under a version of the defaults.
            defaults_version: That version.

        Raises:
            StudyDirectoryError: if another declaration or foreign files lie there.
            StorageError: if it cannot be written.
        """
        if read_content(self.declaration) is not None:
            self.require_same_study(study)
            return
        if not self._is_unused():
            raise StudyDirectoryError(
                f"`{self.path}` exists and is not a study; choose another --storage or --name"
            )
        declaration: dict[str, Any] = {"schema": SCHEMA_VERSION}
        # Absent is 1, as in the directories that were written before defaults had versions.
        if defaults_version > 1:
            declaration["defaults"] = defaults_version
        declaration["digest"] = study.digest()
        declaration["declaration"] = study.given()
        text = json.dumps(declaration, indent=2) + "\n"
        if isinstance(self.declaration, Path):
            with translating_write_errors(self.path):
                write_durably(self.declaration, text)
        elif not create_object(self.declaration, text.encode()):  # another driver was faster
            self.require_same_study(study)

    def _is_unused(self) -> bool:
        """True if nothing lies there but what a driver stopped at its start may have left."""
        left = {f"{self.declaration.name}.tmp", "driver.lock"}
        is_file = isinstance(self.path, Path) and self.path.is_file()
        return not is_file and {*list_names(self.path)} <= left

    def require_same_study(self, study: Study) -> None:
        """Refuse another declaration than the directory was started from.

        Raises:
            StudyDirectoryError: naming every field that differs.
        """
        before = self.study()
        # Digests leave out what does not change what runs, such as the question in words.
        if before.digest() != study.digest():
            changed = "\n".join(
                f"  - {line}" for line in declaration_differences(before.given(), study.given())
            )
            raise StudyDirectoryError(
                f"`{self.path}` holds a study of another declaration; it differs in\n{changed}\n"
                "Give the new one another name (--name), or undo the change to resume"
            )

    def record_launch(self, facts: Mapping[str, Any]) -> None:
        """Add one launch to `provenance.jsonl`.

        Raises:
            StorageError: if it cannot be written.
        """
        before = read_content(self.provenance) or b""
        # Rewritten whole: object stores cannot append, and a full disk must not tear the last line.
        with translating_write_errors(self.provenance):
            write_durably(self.provenance, before + json.dumps(facts).encode() + b"\n")

    def launches(self) -> list[dict[str, Any]]:
        """Facts of every launch so far, oldest first, as `launch_facts` returned them.

        Raises:
            StorageError: if they cannot be read.
            StudyDirectoryError: if a line is damaged.
        """
        lines = (read_content(self.provenance) or b"").splitlines()
        launches = []
        for number, line in enumerate(lines, start=1):
            with suppress(ValueError, RecursionError):
                facts = json.loads(line)
                if isinstance(facts, dict):
                    launches.append(facts)
                    continue
            raise StudyDirectoryError(
                f"line {number} of `{self.provenance}` must be the JSON object of a launch;"
                " copy the file again, or delete that line"
            )
        return launches

    @contextmanager
    def locked(self) -> Iterator[owner.Owner | None]:
        """Hold the study as its only driver, by a file lock or as an object store's owner.

        Yields:
            This process as the owner in an object store; None on a disk.

        Raises:
            StudyDirectoryError: if another driver holds it.
            StorageError: if it cannot be held.
        """
        if isinstance(self.path, Path):
            with _disk_lock(self.path):
                yield None
            return
        assert not isinstance(self.ledger, Path)
        with owner.hold_study(self.path, last_launch_number(self.ledger)) as mine:
            # Before the ledger is read again: a driver that was only paused might add to it.
            seal_launches(self.ledger, mine.superseded)
            yield mine

    def driver(self) -> str | None:
        """Name of the process that runs the study now; None when none does.

        In an object store its last heartbeat decides.

        Raises:
            StorageError: if the store cannot be read.
        """
        if not isinstance(self.path, Path):
            record = owner.current_owner(self.path)
            return str(record) if record else None
        try:
            with open(self.path / "driver.lock") as lock:
                holder = lock.read()
                # Shared, so that two that look at once do not take each other for a driver.
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except OSError:
            return holder
        return None

    @contextmanager
    def journal_file(self) -> Iterator[Path]:
        """Path of a file to build `search.journal` in.

        In an object store it is a temporary file, copied there at the end of a launch that ended
        well.

        Raises:
            StorageError: if it cannot be copied.
        """
        if isinstance(self.journal, Path):
            yield self.journal
            return
        with tempfile.TemporaryDirectory(prefix="sparsetune-") as folder:
            file = Path(folder) / self.journal.name
            yield file
            if file.exists():
                with translating_write_errors(self.journal):
                    write_durably(self.journal, file.read_bytes())


@contextmanager
def _disk_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a study on a disk."""
    with translating_write_errors(path):
        # Not "w": it would erase the holder's name before the lock is ours.
        lock = open(path / "driver.lock", "a+")  # noqa: SIM115 - closed below
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise StudyDirectoryError(
                f"`{path}` is being run by another process ({holder});"
                " wait for it, or stop it first"
            ) from error
        with translating_write_errors(path):
            os.ftruncate(lock.fileno(), 0)
            os.write(lock.fileno(), f"pid {os.getpid()} on {host_name()}".encode())
        # The lock ends with its process, however that dies: closing the file gives it up.
        yield


@contextmanager
def translating_write_errors(path: Place) -> Iterator[None]:
    """Turn a disk's or a store's refusal into one message.

    Raises:
        StorageError: naming the path and the reason.
    """
    try:
        yield
    except storage_errors() as error:
        name = getattr(error, "filename", None) or path
        raise StorageError(f"`{name}` cannot be written: {refusal_reason(error)}") from error


def write_durably(path: Place, data: str | bytes) -> None:
    """Replace a file as a whole, and make its folders.

    A file is written under a temporary name, synced and renamed; an object with one PUT.
    """
    whole = data.encode() if isinstance(data, str) else data
    if not isinstance(path, Path):
        path.fs.pipe_file(path.path, whole)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renaming is atomic and syncing comes first: a crash leaves the old file whole, or the new one.
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(whole)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
