"""Provenance of a report's numbers: launches and memory of a study, or the table that was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sparsetune.costs.memory import PeakMemory, peak_memory
from sparsetune.paths import command_path, relative_path
from sparsetune.storage.trial_files import if_whole
from sparsetune.study.questions.words import field_words

from ..exhibit import plain_columns
from ..load import StudyResults
from ..measure import SPLITS, Measure
from ..tables.design import TARGET_FIELD
from ..tables.foreign import TableResults
from ..tables.foreign.columns.known import COUNT_COLUMN, LABEL_PREFIX
from ..tables.results import Results
from .table import PageTable, page_table

READING_HEADINGS = {
    "column": "Column",
    "taken_as": "Read as",
    "role": "Role",
    "unit": "Unit",
    "alternative": "May also be",
    "choose": "To choose that",
}
"""Headings of the table of how each column was read, by the columns of `TableResults.reading`."""
ROLE_WORDS = {
    "not taken": "not used",
    "left out": "left out on request",
    "label": "carried along",
    "searched": "hyperparameter that was searched",
    "sparsity": "sparsity",
    "swept": "varied on purpose",
    "recipe": "part of the recipe",
    "recipe, constant": "part of the recipe, one value",
    "result": "result",
    "spread of a mean": "says what a mean is over",
    "order of evaluations": "orders the evaluations of a run",
    "record": "about the run",
}
"""What a column is for, by its ``role`` in `TableResults.reading`."""
COLUMN_WORDS = {
    TARGET_FIELD: "sparsity asked for",
    "target": "sparsity asked for",
    "sparsity": "sparsity reached",
    COUNT_COLUMN: "number of runs behind a mean",
}
"""Our column names whose own words would say too little."""
SPREAD_WORDS = {"_sd": "standard deviation", "_se": "standard error"}


@dataclass(frozen=True)
class ResultsOrigin:
    """Origin of the numbers: the study or the table that they were read from.

    Args:
        code: Python that reads them again; empty if there is no such line.
        notes: Sentences on what was decided in reading them.
    """

    code: str
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class LaunchRow:
    """One launch of a study, as texts for a table; what was not recorded is empty.

    Args:
        time: When it started, to the minute, in UTC.
        command: The command line.
        code: First twelve digits of the commit, and whether there were uncommitted changes.
        machine: Processor and platform.
        packages: Python and the packages with their versions.
    """

    time: str
    command: str
    code: str
    machine: str
    packages: str


def report_command(results: Results) -> str:
    """Command, or line of Python, that makes the page."""
    if isinstance(results, StudyResults):
        return f"sparsetune report {command_path(results.directory.path)}"
    return "analysis.report(results, out)"


def resume_command(results: Results) -> str:
    """Command that resumes the study; empty if the results are of no study."""
    if isinstance(results, StudyResults):
        return f"sparsetune resume {command_path(results.directory.path)}"
    return ""


def results_origin(results: Results) -> ResultsOrigin:
    """Where the results were read from."""
    if isinstance(results, StudyResults):
        return ResultsOrigin(f"analysis.load({relative_path(results.directory.path)!r})")
    notes = results.notes if isinstance(results, TableResults) else ()
    return ResultsOrigin("", notes)


def reading_table(results: Results) -> PageTable | None:
    """How each column of a table was read, in words; None of a study."""
    if not isinstance(results, TableResults):
        return None
    rows = results.reading
    words = {
        "taken_as": rows["taken_as"].map(_column_words),
        "role": rows["role"].map(lambda role: ROLE_WORDS.get(role, role)),
        "unit": rows["unit"].str.replace("_", " "),
    }
    return page_table(rows.assign(**words), plain_columns(READING_HEADINGS))


def _column_words(ours: str) -> str:
    """One of our column names in words: ``test accuracy``, ``ramp start``; empty for none."""
    if ours in COLUMN_WORDS:
        return COLUMN_WORDS[ours]
    for suffix, spread in SPREAD_WORDS.items():
        if ours.endswith(suffix):
            return f"{spread} of {Measure.by_name(ours.removesuffix(suffix)).phrase}"
    if ours.startswith(tuple(SPLITS)):
        return Measure.by_name(ours).phrase
    if "." in ours:
        return field_words(ours)
    return ours.removeprefix(LABEL_PREFIX).replace("_", " ")


def launch_table(results: Results) -> list[LaunchRow]:
    """Every launch of the study, oldest first; none if the results are of no study."""
    if not isinstance(results, StudyResults):
        return []
    return [_launch_row(facts) for facts in if_whole(results.directory.launches) or []]


def memory_table(results: Results) -> list[PeakMemory]:
    """Peak memory by model, batch size and device; none if the results are of no study."""
    if not isinstance(results, StudyResults):
        return []
    return peak_memory(results.states.values())


def _launch_row(facts: Mapping[str, Any]) -> LaunchRow:
    """A launch, of a line of ``provenance.jsonl``."""
    git = facts.get("git") or {}
    commit = git.get("commit", "")[:12]
    changes = " with changes" if git.get("changed") else ""
    machine = [str(facts[name]) for name in ("processor", "platform") if facts.get(name)]
    versions = facts.get("packages") or {}
    packages = [f"{name} {version}" for name, version in versions.items() if version]
    started = datetime.fromtimestamp(facts.get("time", 0), UTC)
    return LaunchRow(
        time=started.strftime("%Y-%m-%d %H:%M UTC"),
        command=facts.get("command", ""),
        code=f"{commit}{changes}",
        machine=", ".join(machine),
        packages=f"Python {facts.get('python', '')}, {', '.join(packages)}",
    )
