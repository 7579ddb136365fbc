"""A check: one rule that results should keep, and the function that tests it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..wording import start_sentence
from .evidence import Evidence
from .finding import Finding, Severity


@dataclass(frozen=True)
class Check:
    """One rule that results should keep.

    Args:
        code: Stable code: it never changes its meaning and is never used again.
        title: Title in a few words, without a full stop.
        severity: Severity of a finding that has none of its own.
        function: Function that yields findings, or raises `MissingEvidenceError` if it cannot
            judge.
        rule: Rule that must hold, a sentence without its full stop.
        remedy: Advice, a sentence.
        of_table: Advice for results from a table instead of a study directory, if it differs.
    """

    code: str
    title: str
    severity: Severity
    function: Callable[[Evidence], Iterator[Finding]]
    rule: str
    remedy: str
    of_table: str = ""

    @property
    def sentence(self) -> str:
        """Its rule as a sentence."""
        return f"{start_sentence(self.rule)}."

    @property
    def anchor(self) -> str:
        """Anchor of its section in ``docs/checks.md``."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.code} {self.title}".lower())
