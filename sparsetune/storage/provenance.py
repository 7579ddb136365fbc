"""Provenance of a study's numbers: code, packages, hardware, command."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sparsetune.machine import processor_name, run_quietly, usable_cpus
from sparsetune.own_code.digest import file_digest, parse_code
from sparsetune.paths import Place
from sparsetune.paths.credentials import without_credentials
from sparsetune.storage.directory import StudyDirectory
from sparsetune.storage.records import Record, Started
from sparsetune.storage.trial_files import if_whole

RECORDED_PACKAGES = (
    "sparsetune",
    "torch",
    "torchvision",
    "ray",
    "optuna",
    "numpy",
    "pandas",
    "scikit-learn",
)


def launch_facts(
    study_file: Path | None = None,
    *,
    data_root: Path | None = None,
    search_path: Sequence[str] = (),
    own_code: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Facts of this launch for `provenance.jsonl`, as plain JSON values.

    Args:
        study_file: The file that declares the study; None where there is none.
        data_root: Folder of the data sets, as an option gave it; None without the option.
        search_path: Absolute folders that a user's own modules are looked for in.
        own_code: Digests of the user's own modules that trials run, by name.
    """
    variable = os.environ.get("SPARSETUNE_DATA")
    return {
        "time": time.time(),
        "command": without_credentials(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])),
        "packages": {name: version_of(name) for name in RECORDED_PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor_name(),
        "cpus": usable_cpus(),  # of a job or container; not the machine's
        "code": code_digest(),
        "own_code": dict(own_code or {}),
        "study_file": _absolute(study_file),
        "study_file_digest": file_digest(study_file) if study_file else None,
        "folder": str(Path.cwd()),
        "path": list(search_path),
        "data_root": _absolute(data_root),
        "data_root_variable": _absolute(Path(variable)) if variable else None,
        "git": _git_facts(study_file.resolve().parent if study_file else Path(__file__).parent),
    }


def _absolute(path: Path | None) -> str | None:
    return str(path.expanduser().resolve()) if path else None


@dataclass(frozen=True)
class LaunchFolders:
    """Folders that earlier launches of a study had and that still exist here.

    Args:
        path: Absolute folders for imports, those of the newest launch first.
        data_root: Folder of the data sets that an option gave; None if none did.
        data_root_variable: Folder that ``SPARSETUNE_DATA`` named; None if it was not set.
        study_file: The newest file that declared the study, in a folder that exists; None without.
    """

    path: Sequence[Path] = ()
    data_root: Path | None = None
    data_root_variable: Path | None = None
    study_file: Path | None = None

    def choose_data_root(self, given: Path | None) -> Path | None:
        """Data root to go on with: as given, else as an option gave it before, else as the
        environment has or had it.

        Args:
            given: The option of this launch; None without it.

        Returns:
            The folder; None where the environment or the default says.
        """
        chosen = given or self.data_root
        return chosen or (None if os.environ.get("SPARSETUNE_DATA") else self.data_root_variable)


def launch_folders(home: StudyDirectory) -> LaunchFolders:
    """Folders that the launches of a study had, the newest first, where they still exist.

    Folders within the study's directory are left out: what comes with a directory from elsewhere
    is not imported for being there.

    Where the provenance is damaged there are none: readers of the ledger name that damage.
    """
    newest_first = (if_whole(home.launches) or [])[::-1]

    def existing(name: str) -> list[Path]:
        found: dict[Path, None] = {}
        for facts in newest_first:
            recorded = facts.get(name)
            texts = recorded if isinstance(recorded, list) else [recorded]
            found |= {Path(text): None for text in texts if isinstance(text, str)}
        return [folder for folder in found if _is_usable(folder, home.path)]

    def newest(name: str) -> Path | None:
        return next(iter(existing(name)), None)

    declared = [facts["study_file"] for facts in newest_first if facts.get("study_file")]
    files = [Path(text) for text in declared if isinstance(text, str)]
    usable = (file for file in files if _is_usable(file.parent, home.path))
    return LaunchFolders(
        existing("path"), newest("data_root"), newest("data_root_variable"), next(usable, None)
    )


def _is_usable(folder: Path, study: Place) -> bool:
    with suppress(OSError, ValueError):  # what is no path at all, such as one with a NUL
        is_inside = isinstance(study, Path) and folder.resolve().is_relative_to(study)
        return folder.is_absolute() and folder.is_dir() and not is_inside
    return False


