"""What a study was declared to be, and what its trials ran on, as texts by field."""

from __future__ import annotations

import json
from typing import Any

from analysis.load import StudyResults
from analysis.tables.results import Results
from sparsetune.spec import flatten_values

LAUNCH_FACTS = {
    "python": "Python",
    "platform": "platform",
    "processor": "processor",
    "cpus": "CPUs",
    "code": "digest of the code",
}
"""Of a launch, what a trial's numbers may depend on besides commit and packages."""


def declared_fields(results: Results) -> dict[str, str]:
    """The declaration by dotted field, defaults and extensions counted in, its quick form left out.

    Empty for results that are of no declared study.
    """
    if not isinstance(results, StudyResults):
        return {}
    values = flatten_values(results.study.model_dump(mode="json"))
    kept = {path: value for path, value in values.items() if not path.startswith("quick_form.")}
    return {path: _text(value) for path, value in kept.items() if value not in (None, {}, [])}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def runtime_facts(results: Results) -> dict[str, str]:
    """What the trials ran on, every value once, in order."""
    found: dict[str, dict[str, None]] = {}

    def see(name: str, value: Any) -> None:
        if value is not None:
            found.setdefault(name, {})[_text(value)] = None

    if isinstance(results, StudyResults):
        for launch in results.directory.launches():
            git = launch.get("git") or {}
            see("commit", git.get("commit", "")[:12] or None)
            see("uncommitted changes", "yes" if git.get("changed") else "no" if git else None)
            for key, name in LAUNCH_FACTS.items():
                see(name, launch.get(key))
            for name, version in (launch.get("packages") or {}).items():
                see(name, version)
        for start in (start for state in results.states.values() for start in state.starts):
            see("device", start.device)
            see("threads", start.threads)
            for part in (start.data or "").split():
                see(f"data {part.partition('=')[0]}", part.partition("=")[2])
    return {name: ", ".join(values) for name, values in found.items()}
