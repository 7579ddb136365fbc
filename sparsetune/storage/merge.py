"""Union of study directories of one declaration, run on machines without shared storage.

Trials are joined by their ids. Nothing is rewritten: the union is a new directory, whose ledger has
the records of one source for every trial.
"""

from __future__ import annotations

import heapq
import json
import math
import os
import secrets
import shutil
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sparsetune.errors import StudyDirectoryError
from sparsetune.paths import read_content, translating_write_errors
from sparsetune.storage.checks import read_json
from sparsetune.storage.checksums import Chain, seal_lines
from sparsetune.storage.directory import StudyDirectory, write_durably
from sparsetune.storage.provenance import environment_changes
from sparsetune.storage.records import (
    Ended,
    Extended,
    Granted,
    Proposed,
    Record,
    UnknownRecord,
)
from sparsetune.storage.trial_state import TrialState, fold_records
from sparsetune.study import declaration_differences

UNCOMPARED_COLUMNS = ("seconds", "peak_memory")
"""Columns that differ between two runs of one trial, whatever its numbers."""
UNCOMPARED_KEYS = {"declaration", "digest", "checksum"}
"""Keys of `study.json` that are compared as a declaration, or follow from it."""
STATUS_RANKS = {"COMPLETE": 2, "DIVERGED": 2, "INVALID": 2, "PRUNED": 1}
"""Of two records of a trial, the one of the higher rank is kept; other statuses have rank 0."""
MAX_NAMED = 5
"""Conflicts that a message names."""


@dataclass(frozen=True)
class MergedStudy:
    """Outcome of a merge.

    Args:
        directory: The new directory.
        counts: Number of trials by status.
        warnings: A line for each difference between the sources that changes no declaration.
    """

    directory: Path
    counts: Counter[str]
    warnings: Sequence[str]


class _Source:
    """One of the directories that are merged, read once.

    Raises:
        StudyDirectoryError: if it is no study directory, is damaged, or a driver runs it.
        StorageError: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.folder = path.resolve()
        self.home = StudyDirectory(self.folder)
        self.name = str(path)
        self.declaration: dict[str, Any] = read_json(self.home.declaration) or {}
        if driver := self.home.driver():
            raise StudyDirectoryError(
                f"`{self.name}` is being run by another process ({driver});"
                " wait for it, or stop it first"
            )
        recorded = self.home.recorded()
        self.study = recorded.declared
        self.records = recorded.records
        self.trials = fold_records(self.records)
        self.launches = self.home.launches()

    @cached_property
    def additions(self) -> list[Extended | Granted]:
        """What was added to the declaration, oldest first, without retries."""
        added = [record for record in self.records if isinstance(record, Extended | Granted)]
        return [one for one in added if _added_values(one) != NOTHING_ADDED]

    @cached_property
    def code(self) -> set[str]:
        """Digests of sparsetune's files in its launches."""
        return {facts["code"] for facts in self.launches if facts.get("code")}

    @cached_property
    def data(self) -> dict[str, set[str]]:
        """Digests of the data that trials read, by the data's name."""
        found: dict[str, set[str]] = {}
        for trial in self.trials.values():
            for start in trial.starts:
                for text in (start.data or "").split():
                    name, _, digest = text.rpartition("=")
                    found.setdefault(name, set()).add(digest)
        return found


def merge_studies(paths: Sequence[Path], into: Path) -> MergedStudy:
    """Write the union of study directories into a new one.

    Of a trial that several have, the record that ended is kept, else the one with most epochs.

    Args:
        paths: Directories of one declaration, two or more; they stay as they are.
        into: The new directory; it must not exist, or be empty.

    Raises:
        StudyDirectoryError: if the directories differ in declaration, code, data, extensions or
            the numbers of a trial, naming what differs; or if ``into`` is taken.
        StorageError: if a directory cannot be read or the new one not written.
    """
    if len(paths) < 2:
        raise StudyDirectoryError("at least two study directories must be given, got one")
    if into.is_symlink() or (into.exists() and (not into.is_dir() or any(into.iterdir()))):
        raise StudyDirectoryError(f"`{into}` must be a new folder, and exists; choose another name")
    sources = [_Source(path) for path in paths]
    first = sources[0]
    for other in sources[1:]:
        _require_same_declaration(first, other)
        _require_same_code(first, other)
        _require_same_data(first, other)
    extended = _require_same_additions(sources)
    chosen = _choose_sources(sources)
    _require_equal_numbers(sources, chosen)
    records = list(_merged_records(sources, chosen, extended))
    with translating_write_errors(into):
        _write(sources, chosen, records, into)
    counts = Counter[str](trial.status for trial in fold_records(records).values())
    warnings = [line for other in sources[1:] for line in _environment_warnings(first, other)]
    return MergedStudy(into, counts, warnings)


