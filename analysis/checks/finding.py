"""A check, what it finds, and what it lacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sparsetune.errors import SparsetuneError

if TYPE_CHECKING:
    from analysis.checks.evidence import Evidence

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""An error would mislead a reader, a warning may, a note is what they should know; the gravest first."""
MAX_NAMED_CELLS = 3
"""Cells that a message names; of more it says how many."""


@dataclass(frozen=True)
class Finding:
    """What a check found in one arm, or in the study.

    Args:
        arm: Empty where it is about the whole study, or several arms together.
        cells: Where, in the study's order.
        got: What came instead of what the rule asks for, with its numbers; part of a sentence.
        severity: Where it is less or more grave than the check usually is.
    """

    arm: str
    cells: Sequence[str]
    got: str
    severity: Severity | None = None


@dataclass(frozen=True)
class Check:
    """One rule that results should keep.

    Args:
        code: Stable: it never changes its meaning and is never given again.
        title: In a few words, without a full stop.
        severity: As long as a finding does not say otherwise.
        function: Gives its findings, and raises `MissingEvidenceError` where it cannot judge.
        rule: What must hold, a sentence without its full stop.
        remedy: What to do, in a sentence.
        of_table: The same where the results are no study's, if it differs.
    """

    code: str
    title: str
    severity: Severity
    function: Callable[[Evidence], Iterator[Finding]]
    rule: str
    remedy: str
    of_table: str = ""

    @property
    def anchor(self) -> str:
        """Of its section in ``docs/checks.md``."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.code} {self.title}".lower())


class MissingEvidenceError(SparsetuneError):
    """What a check needs is not in the results, so that it says nothing; ``columns`` are their names."""

    def __init__(self, columns: Iterable[str]) -> None:
        self.columns = list(columns)
        super().__init__(f"the results lack {', '.join(self.columns)}")


def list_names(names: Iterable[str], most: int = MAX_NAMED_CELLS) -> str:
    """The first few names, and how many more: ``a, b, c and 12 more``."""
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def format_count(count: int, word: str) -> str:
    """``1 trial``, ``3 trials``."""
    return f"{count} {word}{'' if count == 1 else 's'}"
