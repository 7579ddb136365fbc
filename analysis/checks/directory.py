"""Check of the study directory itself: its ledger closed and its trials' files whole."""

from __future__ import annotations

from collections.abc import Iterator

from sparsetune.storage.trial_files import AttemptFiles

from ..catalogue import write
from ..load import StudyResults
from .evidence import Evidence
from .finding import Finding, MissingEvidenceError


def damaged_files(evidence: Evidence) -> Iterator[Finding]:
    """Find what reading the ledger noticed, and files of report trials that are damaged."""
    results = evidence.results
    if not isinstance(results, StudyResults):
        raise MissingEvidenceError(["the ledger of a study directory"])
    for notice in results.notices:
        yield Finding("", [], [write("found_ledger", notice=notice.removesuffix("."))])
    rows = evidence.report.dropna(subset="attempt").drop_duplicates("trial_id")
    for row in rows.to_dict("records"):
        trial_id = str(row["trial_id"])
        files = AttemptFiles.of(results.directory, trial_id, results.states[trial_id])
        for fault in files.faults():
            found = write("found_file", run=trial_id, fault=fault.removesuffix("."))
            yield Finding(str(row["arm"]), [str(row["cell"])], [found])
