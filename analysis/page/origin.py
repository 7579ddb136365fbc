"""Where a report's numbers come from: launches, machines and memory of a study, or the table that was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from analysis.load import StudyResults
from analysis.tables.foreign import TableResults
from analysis.tables.results import Results
from sparsetune.costs.memory import PeakMemory, peak_memory


def report_command(results: Results) -> str:
    """What made the page."""
    if isinstance(results, StudyResults):
        return f"sparsetune report {_folder(results)}"
    return "analysis.report(results, out)"


def resume_command(results: Results) -> str:
    """What resumes the study; empty where nothing does."""
    return f"sparsetune resume {_folder(results)}" if isinstance(results, StudyResults) else ""


@dataclass(frozen=True)
class ResultsOrigin:
    """How to read the same numbers in Python, and what was decided in reading them, a sentence each."""

    code: str
    notes: Sequence[str] = ()


def results_origin(results: Results) -> ResultsOrigin:
    """Where the tables come from."""
    if isinstance(results, StudyResults):
        return ResultsOrigin(f'analysis.load("{_folder(results)}")')
    code = f"a table of runs: {results.design.name}, {len(results.trials())} trials"
    return ResultsOrigin(code, results.notes if isinstance(results, TableResults) else ())


def launch_table(results: Results) -> list[dict[str, Any]]:
    """Every launch of the study, for a table."""
    return (
        [_launch(facts) for facts in results.directory.launches()]
        if isinstance(results, StudyResults)
        else []
    )


def memory_table(results: Results) -> list[PeakMemory]:
    """Peak memory by model, batch size and device."""
    return peak_memory(results.states.values()) if isinstance(results, StudyResults) else []


def weight_counts(trials: pd.DataFrame) -> list[str]:
    """What sparsity is a fraction of, for each network of the study: prunable weights of all parameters."""
    if "task.model" not in trials:
        return []
    known = trials.dropna(subset=["prunable_weights", "parameters"])
    networks = known[["task.model", "prunable_weights", "parameters"]].drop_duplicates()
    return [
        f"{row['prunable_weights']:,.0f} prunable weights of {row['parameters']:,.0f} parameters ({row['task.model']})"
        for row in networks.to_dict("records")
    ]


def _folder(results: StudyResults) -> str:
    return "/".join(str(results.directory.path).split("/")[-2:])


def _launch(facts: Mapping[str, Any]) -> dict[str, Any]:
    git = facts.get("git") or {}
    packages = ", ".join(
        f"{name} {version}" for name, version in (facts.get("packages") or {}).items() if version
    )
    return {
        "time": datetime.fromtimestamp(facts.get("time", 0), UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": facts.get("command", ""),
        "code": f"{git.get('commit', '')[:12]}{' with changes' if git.get('changed') else ''}",
        "machine": ", ".join(
            str(facts[name]) for name in ("processor", "platform") if facts.get(name)
        ),
        "packages": f"Python {facts.get('python', '')}, {packages}",
    }
