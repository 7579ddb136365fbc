"""A sentence before and after its values are filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_WORDS = 30
"""Most words of a sentence."""


@dataclass(frozen=True)
class Template:
    """One sentence of the catalogue.

    Args:
        condition: When it is printed.
        text: The sentence, with names in braces.
    """

    condition: str
    text: str


@dataclass(frozen=True)
class Sentence:
    """A sentence as it is printed.

    Args:
        name: Its name in the catalogue.
        text: Its text.
        values: What was filled in, by the name in braces.
    """

    name: str
    text: str
    values: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)

    def __str__(self) -> str:
        return self.text


def capitalised(text: str) -> str:
    """The text with a capital letter at its start."""
    return f"{text[:1].upper()}{text[1:]}"
