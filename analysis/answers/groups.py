"""Answers of one kind together: what a section of the page is about, in words and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sparsetune.study.questions.kinds import (
    ArmsDiffer,
    BestValueMoves,
    ExtensionGain,
    Remaining,
    RetuningGain,
    UnderTrained,
)
from sparsetune.study.questions.words import arm_words

from ..measure import Measure
from .answer import Answer, ContrastAnswer, VerdictWord
from .page_sentences import write_on_page
from .sentences import Sentence
from .words import cell_words, listed

WORDS: dict[VerdictWord, str] = {
    "yes": "Yes",
    "opposite": "Yes",
    "under-trained": "Yes",
    "no": "No",
    "enough": "No",
    "over-trained": "No",
    "not settled": "Not settled",
    "open": "Open",
    "asked after the data": "Not settled",
    "estimate": "Estimate",
}
"""First word of an answer, by its verdict."""
RANKS = ("Yes", "No", "Not settled", "Open", "Estimate")
"""First words in the order in which answers of one kind are told."""
MAX_TOLD = 3
"""Most networks whose answer a section tells in sentences; its table has them all."""
KIND_NAMES: dict[type[object], str] = {
    ExtensionGain: "extension",
    UnderTrained: "under",
    RetuningGain: "retuning",
    ArmsDiffer: "arms",
    BestValueMoves: "value",
    Remaining: "remaining",
}
"""Part of the names of sentences and files, by the kind of question."""


@dataclass(frozen=True)
class AnswerGroup:
    """Answers to questions of one kind, one for each arm say.

    Args:
        kind: Its name, a value of `KIND_NAMES`; with ``-later`` if asked after the data.
        answers: The answers, in the order of the questions; at least one.
    """

    kind: str
    answers: tuple[Answer, ...]

    @property
    def measure(self) -> Measure:
        """What the numbers are measured in."""
        return self.answers[0].measure

    @property
    def is_before(self) -> bool:
        """True if the questions were asked before the data."""
        return self.answers[0].is_before

    @property
    def is_open(self) -> bool:
        """True if nothing is known of any answer yet."""
        contrasts = [each for answer in self.answers for each in answer.contrasts]
        return not any(each.bound.n for each in contrasts)

    @property
    def name(self) -> str:
        """Kind without the mark of later questions."""
        return self.kind.removesuffix("-later")

    def heading(self) -> str:
        """The question in words, or one that stands for all."""
        texts = list(dict.fromkeys(answer.text for answer in self.answers))
        return texts[0] if len(texts) == 1 else str(write_on_page(f"heading_{self.name}"))

    def told(self) -> list[Answer]:
        """The answers, those with a yes first; of scores, the best first."""
        if self.name == "remaining":
            return sorted(self.answers, key=self._score_rank)
        return sorted(self.answers, key=lambda answer: RANKS.index(WORDS[answer.verdict]))

    def _score_rank(self, answer: Answer) -> tuple[float, float]:
        """Place of an answer among scores: sparser networks first, those without one last."""
        mean = answer.primary.bound.mean
        rank = math.inf if math.isnan(mean) else -self.measure.direction * mean
        return -answer.primary.measured.planned.at.sparsity, rank

    def meaning(self) -> list[Sentence]:
        """What the answers mean, in a sentence or two for each arm; at most `MAX_TOLD` arms."""
        if len(self.answers) == 1:
            return list(self.answers[0].primary.sentences)
        return [answer.primary.sentences[0] for answer in self.told()[:MAX_TOLD]]

    def frame(self) -> pd.DataFrame:
        """One row per network, as a figure and a table show it.

        Columns: ``network`` in words, ``arm sparsity epochs mean low high n``; ``margin``, NaN
        without one; ``verdict`` in words; ``word``, the first word of its answer.
        """
        rows = [_row(answer, contrast) for answer in self.answers for contrast in answer.contrasts]
        return pd.DataFrame(rows).astype({"n": "Int64"})


def _row(answer: Answer, contrast: ContrastAnswer) -> dict[str, object]:
    at = contrast.measured.planned.at
    bound = contrast.bound
    question = answer.question
    margin = getattr(answer.question, "margin", None)
    is_told = answer.is_before and contrast.verdict != "estimate"
    network = cell_words(at)
    if isinstance(question, ArmsDiffer):
        network += f" against {arm_words(question.other or '')}"
    return {
        "network": network,
        "arm": at.arm,
        "sparsity": at.sparsity,
        "epochs": at.epochs or math.nan,
        "mean": bound.mean,
        "low": bound.low if math.isfinite(bound.low) else math.nan,
        "high": bound.high if math.isfinite(bound.high) else math.nan,
        "n": bound.n if bound.n else None,
        "margin": math.nan if margin is None else margin,
        "verdict": contrast.verdict if is_told else "",
        "word": WORDS[contrast.verdict] if is_told else "",
    }


def answer_groups(answers: Sequence[Answer]) -> list[AnswerGroup]:
    """Answers by kind, in the order of the questions; later ones apart from earlier ones."""
    found: dict[str, list[Answer]] = {}
    for answer in answers:
        later = "" if answer.is_before else "-later"
        found.setdefault(f"{KIND_NAMES[type(answer.question)]}{later}", []).append(answer)
    return [AnswerGroup(kind, tuple(own)) for kind, own in found.items()]


def leading_sentences(groups: Sequence[AnswerGroup], most: int) -> list[Sentence]:
    """The answer in at most ``most`` sentences.

    The first question's kind leads, with the numbers behind its first answer and what its other
    sparsities answer, then its other arms; the other kinds follow, those with a yes or a no first.
    Of open answers the first stands for all.
    """
    if not groups:
        return []
    first, *others = groups
    others.sort(key=lambda group: min(RANKS.index(WORDS[a.verdict]) for a in group.answers))
    lines = [_lead(first), *(_lead(group) for group in others)]
    leading = first.told()[0]
    behind = leading.primary.sentences[1:]
    rest = [each for each in leading.summary() if each.name in ("others_same", "others_differ")]
    told = [*lines[0][:1], *behind, *rest, *lines[0][1:], *(line[0] for line in lines[1:])]
    # Answers of a stage are open together: one stands for all.
    if told[0].name == "open":
        return told[:1]
    return list(dict.fromkeys(told))[:most]


def _lead(group: AnswerGroup) -> list[Sentence]:
    return [answer.primary.sentences[0] for answer in group.told()]


def first_word(groups: Sequence[AnswerGroup]) -> str:
    """First words of the answer: `Yes for GMP at 98 %`, `Not settled`; empty without answers.

    A yes or a no is about the primary network of each arm alone, so that they are named.
    """
    if not groups:
        return ""
    first = groups[0]
    word = WORDS[first.told()[0].verdict]
    if word not in ("Yes", "No"):
        return word
    alike = [answer for answer in first.told() if WORDS[answer.verdict] == word]
    networks = [cell_words(answer.primary.measured.planned.at) for answer in alike]
    sentence = write_on_page("word_for", word=word, networks=listed(networks))
    return str(sentence).removesuffix(".")
