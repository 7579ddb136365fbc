"""Findings of checks as short sentences, each at the figure that it concerns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ...answers.exhibits import FIRST_FIGURE
from ...answers.page_sentences import PAGE_CATALOGUE, write_on_page
from ...answers.sentences import Sentence

PLACES: Mapping[str, tuple[str, ...]] = {
    "SPT002": ("question-value", "edges", "optimum"),
    "SPT007": ("ramp-atlas", "optimum"),
    "SPT008": ("val_entropy", "train_entropy"),
    "SPT009": ("val_loss", "train_loss"),
    "SPT012": ("comparison", "test_accuracy-twin", "question-remaining"),
    "SPT017": ("density-profile", "what-is-pruned"),
    "SPT018": ("optimum", "importance"),
    "SPT019": ("history",),
    "SPT020": ("test_accuracy-gpu_hours", "best-at-gpu-hours"),
    "SPT021": ("question-retuning", "retuning", "optimism"),
    "SPT022": ("iso-flops", "best-at-train-flops", "pareto-front"),
}
"""First parts of the names of the figures that a check is about, the preferred one first.

A check that is not named here, or none of whose figures is on the page, is about the first figure
if what it found may mislead.
"""


@dataclass(frozen=True)
class Note:
    """A finding in a sentence.

    Args:
        code: Code of the check.
        severity: ``error``, ``warning`` or ``note``.
        sentence: The sentence.
    """

    code: str
    severity: str
    sentence: Sentence


def finding_notes(findings: pd.DataFrame) -> list[Note]:
    """One note per finding, the gravest first.

    Args:
        findings: Rows of `analysis.checks`.
    """
    return [
        Note(row["code"], row["severity"], _sentence(row["code"], row["severity"]))
        for row in findings.to_dict("records")
    ]


def _sentence(code: str, severity: str) -> Sentence:
    for name in (f"check_{code}_{severity}", f"check_{code}"):
        if name in PAGE_CATALOGUE:
            return write_on_page(name)
    return write_on_page("check_other")


def place_notes(notes: Iterable[Note], figures: Sequence[str]) -> dict[str, list[Note]]:
    """The notes by the figure that they stand at.

    Args:
        notes: The notes.
        figures: Names of the figures on the page, in order.
    """
    placed: dict[str, list[Note]] = {}
    for note in notes:
        name = _place(note, figures)
        if name:
            placed.setdefault(name, []).append(note)
    return placed


def _place(note: Note, figures: Sequence[str]) -> str:
    """Name of a note's figure; empty for a mere note that has none of its own."""
    for start in PLACES.get(note.code, ()):
        for name in figures:
            if name.startswith(start):
                return name
    # The checks under More have it all the same.
    return "" if note.severity == "note" else FIRST_FIGURE
