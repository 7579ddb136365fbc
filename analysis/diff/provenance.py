"""Declaration of a study, and what its trials ran on, as texts by field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sparsetune.spec import flatten_values
from sparsetune.storage.records import Started
from sparsetune.storage.trial_files import if_whole

from ..load import StudyResults
from ..tables.results import Results

LAUNCH_FACTS = {
    "python": "Python",
    "platform": "platform",
    "processor": "processor",
    "cpus": "CPUs",
    "code": "digest of the code",
}
"""Names of what a launch records and numbers may depend on, besides commit and packages."""
Fact = tuple[str, Any]
"""Name and value of something that trials ran on; None if it was not recorded."""


def declared_fields(results: Results) -> dict[str, str]:
    """The declaration by dotted field, with defaults and extensions and without its quick form.

    Empty for results that are of no declared study.
    """
    if not isinstance(results, StudyResults):
        return {}
    values = flatten_values(results.study.model_dump(mode="json"))
    fields = {}
    for path, value in values.items():
        is_given = value not in (None, {}, [])
        if is_given and not path.startswith("quick_form."):
            fields[path] = _text(value)
    return fields


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def runtime_facts(results: Results) -> dict[str, str]:
    """Facts about what trials ran on, by name: each value once, in order of launches and starts.

    Empty for results that are of no declared study.
    """
    if not isinstance(results, StudyResults):
        return {}
    values_by_name: dict[str, list[str]] = {}
    for name, value in _all_facts(results):
        # Older versions recorded fewer facts.
        if value is not None:
            values = values_by_name.setdefault(name, [])
            text = _text(value)
            if text not in values:
                values.append(text)
    return {name: ", ".join(values) for name, values in values_by_name.items()}


def _all_facts(results: StudyResults) -> Iterator[Fact]:
    """Facts that every launch and every start of a trial recorded."""
    for launch in if_whole(results.directory.launches) or []:
        yield from _launch_facts(launch)
    for state in results.states.values():
        for start in state.starts:
            yield from _start_facts(start)


def _launch_facts(launch: Mapping[str, Any]) -> Iterator[Fact]:
    """Commit, machine and packages, of a line of ``provenance.jsonl``."""
    git = launch.get("git") or {}
    if git:
        yield "commit", git.get("commit", "")[:12] or None
        yield "uncommitted changes", "yes" if git.get("changed") else "no"
    for key, name in LAUNCH_FACTS.items():
        yield name, launch.get(key)
    yield from (launch.get("packages") or {}).items()


def _start_facts(start: Started) -> Iterator[Fact]:
    """Device, threads and digests of data, of a record of the ledger."""
    yield "device", start.device
    yield "threads", start.threads
    for part in (start.data or "").split():
        name, _, digest = part.partition("=")
        yield f"data {name}", digest
