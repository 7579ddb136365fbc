"""One answer: the verdicts on a question's contrasts, in words and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparsetune.answers import Bound
from sparsetune.study.questions.kinds import (
    ArmsDiffer,
    BestValueMoves,
    ExtensionGain,
    Question,
    Remaining,
    RetuningGain,
    UnderTrained,
)
from sparsetune.study.questions.points import CellPoint

from ..measure import Measure
from .samples import MeasuredContrast
from .sentences import Sentence, write
from .words import places_words

Figure = Literal["sparsity", "length", "re-tuning", "best values"]
"""Figure that shows an answer: the score against sparsity or against the length of training, the
gain of re-tuning, or the best values of a searched field."""
VerdictWord = Literal[
    "yes",
    "no",
    "opposite",
    "under-trained",
    "over-trained",
    "enough",
    "not settled",
    "open",
    "asked after the data",
    "estimate",
]
FIGURE_OF_KIND: dict[type[object], Figure] = {
    ExtensionGain: "length",
    UnderTrained: "length",
    RetuningGain: "re-tuning",
    ArmsDiffer: "sparsity",
    BestValueMoves: "best values",
    Remaining: "sparsity",
}
LENGTH_WORDS: dict[str, VerdictWord] = {
    "yes": "under-trained",
    "opposite": "over-trained",
    "no": "enough",
}
"""Verdicts on the length of training."""


@dataclass(frozen=True)
class ContrastAnswer:
    """Answer for one contrast of a question, at one sparsity say.

    Args:
        measured: The contrast with its numbers.
        bound: Its interval. Of a question that was asked after the data, and of an estimate, it is
            a 95 % interval that holds alone.
        verdict: The verdict in words.
        sentences: What is said about it, the verdict first.
    """

    measured: MeasuredContrast
    bound: Bound
    verdict: VerdictWord
    sentences: tuple[Sentence, ...]


@dataclass(frozen=True)
class Answer:
    """Answer to one question.

    Args:
        question: The question in full.
        text: The question in words.
        measure: What its numbers are measured in.
        is_before: Whether it was asked before the first trial.
        contrasts: Its contrasts, the primary one first.
    """

    question: Question
    text: str
    measure: Measure
    is_before: bool
    contrasts: tuple[ContrastAnswer, ...]

    @property
    def primary(self) -> ContrastAnswer:
        """The contrast that the question is about first."""
        return self.contrasts[0]

    @property
    def verdict(self) -> VerdictWord:
        """Verdict on the primary contrast."""
        return self.primary.verdict

    @property
    def figure(self) -> Figure:
        """The figure that shows the answer."""
        return FIGURE_OF_KIND[type(self.question)]

    def summary(self) -> list[Sentence]:
        """The primary contrast's sentences, and one for each verdict on others."""
        found = list(self.primary.sentences)
        if self.verdict in ("open", "estimate", "asked after the data"):
            return found
        places: dict[VerdictWord, list[CellPoint]] = {}
        for each in self.contrasts[1:]:
            places.setdefault(each.verdict, []).append(each.measured.planned.at)
        for verdict, points in places.items():
            name = "others_same" if verdict == self.verdict else "others_differ"
            found.append(write(name, places=places_words(points), verdict=verdict))
        return found

    def sentences(self) -> list[Sentence]:
        """Everything that is said, the primary contrast first; of open ones, only of that."""
        if self.verdict == "open":
            return list(self.primary.sentences)
        return [sentence for each in self.contrasts for sentence in each.sentences]


def verdict_word(question: Question, bound: Bound, *, is_before: bool) -> VerdictWord:
    """Verdict of a contrast in words."""
    if isinstance(question, Remaining):
        return "estimate"
    if not is_before:
        return "asked after the data"
    if isinstance(question, UnderTrained):
        return LENGTH_WORDS.get(bound.verdict, bound.verdict)
    return bound.verdict
