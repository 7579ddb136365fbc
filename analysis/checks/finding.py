"""Findings of checks, the error of a check that cannot judge, and words for messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sparsetune.errors import SparsetuneError

from ..catalogue import write
from ..catalogue.template import Sentence

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""Severities, the gravest first.

An error would mislead a reader, a warning may, a note is something that they should know.
"""
MAX_LISTED_NAMES = 3
"""Names that a list has; for more it gives their number."""
MAX_NAMED_CELLS = 2
"""Cells that a sentence names, which takes several words each; the others are counted."""


@dataclass(frozen=True)
class Finding:
    """Fault that a check found in one arm or in the whole study.

    Args:
        arm: The arm; empty if the finding concerns the whole study or several arms together.
        cells: Names of the cells, in the study's order.
        found: What was found instead of what the rule asks for, with numbers.
        severity: Severity, if it differs from the check's own.
    """

    arm: str
    cells: Sequence[str]
    found: Sequence[Sentence]
    severity: Severity | None = None


class MissingEvidenceError(SparsetuneError):
    """Results lack what a check needs, so that it cannot judge.

    Args:
        columns: Names of what is lacking.
    """

    def __init__(self, columns: Iterable[str]) -> None:
        self.columns = list(columns)
        super().__init__(f"the results lack {', '.join(self.columns)}")


def list_names(names: Iterable[str], most: int = MAX_LISTED_NAMES) -> str:
    """First names without repetitions, and the number of others: ``a, b, c and 12 more``.

    Names that hold a comma are parted by semicolons.
    """
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    separator = "; " if any("," in name for name in names[:most]) else ", "
    return separator.join(names[:most]) + more


class Count(str):
    """Number of things as a text, such as ``3 trials``, which is added up over arms.

    Args:
        count: The number.
        word: Their name in the singular; empty for the number alone.
    """

    number: int
    word: str

    def __new__(cls, count: int, word: str = "") -> Count:
        """Make the text."""
        noun = f" {word}{'' if count == 1 else 's'}" if word else ""
        text = super().__new__(cls, f"{int(count)}{noun}")
        text.number = int(count)
        text.word = word
        return text


def format_count(count: int, word: str) -> Count:
    """Number with its noun: ``1 trial``, ``3 trials``."""
    return Count(count, word)


def add_counts(found: Sequence[Sequence[Sentence]]) -> list[Sentence]:
    """Sentences of several findings that differ in counts alone, with the counts added up.

    Args:
        found: Sentences of each finding, at least one; all have the same names.
    """
    first, *others = found
    summed: list[Sentence] = []
    for place, sentence in enumerate(first):
        values = dict(sentence.values)
        for name, value in values.items():
            if isinstance(value, Count):
                counts = [more[place].values[name] for more in others]
                more = sum(count.number for count in counts if isinstance(count, Count))
                values[name] = Count(value.number + more, value.word)
        summed.append(write(sentence.name, **values) if others and values else sentence)
    return summed


@dataclass(frozen=True)
class FindingPart:
    """One of several faults that are reported together for an arm.

    Args:
        severity: Its severity.
        found: What was found.
        cells: Names of the cells.
    """

    severity: Severity
    found: Sentence
    cells: Sequence[str]


def join_parts(arm: str, parts: Sequence[FindingPart]) -> Finding:
    """Finding of all parts, with the severity of the first.

    Args:
        arm: The arm.
        parts: At least one part, the gravest first.
    """
    found = [part.found for part in parts]
    cells = [cell for part in parts for cell in part.cells]
    return Finding(arm, cells, found, parts[0].severity)
