"""Checks of results: rules under which curves may be read as they look, each with a stable code.

``docs/checks.md`` explains the meaning of each code, why it matters and how it is detected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from sparsetune.errors import SparsetuneError
from sparsetune.study.questions.words import arm_words

from ..catalogue import paragraph
from ..estimates.means import MEASURE_COLUMNS
from ..load import StudyResults
from ..tables.results import Results
from ..wording import join_words, start_sentence
from .check import Check
from .evidence import Evidence
from .finding import (
    SEVERITIES,
    Count,
    Finding,
    MissingEvidenceError,
    Severity,
    add_counts,
    list_names,
)
from .registry import CHECKS

__all__ = ["CHECKS", "FINDING_COLUMNS", "SEVERITIES", "Check", "Finding", "Severity", "checks"]

FINDING_COLUMNS = ("code", "severity", "arm", "cell", "message", "remedy")
"""Columns of a table of findings."""


def checks(
    results: Results, where: Mapping[str, Any] | None = None, *, y: str | None = None
) -> pd.DataFrame:
    """Findings that a reader should know before relying on a curve, one per code and severity.

    Args:
        results: Results of a study, finished or not, or of a table.
        where: Dotted fields and their values, as in `sparsity_curve`: only these cells are checked.
        y: Measure that is shown; by default accuracy on the test set if it was measured, else the
            measure nearest to it.

    Returns:
        One row per finding, the gravest first: ``code severity`` (error, warning or note) ``arm``
        (all arms with the finding) ``cell`` (the first few names; both are empty if all are meant)
        ``message remedy``. ``attrs["not_run"]`` holds, by code, what the results lack for a check;
        such a check has no finding, which means nothing.

    Raises:
        SparsetuneError: if a field in ``where`` or ``y`` is unknown.
    """
    if y is not None and y not in MEASURE_COLUMNS:
        raise SparsetuneError(f"`y` must be one of {', '.join(MEASURE_COLUMNS)}, got `{y}`")
    evidence = Evidence(results, dict(where or {}), y)
    # Raises here if a field in `where` is unknown: that is the caller's mistake, no missing column.
    evidence.cells  # noqa: B018
    rows: list[dict[str, str]] = []
    not_run: dict[str, list[str]] = {}
    for check in CHECKS.values():
        findings, lacking = _run_check(check, evidence)
        if lacking:
            not_run[check.code] = lacking
        rows += _rows(check, findings, evidence)
    frame = pd.DataFrame(rows, columns=[*FINDING_COLUMNS], dtype="str")
    # Severities do not sort by their names.
    rank = {severity: place for place, severity in enumerate(SEVERITIES)}
    frame = frame.assign(rank=frame["severity"].map(rank))
    frame = frame.sort_values(["rank", "code", "arm"], kind="stable", ignore_index=True)
    frame = frame[[*FINDING_COLUMNS]]
    frame.attrs["not_run"] = not_run
    return frame


def _run_check(check: Check, evidence: Evidence) -> tuple[list[Finding], list[str]]:
    """Findings of a check, and what it lacked; findings from before it lacked something stay."""
    findings: list[Finding] = []
    try:
        for finding in check.function(evidence):
            findings.append(finding)  # noqa: PERF402  # extend would lose them on an error
    except MissingEvidenceError as error:
        return findings, error.columns
    except SparsetuneError as error:
        return findings, [str(error)]
    return findings, []


def _rows(
    check: Check, findings: Sequence[Finding], evidence: Evidence
) -> Iterator[dict[str, str]]:
    """One row per severity, with the findings of all arms."""
    is_study = isinstance(evidence.results, StudyResults)
    remedy = check.remedy if is_study else check.of_table or check.remedy
    has_arms = evidence.cells["arm"].nunique() > 1
    for severity in SEVERITIES:
        own = [finding for finding in findings if (finding.severity or check.severity) == severity]
        if own:
            cells = [cell for finding in own for cell in finding.cells]
            yield {
                "code": check.code,
                "severity": severity,
                "arm": ", ".join(dict.fromkeys(finding.arm for finding in own if finding.arm)),
                "cell": list_names(cells),
                "message": f"{check.sentence} {_merge_findings(own, has_arms)}",
                "remedy": remedy,
            }


def _merge_findings(findings: Sequence[Finding], has_arms: bool) -> str:
    """Text of all findings; those that differ in counts alone are added up.

    Args:
        findings: At least one.
        has_arms: True if the results have several arms, so that each text names its own.
    """
    alike: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        alike.setdefault(_meaning(finding), []).append(finding)
    parts: list[str] = []
    for group in alike.values():
        text = paragraph(add_counts([finding.found for finding in group]))
        names = [arm_words(finding.arm) for finding in group if finding.arm]
        is_named = all(name in text for name in names)
        is_clear = is_named or not has_arms
        parts.append(text if is_clear else f"{start_sentence(join_words(names))}: {text}")
    return " ".join(parts)


def _meaning(finding: Finding) -> tuple[object, ...]:
    """What a finding says besides its counts: its sentences and their other values."""
    said: list[object] = []
    for sentence in finding.found:
        fixed = {name: value for name, value in sentence.values.items() if not _is_count(value)}
        said.append((sentence.name, sentence.text if not sentence.values else str(fixed)))
    return tuple(said)


def _is_count(value: object) -> bool:
    return isinstance(value, Count)