def _require_same_declaration(first: _Source, other: _Source) -> None:
    if first.study.digest() != other.study.digest():
        lines = declaration_differences(first.study.given(), other.study.given())
        raise _difference(first, other, "be of one declaration", lines)
    # Whatever else a version keeps beside the declaration, such as sizes of data that were read.
    kept = [
        f"`{name}`: {first.declaration.get(name)} -> {other.declaration.get(name)}"
        for name in sorted({*first.declaration, *other.declaration} - UNCOMPARED_KEYS)
        if first.declaration.get(name) != other.declaration.get(name)
    ]
    if kept:
        raise _difference(first, other, "have the same `study.json`", kept)


def _require_same_code(first: _Source, other: _Source) -> None:
    # A directory of an older version did not record it.
    if first.code and other.code and first.code != other.code:
        line = f"sparsetune's files, by digest: {_listed(first.code)} -> {_listed(other.code)}"
        raise _difference(first, other, "have run the same code", [line])


def _require_same_data(first: _Source, other: _Source) -> None:
    lines = [
        f"`{name}`, by digest: {_listed(first.data[name])} -> {_listed(other.data[name])}"
        for name in sorted(first.data.keys() & other.data.keys())
        if first.data[name] != other.data[name]
    ]
    if lines:
        raise _difference(first, other, "have read the same data", lines)


def _difference(
    first: _Source, other: _Source, rule: str, lines: Sequence[str]
) -> StudyDirectoryError:
    listed = "\n".join(f"  - {line}" for line in lines)
    return StudyDirectoryError(
        f"`{first.name}` and `{other.name}` must {rule} to be merged; they differ in\n{listed}"
    )


def _listed(digests: Iterable[str]) -> str:
    return " and ".join(sorted(digests))


NOTHING_ADDED: tuple[Any, ...] = (0, 0, {})


def _added_values(added: Extended | Granted) -> tuple[Any, ...]:
    if isinstance(added, Granted):
        return added.look, added.report_seeds, list(added.cells)
    sweep = {axis: list(values) for axis, values in added.sweep.items()}
    return added.report_seeds, added.configurations_per_cell, sweep


def _require_same_additions(sources: Sequence[_Source]) -> _Source:
    """The source that was extended furthest.

    Raises:
        StudyDirectoryError: if another was extended in another way.
    """
    furthest = max(sources, key=lambda source: len(source.additions))
    values = [_added_values(one) for one in furthest.additions]
    for source in sources:
        own = [_added_values(one) for one in source.additions]
        if own != values[: len(own)]:
            lines = [f"`{one.name}`: {_additions_text(one)}" for one in (furthest, source)]
            raise _difference(furthest, source, "have been extended alike", lines)
    return furthest


def _additions_text(source: _Source) -> str:
    texts = []
    for one in source.additions:
        parts: dict[str, Any] = {"report seeds": one.report_seeds}
        if isinstance(one, Granted):
            parts["in cells"] = list(one.cells)
        else:
            parts["configurations"] = one.configurations_per_cell
            parts["sweep"] = dict(one.sweep)
        texts.append(", ".join(f"{name} {value}" for name, value in parts.items() if value))
    return "; ".join(texts) or "nothing"


def _choose_sources(sources: Sequence[_Source]) -> dict[str, _Source]:
    """The source whose record of each trial is kept, by trial."""
    chosen: dict[str, _Source] = {}
    for source in sources:
        for trial_id, trial in source.trials.items():
            before = chosen.get(trial_id)
            if before is None or _worth(trial) > _worth(before.trials[trial_id]):
                chosen[trial_id] = source
    return chosen


def _worth(trial: TrialState) -> tuple[int, float]:
    return STATUS_RANKS.get(trial.status, 0), trial.epochs


def _require_equal_numbers(sources: Sequence[_Source], chosen: Mapping[str, _Source]) -> None:
    """Refuse trials that ended in several sources with other numbers.

    Raises:
        StudyDirectoryError: naming the first of them.
    """
    conflicts = []
    for trial_id, kept in chosen.items():
        mine = kept.trials[trial_id]
        for source in sources:
            other = source.trials.get(trial_id)
            if source is kept or other is None or STATUS_RANKS.get(other.status) != 2:
                continue
            if difference := _number_difference(mine, other):
                use = mine.use
                conflicts.append(
                    f"{trial_id} ({use.cell}, {use.role}, seed {use.seed}): {difference}"
                    f" (`{kept.name}`, `{source.name}`)"
                )
    if conflicts:
        more = len(conflicts) - MAX_NAMED
        lines = [*conflicts[:MAX_NAMED], *([f"and {more} more"] if more > 0 else [])]
        listed = "\n".join(f"  - {line}" for line in lines)
        raise StudyDirectoryError(
            "a trial that ended in several directories must have the same numbers in all; these"
            f" differ\n{listed}\nMerge directories whose trials ran on the same kind of machine,"
            " or that share none"
        )


