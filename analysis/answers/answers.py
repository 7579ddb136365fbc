"""Answers to the questions of a study: verdicts, sentences, numbers and a first screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sparsetune.study.questions.defaults import resolve_questions
from sparsetune.study.questions.kinds import Question
from sparsetune.study.questions.names import question_name

from ..load import StudyResults
from ..notebook import Shown
from ..tables.results import Results
from .advice import SHOWN, Step, next_steps, warnings
from .answer import Answer, ContrastAnswer, Figure
from .asking import Asking, asking_of
from .groups import answer_groups, leading_sentences
from .judging import Judging
from .samples import ReportRuns, score_measure
from .sentences import Sentence, write
from .words import listed

FRAME_DTYPES = {
    "question": "string",
    "arm": "string",
    "sparsity": "float64",
    "epochs": "float64",
    "verdict": "string",
    "asked": "string",
    "n": "Int64",
    "mean": "float64",
    "low": "float64",
    "high": "float64",
    "level": "float64",
    "look": "Int64",
    "seeds_needed": "float64",
    "reason": "string",
    "sentence": "string",
}
"""Columns of `Answers.frame` with their dtypes."""


@dataclass(frozen=True)
class FirstScreen:
    """What a reader should see first.

    Args:
        question: The study's question in its own words, or the first one that it asks.
        verdict: Verdict on the first question.
        sentences: The answer, at most three sentences.
        figure: The figure that shows it; None without an answer.
        how_sure: How sure it is, in at most three sentences.
        steps: What to do next, at most three.
        warnings: What to know before relying on it, at most three.
    """

    question: str
    verdict: str
    sentences: tuple[Sentence, ...]
    figure: Figure | None
    how_sure: tuple[Sentence, ...]
    steps: tuple[Step, ...]
    warnings: tuple[Sentence, ...]


@dataclass(frozen=True)
class Answers(Shown):
    """Answers to the questions of a study or table.

    Args:
        question: The study's question in its own words; may be empty.
        answers: An answer for each question, those asked before the data first.
        how_sure: How sure they are, in at most three sentences.
        steps: What would answer more, at most three.
        warnings: What could change an answer, at most three.
    """

    question: str
    answers: tuple[Answer, ...]
    how_sure: tuple[Sentence, ...]
    steps: tuple[Step, ...]
    warnings: tuple[Sentence, ...]

    def frame(self) -> pd.DataFrame:
        """One row per question and contrast, the primary contrast first.

        Columns: ``question`` (its name, as ``--ask`` takes it); ``arm sparsity epochs`` of the cell
        that it is about; ``verdict``; ``asked``, ``before`` or ``after`` the data; ``n`` seeds;
        ``mean low high`` in units of the measure, positive where it speaks for the question;
        ``level``, the probability with which this verdict may be wrong, or 1 minus the coverage of
        an interval that holds alone; ``look``, the number of the look at the data that settled it,
        or of the last one; ``seeds_needed`` until it is settled; ``reason`` why it is
        not; ``sentence``.
        """
        rows = [_row(answer, contrast) for answer in self.answers for contrast in answer.contrasts]
        return pd.DataFrame(rows, columns=list(FRAME_DTYPES)).astype(FRAME_DTYPES)

    def sentences(self) -> list[str]:
        """Every sentence on every question, in order."""
        return [str(sentence) for answer in self.answers for sentence in answer.sentences()]

    def note(self) -> str:
        """How sure the answers are."""
        return " ".join(map(str, self.how_sure))

    def first_screen(self) -> FirstScreen:
        """Question, answer in at most three sentences, how sure it is, steps and warnings."""
        groups = answer_groups(self.answers)
        # The first kind of question leads, whatever its answer: the verdict is about it.
        first = groups[0].told()[0] if groups else None
        return FirstScreen(
            question=self.question or (groups[0].heading() if groups else ""),
            verdict=first.verdict if first else "",
            sentences=tuple(leading_sentences(groups, SHOWN)),
            figure=first.figure if first else None,
            how_sure=self.how_sure,
            steps=self.steps,
            warnings=self.warnings,
        )

    def markdown(self) -> str:
        """The answers as Markdown: a heading and a list for each question, then how sure."""
        parts = []
        for answer in self.answers:
            lines = [f"- {sentence}" for sentence in answer.sentences()]
            parts.append("\n".join([f"### {answer.text}", "", *lines]))
        if self.how_sure:
            parts.append(f"*{self.note()}*")
        return "\n\n".join(parts) + "\n"

    def latex(self) -> str:
        """The answers as LaTeX: a description list with an item for each question."""
        lines = [r"\begin{description}"]
        for answer in self.answers:
            said = " ".join(str(sentence) for sentence in answer.sentences())
            lines.append(rf"\item[{_latex_text(answer.text)}] {_latex_text(said)}")
        lines.append(r"\end{description}")
        if self.how_sure:
            lines.append(_latex_text(self.note()))
        return "\n".join(lines) + "\n"


def answers(results: Results, questions: Sequence[Question] | None = None) -> Answers:
    """Answer the questions of a study, or others.

    Questions that the study asked before its first trial are one family: any yes or no of them is
    wrong in at most 5 % of repetitions, over all looks at the data. Others are answered by
    estimates, marked as asked after the data, without a yes or no.

    Args:
        results: The study, or a table of runs, whose questions all come after the data.
        questions: Questions to answer; None for those of the study, asked before or after. One that
            the study asked before is answered as such.
    """
    measure = score_measure(results)
    asking = asking_of(results, measure)
    judging = Judging(results, ReportRuns(results, measure), asking)
    given = asking.after
    if questions is not None:
        given = resolve_questions(
            questions, asking.points, asking.base, is_fraction=measure.is_fraction
        )
    before = judging.before()
    found = list(before)
    if questions is not None:
        found = [answer for answer in before if answer.question in given]
    found += judging.after([each for each in given if each not in asking.before])
    return Answers(
        question=results.design.question,
        answers=tuple(found),
        how_sure=tuple(_how_sure(judging, found)),
        steps=tuple(next_steps(judging, found)),
        warnings=tuple(warnings(judging, found)),
    )


def _how_sure(judging: Judging, found: Sequence[Answer]) -> list[Sentence]:
    asking: Asking = judging.asking
    if not any(answer.is_before for answer in found):
        return [write("sure_later")] if found else []
    samples = [each.measured.sample for answer in found for each in answer.contrasts]
    measured = [sample for sample in samples if sample.n]
    has_examples = bool(measured) and all(sample.examples is not None for sample in measured)
    sources = ["seeds"]
    results = judging.results
    if isinstance(results, StudyResults) and results.study.base.task.split_seed == "vary":
        sources.append("splits")
    if has_examples:
        sources.append("test examples")
    searched = bool(judging.results.design.search)
    sure = [write("sure", over=listed(sources))]
    if searched:
        sure.append(write("sure_recipes"))
    looks = [str(seeds) for seeds in asking.declared_looks]
    if asking.look > len(looks):
        sure.append(write("sure_looks", stage=asking.look))
    elif len(looks) > 1:
        sure.append(write("sure_declared_looks", seeds=listed(looks)))
    return sure


def _row(answer: Answer, contrast: ContrastAnswer) -> dict[str, Any]:
    at = contrast.measured.planned.at
    bound = contrast.bound
    return {
        "question": question_name(answer.question),
        "arm": at.arm,
        "sparsity": at.sparsity,
        "epochs": at.epochs,
        "verdict": contrast.verdict,
        "asked": "before" if answer.is_before else "after",
        "n": bound.n,
        "mean": bound.mean,
        "low": bound.low,
        "high": bound.high,
        "level": bound.level,
        "look": bound.look,
        "seeds_needed": bound.seeds_needed,
        "reason": bound.reason,
        "sentence": str(contrast.sentences[0]),
    }


LATEX_CHARACTERS = {
    "\\": r"\textbackslash{}",
    "%": r"\%",
    "&": r"\&",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\N{MINUS SIGN}": "$-$",
}
"""LaTeX of the characters that mean something else there."""


def _latex_text(text: str) -> str:
    return "".join(LATEX_CHARACTERS.get(character, character) for character in text)
