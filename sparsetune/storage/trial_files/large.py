"""Large files of a study's trials, checkpoints and models: finding and deleting them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from sparsetune.paths import translating_write_errors
from sparsetune.paths.confined import delete_file
from sparsetune.storage.directory import StudyDirectory

FILE_PATTERNS = {"checkpoints": "checkpoint-*", "models": "model.safetensors"}
"""Pattern of the names of each kind of large file, within an attempt's folder."""


@dataclass(frozen=True)
class LargeFile:
    """A checkpoint or a model of one trial.

    Args:
        path: The file; no link.
        kind: A key of `FILE_PATTERNS`.
        trial_id: The trial.
        size: Its bytes.
    """

    path: Path
    kind: str
    trial_id: str
    size: int


def find_large_files(home: StudyDirectory, kinds: Sequence[str]) -> list[LargeFile]:
    """Large files of a study on a disk, in order of their paths. Links are not followed.

    Args:
        home: The study's directory.
        kinds: Keys of `FILE_PATTERNS`.

    Raises:
        StorageError: if a folder cannot be read.
    """
    found = []
    with translating_write_errors(home.path):
        for trial in _folders_in(Path(str(home.trials)), "*"):
            for attempt in _folders_in(trial, "attempt-*"):
                found += [*_files_in(attempt, trial.name, kinds)]
    return found


def _folders_in(folder: Path, pattern: str) -> Iterator[Path]:
    """Folders of a folder, which is no link itself, by name; links are left out."""
    if folder.is_symlink() or not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        names = [
            one.name
            for one in entries
            if one.is_dir(follow_symlinks=False) and fnmatchcase(one.name, pattern)
        ]
    yield from (folder / name for name in sorted(names))


def _files_in(attempt: Path, trial_id: str, kinds: Sequence[str]) -> Iterator[LargeFile]:
    for path in sorted(attempt.iterdir()):
        facts = path.lstat()
        matching = [kind for kind in kinds if fnmatchcase(path.name, FILE_PATTERNS[kind])]
        if matching and stat.S_ISREG(facts.st_mode):
            yield LargeFile(path, matching[0], trial_id, facts.st_size)


def total_bytes(files: Sequence[LargeFile]) -> Mapping[str, int]:
    """Bytes of files by kind."""
    sizes = dict.fromkeys(FILE_PATTERNS, 0)
    for file in files:
        sizes[file.kind] += file.size
    return sizes


def delete_files(files: Sequence[LargeFile]) -> None:
    """Delete files; one that is gone already is none to delete.

    Raises:
        StorageError: if the disk refuses.
    """
    for file in files:
        with translating_write_errors(file.path):
            delete_file(file.path)