def _number_difference(mine: TrialState, other: TrialState) -> str | None:
    """The first number in which two ends of one trial differ, in words; None without any."""
    ours = dict(_numbers(mine))
    theirs = dict(_numbers(other))
    for name in {**ours, **theirs}:
        if ours.get(name) != theirs.get(name):
            return f"{name} {ours.get(name)} and {theirs.get(name)}"
    return None


def _numbers(trial: TrialState) -> Iterator[tuple[str, Any]]:
    """Status, final columns and every evaluation of a trial, by name."""
    ended = trial.ended
    assert isinstance(ended, Ended)
    final = {"status": ended.status, "certified": ended.certified, **ended.columns}
    yield from ((name, value) for name, value in final.items() if name not in UNCOMPARED_COLUMNS)
    for step, report in sorted(trial.reports.items()):
        for name, value in report.row.items():
            if name not in UNCOMPARED_COLUMNS:
                yield f"{name} at step {step}", value


def _merged_records(
    sources: Sequence[_Source], chosen: Mapping[str, _Source], extended: _Source
) -> Iterator[Record]:
    """Records of the union, by time; those of one source keep their order."""
    streams = []
    for source in sources:
        kept = [record for record in source.records if _is_kept(record, source, chosen, extended)]
        streams.append(_timed(kept))
    seen: set[tuple[str, str, str]] = set()
    for _, record in heapq.merge(*streams, key=lambda timed: timed[0]):
        match record:
            case Proposed():
                use = (record.trial_id, record.cell, record.role)
                if use in seen:
                    continue
                seen.add(use)
                yield record
            case Extended():
                yield replace(record, retried=(), asked=())
            case _:
                yield record
    # Last, where all of them have failed.
    again = [one for one, source in chosen.items() if source.trials[one].again]
    asked = _asked_later(sources)
    if again or asked:
        yield Extended(retried=again, asked=asked)


def _asked_later(sources: Sequence[_Source]) -> list[Mapping[str, Any]]:
    """Questions that any source was asked after its first launch, each once."""
    asked: list[Mapping[str, Any]] = []
    for source in sources:
        for record in source.records:
            questions = record.asked if isinstance(record, Extended) else ()
            asked += [question for question in questions if question not in asked]
    return asked


def _is_kept(
    record: Record, source: _Source, chosen: Mapping[str, _Source], extended: _Source
) -> bool:
    match record:
        case Proposed():
            return True  # every use of a trial, whichever source ran it
        case Extended() | Granted():
            return source is extended and _added_values(record) != NOTHING_ADDED
        case UnknownRecord():
            trial_id = record.values.get("trial_id")
            return trial_id is None or chosen.get(trial_id) is source
        case _:
            return chosen.get(record.trial_id) is source


def _timed(records: Iterable[Record]) -> Iterator[tuple[float, Record]]:
    """Records with their times, which never fall: clocks of workers may differ."""
    latest = -math.inf
    for record in records:
        when = getattr(record, "time", math.nan)
        latest = latest if math.isnan(when) else max(latest, when)
        yield latest, record


def _environment_warnings(first: _Source, other: _Source) -> list[str]:
    """Differences between the last launches of two sources, a line each."""
    if not first.launches or not other.launches:
        return []
    changes = environment_changes(first.launches[-1], other.launches[-1])
    return [f"`{first.name}` and `{other.name}` differ in {line}" for line in changes]


def _write(
    sources: Sequence[_Source],
    chosen: Mapping[str, _Source],
    records: Sequence[Record],
    into: Path,
) -> None:
    """Write the new directory under another name, and give it its own once it is whole."""
    into.parent.mkdir(parents=True, exist_ok=True)
    folder = into.parent / f".{into.name}-{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        new = StudyDirectory(folder)
        write_durably(folder / "study.json", read_content(sources[0].home.declaration) or b"")
        launches = [
            {**facts, "merged_from": str(source.folder)}
            for source in sources
            for facts in source.launches
        ]
        launches.sort(key=lambda facts: facts.get("time", 0))
        lines = [json.dumps(facts).encode() + b"\n" for facts in launches]
        write_durably(folder / "provenance.jsonl", seal_lines(lines, Chain())[0])
        with closing(new.open_ledger()) as ledger:
            ledger.append(*records)
        for trial_id, source in chosen.items():
            _copy_trial(source.folder / "trials" / trial_id, folder / "trials" / trial_id)
        os.rename(folder, into)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _copy_trial(source: Path, target: Path) -> None:
    """Copy a trial's files and folders, and nothing else.

    A link leads out of the study, and a FIFO would keep its reader waiting.
    """
    if _is_plain(source) and source.is_dir():
        shutil.copytree(source, target, ignore=_others_in)


def _others_in(folder: str, names: list[str]) -> list[str]:
    """Names in a folder that are neither files nor folders."""
    return [name for name in names if not _is_plain(Path(folder, name))]


def _is_plain(path: Path) -> bool:
    """True for a regular file or a folder, False for a link to one."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)
