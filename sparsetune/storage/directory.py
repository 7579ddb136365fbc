"""The study directory: its files, who may write them, and what is refused.

The driver writes `study.json`, `provenance.jsonl`, `ledger/` and `search.journal`; a worker only
its own `trials/<id>/attempt-<n>/`; analysis the rest.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sparsetune.errors import SparsetuneError, StorageError, StudyDirectoryError, printable
from sparsetune.paths import (
    Place,
    create_object,
    list_names,
    read_content,
    resolve_place,
    translating_write_errors,
)
from sparsetune.paths.confined import replace_file
from sparsetune.spec import SCHEMA_VERSION
from sparsetune.spec.defaults import DEFAULTS_BY_VERSION
from sparsetune.storage import owner
from sparsetune.storage.checks import MAX_JSON_BYTES, is_number, parse_json, require_named_record
from sparsetune.storage.checksums import (
    SEAL_KEYS,
    Chain,
    DamageError,
    find_damage,
    looks_sealed,
    seal_lines,
)
from sparsetune.storage.ledger import Ledger, LedgerLines, parse_ledger
from sparsetune.storage.records import Granted, Record
from sparsetune.storage.segments import (
    LedgerEnd,
    LedgerText,
    is_segment_held,
    last_launch_number,
    read_ledger_text,
    seal_launches,
)
from sparsetune.study import Study, declaration_differences
from sparsetune.study.questions.defaults import asked_questions
from sparsetune.study.questions.kinds import Question
from sparsetune.study.questions.names import read_question

MAX_STRETCH = 1e6
"""Largest stretch of a training that is read; a launch resolves smaller ones."""
LEFT_AT_START = re.compile(r"driver\.lock|study\.json(\..*)?\.tmp")
"""Names that a driver which was stopped at its start may have left."""
SALVAGING = "`status`, `report`, `replay`, `diff` and `export`"
"""Commands that only read a study, and may read a part of it."""


@dataclass(frozen=True)
class RecordedStudy:
    """A study as its directory records it.

    Args:
        declared: Its declaration.
        ledger: Its records.
        notices: What a reader should know about the ledger, a sentence each.
        stretches: Stretches of trainings that the first launch resolved from the user's network, by
            id of the recipe; empty where an older version ran it, or none is equalled in FLOPs.
    """

    declared: Study
    ledger: LedgerLines
    notices: Sequence[str]
    stretches: Mapping[str, float]

    @cached_property
    def records(self) -> list[Record]:
        """Every record, in order."""
        return self.ledger.records()

    @property
    def grants(self) -> list[Granted]:
        """Report seeds that cells got at looks, oldest first."""
        return [record for record in self.ledger.others if isinstance(record, Granted)]

    @cached_property
    def study(self) -> Study:
        """The declaration with everything that was added later."""
        return self.declared.extended(self.ledger.others)


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
        stored = self._stored_declaration()
        if stored is None:
            raise StudyDirectoryError(
                f"`{self.path}` is not a study directory: it has no `study.json`"
            )
        version = stored.get("schema")
        if version != SCHEMA_VERSION:
            raise StudyDirectoryError(
                f"`{self.path}` has schema version {version},"
                f" this sparsetune reads {SCHEMA_VERSION};"
                " read it with the version that wrote it (see its `provenance.jsonl`)"
            )
        if "checksum" in stored and stored["checksum"] != _values_checksum(stored):
            raise StudyDirectoryError(self._changed_text("checksum"))
        try:
            study = Study.model_validate(stored["declaration"])
            digest = study.digest()
        except (ValueError, KeyError, TypeError) as error:
            raise StudyDirectoryError(f"`{self.declaration}` is damaged: {error}") from error
        if stored.get("digest", digest) != digest:
            raise StudyDirectoryError(self._changed_text("digest"))
        # What is stored is complete: a field that is left out has the value of version 1.
        return study.under_defaults(1)

    def _stored_declaration(self) -> dict[str, Any] | None:
        """Contents of `study.json`; None where there is none.

        Raises:
            StudyDirectoryError: if it is damaged.
            StorageError: if it cannot be read.
        """
        text = read_content(self.declaration, MAX_JSON_BYTES)
        if text is None:
            return None
        try:
            stored = parse_json(text)
            if not isinstance(stored, dict) or "schema" not in stored:
                raise ValueError("it must be a JSON object with `schema` and `declaration`")
        except ValueError as error:
            raise StudyDirectoryError(
                f"`{self.declaration}` is not a study's declaration: {error}"
            ) from error
        return stored

    def _changed_text(self, key: str) -> str:
        return (
            f"`{self.declaration}` was changed or damaged since it was written: its {key} does not"
            " fit its declaration; copy the file again, or declare another study under another name"
        )

    def defaults_version(self) -> int:
        """Version of the defaults that the study was declared under; the current one if it is new.

        A declaration is compared under this version. A damaged file counts as version 1: reading
        the study says what is wrong with it.

        Raises:
            StudyDirectoryError: if the study was declared under a later version.
            StorageError: if it cannot be read.
        """
        version: Any = 1
        with suppress(StudyDirectoryError):
            stored = self._stored_declaration()
            if stored is None:
                return DEFAULTS_BY_VERSION.current
            version = stored.get("defaults", 1)
        if type(version) is not int or version not in DEFAULTS_BY_VERSION.versions:
            raise StudyDirectoryError(
                f"`{self.path}` was declared under defaults version {version}, this sparsetune"
                f" knows 1 to {DEFAULTS_BY_VERSION.current}; go on with the version that wrote it"
                " (see its `provenance.jsonl`)"
            )
        return version

    def resolved_stretches(self) -> dict[str, float]:
        """Stretches of trainings that the first launch resolved, by id of the recipe.

        Raises:
            StudyDirectoryError: if they are damaged.
            StorageError: if they cannot be read.
        """
        resolved = (self._stored_declaration() or {}).get("resolved", {})
        found = resolved.get("stretches", {}) if isinstance(resolved, dict) else None
        if not isinstance(found, dict) or not all(map(_is_stretch, found.values())):
            raise StudyDirectoryError(
                f"`{self.declaration}` is damaged: `resolved` must have stretches, numbers above 0"
                f" and at most {MAX_STRETCH:g}"
            )
        return found

    def questions(self) -> tuple[Question, ...] | None:
        """Questions that the study asked before its first trial, in full.

        Returns:
            The questions; None where an older version wrote the directory and kept none.

        Raises:
            StudyDirectoryError: if they are damaged.
            StorageError: if they cannot be read.
        """
        stored = (self._stored_declaration() or {}).get("questions")
        if stored is None:
            return None
        try:
            if not isinstance(stored, list):
                raise ValueError("`questions` must be a list")
            return tuple(map(read_question, stored))
        except ValueError as error:
            raise StudyDirectoryError(f"`{self.declaration}` is damaged: {error}") from error

    def create(
        self,
        study: Study,
        defaults_version: int = 1,
        stretches: Mapping[str, float] | None = None,
    ) -> None:
        """Start the directory, or accept one that was started from the same declaration.

        Args:
            study: The declaration, complete under a version of the defaults.
            defaults_version: That version.
            stretches: Stretches of trainings by id of the recipe, which readers that build no
                network need; None without any.

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
        if stretches:
            declaration["resolved"] = {"stretches": dict(stretches)}
        # In full: a version with other defaults still knows what was asked before the data.
        declaration["questions"] = [question.given() for question in asked_questions(study)]
        declaration["checksum"] = _values_checksum(declaration)
        text = json.dumps(declaration, indent=2) + "\n"
        if isinstance(self.declaration, Path):
            with translating_write_errors(self.path):
                write_durably(self.declaration, text)
        elif not create_object(self.declaration, text.encode()):  # another driver was faster
            self.require_same_study(study)

    def _is_unused(self) -> bool:
        """True if nothing lies there but what a driver stopped at its start may have left."""
        is_file = isinstance(self.path, Path) and self.path.is_file()
        return not is_file and all(map(LEFT_AT_START.fullmatch, list_names(self.path)))

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
            StudyDirectoryError: if a line in it is damaged.
            StorageError: if it cannot be written.
        """
        before = self._launches_text()
        line = json.dumps(facts).encode() + b"\n"
        added, _ = seal_lines([line], Chain().followed_by(before, before.count(b"\n")))
        # Rewritten whole: object stores cannot append, and a full disk must not tear the last line.
        with translating_write_errors(self.provenance):
            write_durably(self.provenance, before + added)

    def launches(self) -> list[dict[str, Any]]:
        """Facts of every launch so far, oldest first, as `launch_facts` returned them.

        Raises:
            StorageError: if they cannot be read.
            StudyDirectoryError: if a line is damaged.
        """
        lines = self._launches_text().split(b"\n")[:-1]
        launches = []
        for number, line in enumerate(lines, start=1):
            with suppress(ValueError):
                facts = parse_json(line)
                if isinstance(facts, dict):
                    launches.append({key: facts[key] for key in facts if key not in SEAL_KEYS})
                    continue
            raise DamageError(
                number,
                f"line {number} of `{self.provenance}`",
                "it must be the JSON object of a launch; copy the file again, or delete that line",
            )
        return launches

    def _launches_text(self) -> bytes:
        """Lines of `provenance.jsonl`, proved as far as they carry checksums.

        Raises:
            StorageError: if they cannot be read.
            DamageError: if a line is damaged.
        """
        text = read_content(self.provenance, MAX_JSON_BYTES) or b""
        lines = text.split(b"\n")
        if lines[-1]:
            raise DamageError(len(lines), f"line {len(lines)} of `{self.provenance}`", "it was cut")
        # Older versions wrote the first lines.
        old = next((n for n, line in enumerate(lines) if looks_sealed(line)), len(lines) - 1)
        start = sum(len(line) + 1 for line in lines[:old])
        chain = Chain().followed_by(text[:start], old)
        after = chain.followed_by(text[start:], len(lines) - 1 - old)
        damage = find_damage(text[start:], chain, after) if text[start:] else None
        if damage:
            number = old + damage[0] + 1
            raise DamageError(number, f"line {number} of `{self.provenance}`", damage[1])
        return text

    def read_ledger_text(self, *, salvage: bool = False) -> LedgerText:
        """Lines of the ledger, with their checksums proved; see `read_records`.

        Raises:
            StudyDirectoryError: naming file and line of the first damage.
            StorageError: if it cannot be read.
        """
        with _advising_salvage():
            return read_ledger_text(self.ledger, salvage)

    def read_records(
        self, study: Study, *, salvage: bool = False, text: LedgerText | None = None
    ) -> LedgerLines:
        """Records of the ledger, all proved: the one reader of launch, status and analysis.

        Args:
            study: The study's declaration, which names its metrics.
            salvage: True to read what is whole before the first damage instead of refusing it.
            text: Lines of the ledger, where they were read already.

        Raises:
            StudyDirectoryError: naming file and line of the first damage.
            StorageError: if it cannot be read.
        """
        with _advising_salvage():
            if text is None:
                text = read_ledger_text(self.ledger, salvage)
            metrics = study.base.task.metric_names()
            return parse_ledger(text, metrics, salvage=salvage, check=require_named_record)

    def recorded(self, *, salvage: bool = False, logs: bool = True) -> RecordedStudy:
        """The study as it is recorded, all of it proved.

        Args:
            salvage: True to read what is whole before the first damage instead of refusing it.
            logs: Whether to log the notices as warnings.

        Raises:
            StudyDirectoryError: if this is no study directory, or it is damaged, naming file and
                line.
            StorageError: if it cannot be read.
        """
        declared = self.study()
        ledger = self.read_records(declared, salvage=salvage)
        notices = self.notices(ledger.text)
        if logs:
            log_notices(notices)
        return RecordedStudy(declared, ledger, notices, self.resolved_stretches())

    def open_ledger(
        self, holder: owner.Owner | owner.DiskOwner | None = None, after: LedgerEnd | None = None
    ) -> Ledger:
        """The ledger, open for appending; call it while the study is held.

        Args:
            holder: This process as the owner, as `locked` yields it.
            after: End of the ledger as it was read last; None to read it now.

        Raises:
            StorageError: if it cannot be written.
            StudyDirectoryError: if it is damaged.
        """
        launches = (read_content(self.provenance) or b"").count(b"\n")
        return Ledger(self.ledger, holder, after=after, launches=launches)

    def notices(self, text: LedgerText) -> list[str]:
        """What a reader of the ledger should know about it, a sentence each.

        Raises:
            StorageError: if the directory cannot be read.
        """
        notices = []
        if text.damage:
            notices.append(f"{text.damage}; only the lines before it were read")
        if text.unsealed:
            number = len(text.unsealed)
            which = "the ledger carries no checksums"
            if number < len(text.segments):
                which = f"{number} of the ledger's {len(text.segments)} segments carry no checksums"
            notices.append(f"{which}: an older version wrote them, and damage may stay unseen")
        is_open = text.damage is None and not self.driver()
        if is_open and text.closed is False:
            torn = "; its last line is torn" if text.end.torn else ""
            reason = "not closed: the driver was killed, or the file was cut"
            notices.append(f"the ledger is {reason}{torn}")
        try:
            launches = self._launches_text()
        except SparsetuneError as error:  # it has no numbers of trials
            return [*notices, str(error)]
        launched = launches.count(b"\n")
        # An older version wrote neither a number of launches nor checksums.
        is_lost = text.closed is None and (not text.end.chain.lines or looks_sealed(launches))
        recorded = 0 if is_lost else text.launches
        if is_open and recorded is not None and recorded != launched:
            reason = "not closed: the driver was killed before it began, or a file was deleted"
            counts = f"`provenance.jsonl` has {launched} launches and the ledger {recorded}"
            notices.append(f"the ledger is {reason}: {counts}")
        return notices

    @contextmanager
    def locked(self) -> Iterator[owner.Owner | owner.DiskOwner]:
        """Hold the study as its only driver, by a file lock or as an object store's owner.

        Yields:
            This process as the owner.

        Raises:
            StudyDirectoryError: if another driver holds it.
            StorageError: if it cannot be held.
        """
        if isinstance(self.path, Path):
            with _disk_lock(self.path, self.path / self.ledger.name) as held:
                yield held
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
        holder = owner.folder_holder(self.path)
        is_held = holder is not None or is_segment_held(self.path / self.ledger.name)
        return (holder or "unknown") if is_held else None

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
def _disk_lock(path: Path, ledger: Path) -> Iterator[owner.DiskOwner]:
    """Hold a study on a disk.

    Raises:
        StudyDirectoryError: if another driver holds it.
        StorageError: if it cannot be held.
    """
    with ExitStack() as stack:
        try:
            with translating_write_errors(path):
                held = stack.enter_context(owner.hold_folder(path))
            # Who deletes a lock that is held does not end its holder.
            holder = "whose lock was deleted" if is_segment_held(ledger) else None
        except StorageError as error:
            if not isinstance(error.__cause__, BlockingIOError):
                raise
            holder = error.__cause__.strerror
        if holder:
            raise StudyDirectoryError(
                f"`{path}` is being run by another process ({holder}); wait for it, or stop it"
                " first"
            )
        yield held


def log_notices(notices: Iterable[str]) -> None:
    """Log what a reader should know about a ledger; by default it appears on stderr."""
    for notice in notices:
        logging.getLogger(__name__).warning("%s", printable(notice))


@contextmanager
def _advising_salvage() -> Iterator[None]:
    """Add to a damage what can be done about it."""
    try:
        yield
    except DamageError as error:
        advice = f"copy the file again; {SALVAGING} read the lines before it with --salvage"
        raise DamageError(error.number, error.where, f"{error.reason} ({advice})") from error


def _is_stretch(value: Any) -> bool:
    return is_number(value) and 0 < value <= MAX_STRETCH


def _values_checksum(stored: Mapping[str, Any]) -> str:
    """CRC-32 of a declaration's values but the checksum itself, eight hexadecimal digits."""
    kept = {name: value for name, value in stored.items() if name != "checksum"}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    return f"{zlib.crc32(text.encode()):08x}"


def write_durably(path: Place, data: str | bytes) -> None:
    """Replace a file as a whole, and make its folders.

    A file is written as `replace_file` does; an object with one PUT.

    Raises:
        OSError: if the disk or the store refuses, or a link is on the path.
    """
    whole = data.encode() if isinstance(data, str) else data
    if not isinstance(path, Path):
        path.fs.pipe_file(path.path, whole)
        return
    replace_file(path, whole)
