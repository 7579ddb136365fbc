"""Errors raised for a user's mistake; the command line prints them without a traceback."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Severity = Literal["refusal", "first_launch", "warning"]
"""``refusal``: the declaration never runs. ``first_launch``: it does not start, but a study that
was launched before the rule existed goes on, with a warning. ``warning``: it runs, with a
warning."""


@dataclass(frozen=True, order=True)
class Problem:
    """One fault in a declaration: where it is, which rule it breaks, and what came instead.

    Args:
        path: Dotted path of the field, as in ``sparsity.ramp.start``; empty for the whole
            declaration.
        rule: The rule that must hold, or what is allowed.
        got: What was received, as text.
        severity: What the fault prevents.
    """

    path: str
    rule: str
    got: str = ""
    severity: Severity = "refusal"

    def at(self, path: str) -> Problem:
        """The same fault at another path."""
        return replace(self, path=path)

    def __str__(self) -> str:
        where = f"`{self.path}`: " if self.path else ""
        return in_one_line(f"{where}{self.rule}" + (f", got {self.got}" if self.got else ""))


def in_one_line(text: str) -> str:
    """Text without control characters and, unlike `printable`, without line feeds and tabs."""
    return printable(text).replace("\n", r"\n").replace("\t", r"\t")


UNPRINTED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of what is no text: control and format characters (those that turn the
direction of text among them), halves of pairs, and separators of lines."""


def printable(text: str) -> str:
    r"""Text as a terminal may show it: without control characters, which could make it do things.

    Each becomes its escape, such as ``\x1b``; line feeds and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    is_text = character in "\n\t" or unicodedata.category(character) not in UNPRINTED_CATEGORIES
    return character if is_text else ascii(character)[1:-1]


class SparsetuneError(Exception):
    """Base of every error that the user can fix. Its text is fit for a terminal."""

    def __str__(self) -> str:
        return printable(super().__str__())


class DeclarationError(SparsetuneError):
    """A declaration that cannot run; carries every problem found in it, not only the first."""

    def __init__(self, problems: Iterable[Problem], subject: str = "the declaration") -> None:
        self.problems = sorted(set(problems))
        self.subject = subject
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"  - {problem}" for problem in self.problems]
        super().__init__("\n".join([f"{count} in {in_one_line(subject)}:", *lines]))

    def __reduce__(self) -> tuple[type[DeclarationError], tuple[list[Problem], str]]:
        # By default an error is made again from its text, which would become a problem a letter.
        return type(self), (self.problems, self.subject)


class StudyDirectoryError(SparsetuneError):
    """A study directory that is missing, foreign, of another schema version, busy or changed."""


class StorageError(SparsetuneError):
    """A disk that is full or read-only: what was durable before stays valid."""


class LostStudyError(StorageError):
    """A study that this process may write no more: its folder, lock or ledger is gone, or
    another's.
    """


class HopelessStudyError(SparsetuneError):
    """A study whose trials all fail: it ends early, and what it recorded stays."""


class TeacherError(SparsetuneError):
    """A teacher that did not end well: its students cannot start."""


class LimitError(SparsetuneError):
    """A study that cannot end within the free disk, or within a limit that was asked for."""


class ClusterError(SparsetuneError):
    """Ray that does not start or answer, or a node that cannot run a study's trials."""


class FollowerError(SparsetuneError):
    """A callback without the hooks of a follower, or a tracker that cannot be used."""


class OwnCodeError(SparsetuneError):
    """Code of a user's own that a reader of a study would need: only ``run`` and ``resume`` import
    it.
    """


class DataError(SparsetuneError):
    """Data that are missing or unreadable."""


class CheckpointError(SparsetuneError):
    """A checkpoint that is torn, or of another trial."""


def first_line(error: BaseException) -> str:
    """First line of a library's error message, or ``no reason`` where it has none."""
    text = str(error)
    return text.splitlines()[0] if text else "no reason"
