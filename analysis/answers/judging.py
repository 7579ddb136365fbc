"""Verdicts on questions, from the report runs of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sparsetune.answers import Asked, Bound, Contrast, judge, judge_looks
from sparsetune.answers.asked import ask
from sparsetune.answers.components import components
from sparsetune.answers.precision import Precision
from sparsetune.study.questions.kinds import BestValueMoves, Question, Remaining
from sparsetune.study.questions.words import question_text

from ..load import StudyResults
from ..measure import Measure
from ..tables.results import Results
from .answer import Answer, ContrastAnswer, verdict_word
from .asking import Asking
from .samples import MeasuredContrast, ReportRuns, measure_contrast
from .words import axis_measure
from .writing import Writing

LEVEL = 0.05
"""Probability that any yes or no of a study is wrong, and 1 minus the coverage of other
intervals."""


@dataclass(frozen=True)
class Judging:
    """Judges the questions of one study or table.

    Args:
        results: The study or table.
        runs: Its report runs.
        asking: Its questions.
    """

    results: Results
    runs: ReportRuns
    asking: Asking

    def before(self) -> list[Answer]:
        """Answers to the questions that were asked before the data, as one family."""
        measured = {look: self._measured_at(look) for look in self.asking.looks}
        found = judge_looks(
            lambda look: _family(measured[look]),
            looks=self.asking.looks,
            declared=self.asking.declared_looks,
            level=LEVEL,
            is_complete=self.asking.is_complete,
        )
        bounds = {(bound.question, bound.name): bound for bound in found}
        answers = []
        for question, contrasts in measured[self.asking.look].items():
            if isinstance(question, Remaining):
                answers.append(
                    self._answer(question, contrasts, self._estimates(question, contrasts))
                )
                continue
            name = ask(question, ()).name
            own = [bounds[name, each.planned.name] for each in contrasts]
            own = [self._chosen(each, bound) for each, bound in zip(contrasts, own, strict=True)]
            # Shown as it was settled, without the seeds that came later.
            shown = [measured[bound.look][question][place] for place, bound in enumerate(own)]
            answers.append(self._answer(question, shown, own))
        return answers

    def _measured_at(self, look: int) -> dict[Question, list[MeasuredContrast]]:
        """Contrasts of every question that was asked before the data, as measured at a look."""
        runs = self.runs
        if look != self.asking.look:
            assert isinstance(self.results, StudyResults)  # a table has one look
            runs = ReportRuns(self.results.at_look(look), runs.measure)
        measured = {}
        for question in self.asking.before:
            planned = self.asking.contrasts(question, is_before=True)
            # Another version may have asked what this one finds no cell for.
            if planned:
                measured[question] = [measure_contrast(runs, question, each) for each in planned]
        return measured

    def after(self, questions: Sequence[Question]) -> list[Answer]:
        """Answers to questions that were asked after the data: estimates, each for itself."""
        answers = []
        for question in questions:
            planned = self.asking.contrasts(question, is_before=False)
            contrasts = [measure_contrast(self.runs, question, each) for each in planned]
            if contrasts:
                bounds = self._estimates(question, contrasts)
                answers.append(self._answer(question, contrasts, bounds, is_before=False))
        return answers

    def _chosen(self, measured: MeasuredContrast, bound: Bound) -> Bound:
        """The bound, or a plain no where the winner is the dense recipe itself."""
        if bound.verdict == "open" or not self.runs.chose_dense_recipe(measured.planned):
            return bound
        n = int(self.runs.row(measured.planned.terms[0]).notna().sum())
        return replace(
            bound, n=n, mean=0.0, se=0.0, low=0.0, high=0.0, verdict="no", reason="", seeds_needed=0
        )

    def _answer(
        self,
        question: Question,
        contrasts: Sequence[MeasuredContrast],
        bounds: Sequence[Bound],
        *,
        is_before: bool = True,
    ) -> Answer:
        measure = self._measure(question)
        writing = Writing(self.runs, self.asking.points, question, measure)
        found = []
        for measured, bound in zip(contrasts, bounds, strict=True):
            verdict = verdict_word(question, bound, is_before=is_before)
            sentences = tuple(writing.sentences(measured, bound, is_before=is_before))
            found.append(ContrastAnswer(measured, bound, verdict, sentences))
        text = question_text(question, [each.planned for each in contrasts])
        return Answer(question, text, measure, is_before, tuple(found))

    def _estimates(self, question: Question, contrasts: Sequence[MeasuredContrast]) -> list[Bound]:
        bounds = _pointwise(question, contrasts)
        if not isinstance(question, Remaining):
            return bounds
        found: list[Bound] = []
        for measured, bound in zip(contrasts, bounds, strict=True):
            own = self._of_means(measured.planned.at.cell, bound)
            found.append(_within(own, self.runs.measure))
        return found

    def _of_means(self, cell: str, bound: Bound) -> Bound:
        """The bound of a value that is a mean itself: given by a table, or over configurations."""
        if cell not in self.runs.means.index or not bound.n:
            return bound
        row = self.runs.means.loc[cell]
        if row["configurations"] > 1:
            # Different configurations are no seeds, of which there are none.
            return replace(bound, n=0, low=math.nan, high=math.nan)
        if pd.isna(row["given_runs"]):
            return bound
        return replace(bound, n=int(row["n"]), low=float(row["low"]), high=float(row["high"]))

    def _measure(self, question: Question) -> Measure:
        if isinstance(question, BestValueMoves):
            return axis_measure(self.results, question.field)
        return self.runs.measure


def _within(bound: Bound, measure: Measure) -> Bound:
    """The bound of a value without the part of its interval that no value can have."""
    if measure.range is None:
        return bound
    lowest, highest = measure.range
    return replace(bound, low=max(bound.low, lowest), high=min(bound.high, highest))


def _family(measured: Mapping[Question, Sequence[MeasuredContrast]]) -> list[Asked]:
    """Every question that has a yes or a no."""
    return [
        ask(question, _contrasts(contrasts))
        for question, contrasts in measured.items()
        if not isinstance(question, Remaining)
    ]


def _contrasts(measured: Sequence[MeasuredContrast]) -> list[Contrast]:
    return [Contrast(each.planned.name, each.sample, each.planned.is_primary) for each in measured]


def _pointwise(question: Question, measured: Sequence[MeasuredContrast]) -> list[Bound]:
    """Bounds of which each alone covers with a probability of 95 %, without verdicts."""
    samples = [each.sample for each in measured]
    precision = Precision.of(samples, [components(sample) for sample in samples])
    halves = precision.half_widths(np.full(len(samples), LEVEL / 2))
    bounds = judge([ask(question, _contrasts(measured))], level=LEVEL)
    found = []
    for bound, half in zip(bounds, map(float, halves), strict=True):
        # Equal differences do not tell how far the next one may lie.
        reach = half if bound.n > 1 and bound.reason != "no spread" else math.nan
        found.append(
            replace(
                bound,
                low=bound.mean - reach,
                high=bound.mean + reach,
                level=LEVEL,
                verdict="not settled",
                seeds_needed=math.nan,
            )
        )
    return found
