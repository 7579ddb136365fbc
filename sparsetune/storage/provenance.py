"""Where a study's numbers come from: code, packages, hardware, command."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

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


def launch_facts(study_file: Path | None = None) -> dict[str, Any]:
    """What is worth knowing of this launch, as plain JSON values."""
    return {
        "time": time.time(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "packages": {name: version_of(name) for name in RECORDED_PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor_name(),
        "cpus": len(os.sched_getaffinity(0)),
        "code": code_digest(),
        "study_file": str(study_file.resolve()) if study_file else None,
        "git": _git_facts(study_file.resolve().parent if study_file else Path(__file__).parent),
    }


COMPARED_FACTS = {
    "python": "Python",
    "processor": "processor",
    "cpus": "CPUs of the process",
    "code": "sparsetune's files, by digest",
}


def environment_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two launches that a trial's numbers may depend on, a line each.

    Args:
        before: `launch_facts` of the earlier launch; what it lacks, of an older version, is not compared.
        now: Those of the later one.
    """
    old, new = (
        {COMPARED_FACTS[name]: facts[name] for name in COMPARED_FACTS if name in facts}
        for facts in (before, now)
    )
    old, new = (
        {**shown, **facts.get("packages", {})} for shown, facts in ((old, before), (new, now))
    )
    old, new = (
        {**shown, "commit": _format_commit(facts)} for shown, facts in ((old, before), (new, now))
    )
    return [
        f"{name}: {old[name]} -> {new[name]}"
        for name in old
        if name in new and old[name] != new[name]
    ]


def _format_commit(facts: Mapping[str, Any]) -> str:
    git = facts.get("git")
    return f"{git['commit'][:12]}{' with changes' if git['changed'] else ''}" if git else "none"


WATCHED_FIELDS = {
    "data": "data of digest",
    "processor": "processor",
    "device": "device",
    "threads": "threads",
}
"""Fields of a ``started`` record that a trial's numbers depend on."""


class EnvironmentTracker:
    """What a study's trials ran on; says when one runs on something else than those before it.

    Args:
        records: The ledger so far.
        launches: Facts of every launch, this one's last.
    """

    def __init__(
        self, records: Iterable[Mapping[str, Any]] = (), launches: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.changed = (
            [f"since the last launch, {line}" for line in environment_changes(*launches[-2:])]
            if launches[1:]
            else []
        )
        self._seen: dict[tuple[str, str], set[str]] = {}
        for record in records:
            if record["type"] == "started":
                self.describe_changes(record)

    def describe_changes(self, started: Mapping[str, Any]) -> list[str]:
        """A line for whatever is new in this record; none for the first trial of all."""
        lines = []
        for field in (name for name in WATCHED_FIELDS if started.get(name) is not None):
            text = str(started[field])
            subject, _, value = text.rpartition("=") if field == "data" else ("", "", text)
            seen = self._seen.setdefault((field, subject), set())
            if seen and value not in seen:
                where = f"{subject}, " if subject else ""
                lines.append(
                    f"{where}{WATCHED_FIELDS[field]} {value}, where trials before had {' and '.join(sorted(seen))}"
                )
            seen.add(value)
        return lines


def version_of(name: str) -> str | None:
    """The installed version of a package or of ``python``; None where it is missing."""
    try:
        return platform.python_version().rstrip("+") if name == "python" else version(name)
    except PackageNotFoundError:
        return None


def code_digest() -> str:
    """Names the text of sparsetune's own files: a version number does not tell one checkout from another."""
    package = Path(__file__).parent
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(package.rglob("*.py"))))
    return digest.hexdigest()[:12]


def processor_name() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        "unknown",
    )


def _git_facts(folder: Path) -> dict[str, Any] | None:
    """Commit and whether the tree had changes; None outside a checkout."""
    commit = _run_git(folder, "rev-parse", "HEAD")
    return (
        commit and {"commit": commit, "changed": bool(_run_git(folder, "status", "--porcelain"))}
    ) or None


def _run_git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