COMPARED_FACTS = {
    "python": "Python",
    "processor": "processor",
    "cpus": "CPUs of the process",
    "code": "sparsetune's files, by digest",
}


def environment_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Differences between two launches that a trial's numbers may depend on, a line each.

    Args:
        before: `launch_facts` of the earlier launch; facts that an older version did not record
            are not compared.
        now: `launch_facts` of the later launch.
    """
    old = _compared_facts(before)
    new = _compared_facts(now)
    common = [name for name in old if name in new]
    return [f"{name}: {old[name]} -> {new[name]}" for name in common if old[name] != new[name]]


def _compared_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a launch that are compared, by the names that people read."""
    shown = {COMPARED_FACTS[name]: facts[name] for name in COMPARED_FACTS if name in facts}
    return {**shown, **facts.get("packages", {}), "commit": _format_commit(facts)}


def _format_commit(facts: Mapping[str, Any]) -> str:
    git = facts.get("git")
    return f"{git['commit'][:12]}{' with changes' if git['changed'] else ''}" if git else "none"


WATCHED_FIELDS = {
    "data": "data of digest",
    "processor": "processor",
    "device": "device",
    "threads": "threads",
}
"""Fields of `Started` that a trial's numbers depend on, with the words for them."""


class EnvironmentTracker:
    """Record of what a study's trials ran on; says when one runs on something else than before.

    Args:
        records: The ledger so far.
        launches: Facts of every launch, this one's last.
    """

    def __init__(
        self, records: Iterable[Record] = (), launches: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.changed: list[str] = []
        """A line for each difference between the last two launches."""
        if len(launches) > 1:
            changes = environment_changes(*launches[-2:])
            self.changed = [f"since the last launch, {line}" for line in changes]
        self._seen: dict[tuple[str, str], set[str]] = {}
        for record in records:
            if isinstance(record, Started):
                self.describe_changes(record)

    def describe_changes(self, started: Started) -> list[str]:
        """A line for each value that no trial before had; none for the first trial of all."""
        lines = self.describe_code_changes(parse_code(started.own_code))
        for name, words in WATCHED_FIELDS.items():
            recorded = getattr(started, name)
            if recorded is None:
                continue  # an older version did not record it
            subject = ""
            value = str(recorded)
            # Tasks have data of their own: only the same data under another digest is a change.
            if name == "data":
                subject, _, value = value.rpartition("=")
            seen = self._seen.setdefault((name, subject), set())
            if seen and value not in seen:
                where = f"{subject}, " if subject else ""
                before = " and ".join(sorted(seen))
                lines.append(f"{where}{words} {value}, where trials before had {before}")
            seen.add(value)
        return lines

    def describe_code_changes(self, digests: Mapping[str, str]) -> list[str]:
        """A line for each of the user's own modules that trials before ran in another form.

        Args:
            digests: Digests of the modules that trials run from now on, by name.
        """
        lines = []
        for name, digest in digests.items():
            seen = self._seen.setdefault(("own_code", name), set())
            if seen and digest not in seen:
                before = " and ".join(sorted(seen))
                lines.append(
                    f"the code of `{name}` is another ({digest}) than in trials before ({before});"
                    " a mean over both is no result: undo the change, or run the new code under"
                    " another --name"
                )
            seen.add(digest)
        return lines


def version_of(name: str) -> str | None:
    """The installed version of a package or of ``python``; None where it is missing."""
    try:
        return platform.python_version().rstrip("+") if name == "python" else version(name)
    except PackageNotFoundError:
        return None


def code_digest() -> str:
    """Digest of sparsetune's own files, which tells one checkout from another."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(package.rglob("*.py"))))
    return digest.hexdigest()[:12]


def _git_facts(folder: Path) -> dict[str, Any] | None:
    """Commit, whether the tree had changes, and their digest; None outside a checkout.

    The digest is of the changes to files that git knows; None without any.
    """
    commit = run_quietly(("git", "rev-parse", "HEAD"), folder)
    if not commit:
        return None
    changes = run_quietly(("git", "status", "--porcelain"), folder)
    # Not through a program that the user's settings name.
    diff = run_quietly(("git", "diff", "--no-ext-diff", "--no-textconv", "HEAD"), folder)
    digest = hashlib.sha256(diff.encode()).hexdigest()[:12] if diff else None
    return {"commit": commit, "changed": bool(changes), "diff": digest}
