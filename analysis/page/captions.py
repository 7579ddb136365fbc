"""Captions: no sentence stands twice, and what a section's figures share stands above them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

SENTENCE_END = re.compile(r"(?<=[.!?]) +(?=[A-Z\d])")


def split_sentences(text: str) -> list[str]:
    """Sentences of a text, in order."""
    return [sentence for sentence in SENTENCE_END.split(text.strip()) if sentence]


def shared_sentences(captions: Sequence[str]) -> list[str]:
    """Sentences that stand in two captions or more, in order of their first use."""
    counts: Counter[str] = Counter()
    for caption in captions:
        counts.update(set(split_sentences(caption)))
    every = dict.fromkeys(each for caption in captions for each in split_sentences(caption))
    return [sentence for sentence in every if counts[sentence] > 1]


def without_sentences(caption: str, told: Sequence[str]) -> str:
    """The caption without sentences that are told elsewhere."""
    return " ".join(each for each in split_sentences(caption) if each not in told)
