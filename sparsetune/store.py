"""The study directory: where everything lies, who may write it, and what is refused.

The driver writes `study.json`, `provenance.jsonl`, `ledger/` and `search.journal`; a worker only its own
`trials/<id>/attempt-<n>/`; analysis the rest.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sparsetune.errors import StorageError, StudyDirectoryError
from sparsetune.spec import SCHEMA_VERSION
from sparsetune.study import Study, differences


class StudyDirectory:
    """The paths of one study, and the few files that are read and written as a whole."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).resolve()
        self.declaration = self.path / "study.json"
        self.provenance = self.path / "provenance.jsonl"
        self.ledger = self.path / "ledger"
        self.journal = self.path / "search.journal"
        self.trials = self.path / "trials"
        self.tables = self.path / "tables"
        self.figures = self.path / "figures"
        self.report = self.path / "report" / "index.html"

    def attempt(self, trial_id: str, attempt: int) -> Path:
        """The folder of one process life of a trial."""
        return self.trials / trial_id / f"attempt-{attempt}"

    def attempts(self, trial_id: str) -> list[int]:
        """The attempts of a trial that left a folder, oldest first; the ledger may lack the last one's start."""
        names = (re.fullmatch(r"attempt-(\d+)", path.name) for path in (self.trials / trial_id).glob("attempt-*"))
        return sorted(int(name[1]) for name in names if name)

    def study(self) -> Study:
        """The declaration that the directory was started from.

        Raises:
            StudyDirectoryError: if this is no study directory, or one of another schema version.
        """
        if not self.declaration.is_file():
            raise StudyDirectoryError(f"`{self.path}` is not a study directory: it has no `study.json`")
        try:
            stored = json.loads(self.declaration.read_text())
            version = stored["schema"]
        except (ValueError, KeyError, TypeError) as error:
            raise StudyDirectoryError(f"`{self.declaration}` is not a study's declaration: {error!r}") from error
        if version != SCHEMA_VERSION:
            raise StudyDirectoryError(
                f"`{self.path}` has schema version {version}, this sparsetune reads {SCHEMA_VERSION};"
                " read it with the version that wrote it (see its `provenance.jsonl`)"
            )
        try:
            return Study.model_validate(stored["declaration"])
        except (ValueError, KeyError) as error:
            raise StudyDirectoryError(f"`{self.declaration}` is damaged: {error}") from error

    def create(self, study: Study) -> None:
        """Start the directory, or accept the existing one if it was started from the same declaration.

        Raises:
            StudyDirectoryError: if another declaration or foreign files lie there.
            StorageError: if it cannot be written.
        """
        if self.declaration.exists():
            self._same(study)
            return
        if self.path.exists() and not self._unused():
            raise StudyDirectoryError(f"`{self.path}` exists and is not a study; choose another --storage or --name")
        declaration = {"schema": SCHEMA_VERSION, "digest": study.digest(), "declaration": study.given()}
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            write_durably(self.declaration, json.dumps(declaration, indent=2) + "\n")

    def _unused(self) -> bool:
        """Whether nothing lies there but what a driver stopped at its start may have left."""
        left = {f"{self.declaration.name}.tmp", "driver.lock"}
        return self.path.is_dir() and {path.name for path in self.path.iterdir()} <= left

    def _same(self, study: Study) -> None:
        before = self.study()
        if before.digest() != study.digest():
            changed = "\n".join(f"  - {line}" for line in differences(before.given(), study.given()))
            raise StudyDirectoryError(
                f"`{self.path}` holds a study of another declaration; it differs in\n{changed}\n"
                "Give the new one another name (--name), or undo the change to resume"
            )

    def record_launch(self, facts: Mapping[str, Any]) -> None:
        """Add one launch to `provenance.jsonl`."""
        with writing(self.provenance):
            before = self.provenance.read_text() if self.provenance.exists() else ""
            write_durably(self.provenance, before + json.dumps(facts) + "\n")

    def launches(self) -> list[dict[str, Any]]:
        """Every launch so far, oldest first."""
        lines = self.provenance.read_text().splitlines() if self.provenance.exists() else []
        return [json.loads(line) for line in lines]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the study as its only driver; the lock ends with the process, however that ends.

        Raises:
            StudyDirectoryError: if another driver holds it.
        """
        with writing(self.path):
            lock = open(self.path / "driver.lock", "a+")  # noqa: SIM115  # closed below
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                lock.seek(0)
                holder = lock.read().strip() or "unknown"
                rule = f"`{self.path}` is being run by another process ({holder}); wait for it, or stop it first"
                raise StudyDirectoryError(rule) from error
            with writing(self.path):
                os.ftruncate(lock.fileno(), 0)
                os.write(lock.fileno(), f"pid {os.getpid()} on {os.uname().nodename}".encode())
            yield

    def driver(self) -> str | None:
        """Who runs the study now; None when nobody does."""
        try:
            with open(self.path / "driver.lock") as lock:
                holder = lock.read()
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except OSError:
            return holder
        return None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a disk's refusal into one message.

    Raises:
        StorageError: naming the path and the reason.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"`{error.filename or path}` cannot be written: {error.strerror}") from error


def write_durably(path: Path, text: str) -> None:
    """Replace a file as a whole: a temporary name, synced, renamed."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
