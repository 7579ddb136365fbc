"""Verdicts and sentences on questions, from the report runs of a study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from sparsetune.answers import Bound, Contrast, judge
from sparsetune.answers.components import components
from sparsetune.answers.declared import ask
from sparsetune.answers.precision import Precision
from sparsetune.study.questions.contrasts import PlannedContrast, Term
from sparsetune.study.questions.kinds import (
    ArmsDiffer,
    BestValueMoves,
    ExtensionGain,
    Question,
    Remaining,
    RetuningGain,
    UnderTrained,
)
from sparsetune.study.questions.points import is_close
from sparsetune.study.questions.words import (
    arm_words,
    field_words,
    question_text,
    times_words,
)

from ..measure import Measure
from ..tables.results import Results
from .answer import Answer, ContrastAnswer, verdict_word
from .asking import Asking
from .samples import MeasuredContrast, ReportRuns, measure_contrast
from .sentences import Sentence, write
from .words import (
    axis_measure,
    cell_words,
    difference_words,
    interval_words,
    number_words,
    seeds_words,
    value_words,
    whether_words,
)

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
        measured = {
            question: self._measured(question, is_before=True) for question in self.asking.before
        }
        judged = [question for question in measured if not isinstance(question, Remaining)]
        family = [ask(question, _contrasts(measured[question])) for question in judged]
        found = judge(
            family, level=LEVEL, stage=self.asking.stage, is_complete=self.asking.is_complete
        )
        bounds = {(bound.question, bound.name): bound for bound in found}
        answers = []
        for question, contrasts in measured.items():
            if isinstance(question, Remaining):
                answers.append(self._answer(question, contrasts, _pointwise(question, contrasts)))
                continue
            name = ask(question, ()).name
            own = [bounds[name, each.planned.name] for each in contrasts]
            own = [self._chosen(each, bound) for each, bound in zip(contrasts, own, strict=True)]
            answers.append(self._answer(question, contrasts, own))
        return answers

    def after(self, questions: Sequence[Question]) -> list[Answer]:
        """Answers to questions that were asked after the data: estimates, each for itself."""
        answers = []
        for question in questions:
            contrasts = self._measured(question, is_before=False)
            if contrasts:
                bounds = _pointwise(question, contrasts)
                answers.append(self._answer(question, contrasts, bounds, is_before=False))
        return answers

    def _measured(self, question: Question, *, is_before: bool) -> list[MeasuredContrast]:
        planned = self.asking.contrasts(question, is_before=is_before)
        return [measure_contrast(self.runs, question, each) for each in planned]

    def _chosen(self, measured: MeasuredContrast, bound: Bound) -> Bound:
        """The bound, or a plain no where the winner is the dense recipe itself."""
        if bound.verdict == "open" or not self.chose_dense_recipe(measured.planned):
            return bound
        n = int(self.runs.row(measured.planned.terms[0]).notna().sum())
        return replace(
            bound, n=n, mean=0.0, se=0.0, low=0.0, high=0.0, verdict="no", reason="", seeds_needed=0
        )

    def chose_dense_recipe(self, planned: PlannedContrast) -> bool:
        """True if the contrast is of re-tuning, and the cell's search chose its control."""
        if not any(term.runs == "control" for term in planned.terms):
            return False
        cells = self.results.cells().set_index("cell")
        if planned.at.cell not in cells.index or "control_id" not in cells:
            return False
        row = cells.loc[planned.at.cell]
        is_known = pd.notna(row["winner_id"]) and pd.notna(row["control_id"])
        return bool(is_known and row["winner_id"] == row["control_id"])

    def _answer(
        self,
        question: Question,
        contrasts: Sequence[MeasuredContrast],
        bounds: Sequence[Bound],
        *,
        is_before: bool = True,
    ) -> Answer:
        measure = self._measure(question)
        writing = Writing(self, question, measure)
        found = []
        for measured, bound in zip(contrasts, bounds, strict=True):
            verdict = verdict_word(question, bound, is_before=is_before)
            sentences = tuple(writing.sentences(measured, bound, is_before=is_before))
            found.append(ContrastAnswer(measured, bound, verdict, sentences))
        text = question_text(question, [each.planned for each in contrasts])
        return Answer(question, text, measure, is_before, tuple(found))

    def _measure(self, question: Question) -> Measure:
        if isinstance(question, BestValueMoves):
            return axis_measure(self.results, question.field)
        return self.runs.measure


def _contrasts(measured: Sequence[MeasuredContrast]) -> list[Contrast]:
    return [Contrast(each.planned.name, each.sample, each.planned.is_primary) for each in measured]


def _pointwise(question: Question, measured: Sequence[MeasuredContrast]) -> list[Bound]:
    """Bounds of which each alone covers with a probability of 95 %, without verdicts."""
    samples = [each.sample for each in measured]
    precision = Precision.of(samples, [components(sample) for sample in samples])
    halves = precision.half_widths(np.full(len(samples), LEVEL / 2))
    found = []
    for bound, half in zip(
        judge([ask(question, _contrasts(measured))], level=LEVEL), map(float, halves), strict=True
    ):
        low = bound.mean - half
        high = bound.mean + half
        is_known = bound.n > 1 and bound.reason != "no spread"
        ends = (low, high) if is_known else (math.nan, math.nan)
        found.append(
            replace(
                bound,
                low=ends[0],
                high=ends[1],
                level=LEVEL,
                verdict="not settled",
                seeds_needed=math.nan,
            )
        )
    return found


def _within(bound: Bound, measure: Measure) -> Bound:
    """The bound of a value without the part of its interval that no value can have."""
    if measure.range is None:
        return bound
    lowest, highest = measure.range
    return replace(bound, low=max(bound.low, lowest), high=min(bound.high, highest))


@dataclass(frozen=True)
class Writing:
    """Writes the sentences of one question.

    Args:
        judging: The study.
        question: The question in full.
        measure: What its numbers are measured in.
    """

    judging: Judging
    question: Question
    measure: Measure

    def sentences(
        self, measured: MeasuredContrast, bound: Bound, *, is_before: bool
    ) -> Iterator[Sentence]:
        """What is said about one contrast, its verdict first."""
        planned = measured.planned
        if isinstance(self.question, Remaining):
            yield self._remaining(measured, bound)
            return
        if not is_before:
            yield self._later(measured, bound)
            yield from self._parts(measured)
            return
        match bound.verdict:
            case "open":
                yield write("open", whether=whether_words(self.question, planned))
            case "not settled":
                yield self._unsettled(measured, bound)
            case _ if self.judging.chose_dense_recipe(planned):
                yield write("retuning_chosen", **self._values(measured, bound))
            case _:
                kind = SENTENCES_OF_KIND[type(self.question)]
                name = f"{kind}_{bound.verdict}"
                yield write(name, **self._values(measured, bound))
        if bound.verdict != "open":
            yield from self._parts(measured)

    def _values(self, measured: MeasuredContrast, bound: Bound) -> dict[str, Any]:
        """Texts for all names in the sentences of this kind of question."""
        planned = measured.planned
        question = self.question
        is_turned = bound.verdict == "opposite"
        values: dict[str, Any] = {
            "at": cell_words(planned.at),
            "measure": self.measure.phrase,
            "numbers": interval_words(bound, self.measure, is_turned=is_turned),
            "margin": self._margin(),
            "longer": f"{planned.at.epochs:g}",
            "epochs": f"{planned.at.epochs:g}",
        }
        match question:
            case ExtensionGain():
                values["times"] = times_words(question.times or 1)
            case UnderTrained() if planned.base:
                values["epochs"] = f"{planned.base.epochs:g}"
            case RetuningGain():
                values["configurations"] = self._configurations(planned)
            case ArmsDiffer():
                values["other"] = arm_words(question.other or "")
            case BestValueMoves() if planned.base:
                values["field"] = field_words(question.field)
                values["other"] = cell_words(planned.base)
        return values

    def _margin(self) -> str:
        margin = getattr(self.question, "margin", None)
        return "" if margin is None else self.measure.margin_text(margin)

    def _configurations(self, planned: PlannedContrast) -> str:
        """Number of configurations that a cell's search compared, in words."""
        cells = self.judging.results.cells().set_index("cell")
        count = int(cells["configurations"].get(planned.at.cell, 0))
        return f"{count} configuration" + "s" * (count != 1)

    def _parts(self, measured: MeasuredContrast) -> Iterator[Sentence]:
        """What is behind the primary contrast: both gains, or what the dense recipe is."""
        if not measured.planned.is_primary:
            return
        if isinstance(self.question, RetuningGain):
            yield write("retuning_control")
        if not isinstance(self.question, ExtensionGain) or not measured.sample.n:
            return
        long, short, dense_long, dense_short = measured.parts
        sign = self.measure.direction
        name = "extension_parts"
        if measured.planned.terms[2].runs == "twin":
            name = "extension_parts_twin"
        yield write(
            name,
            sparse_gain=difference_words(sign * (long - short), self.measure),
            dense_gain=number_words(sign * (dense_long - dense_short), self.measure),
        )

    def _unsettled(self, measured: MeasuredContrast, bound: Bound) -> Sentence:
        whether = whether_words(self.question, measured.planned)
        if not measured.has_learned:
            return write("unsettled_nothing_learned", whether=whether)
        match bound.reason:
            case "never measured" | "not finite":
                return write("unsettled_missing", whether=whether)
            case "too few seeds":
                return write("unsettled_one_seed", whether=whether)
            case "no spread":
                mean = difference_words(bound.mean, self.measure)
                seeds = seeds_words(bound.n)
                return write("unsettled_no_spread", whether=whether, n=seeds, mean=mean)
            case "collapses":
                return write(
                    "unsettled_collapses",
                    whether=whether,
                    collapsed=sum(measured.sample.collapsed),
                    runs=sum(measured.sample.runs),
                )
        return write("unsettled", whether=whether, numbers=interval_words(bound, self.measure))

    def _later(self, measured: MeasuredContrast, bound: Bound) -> Sentence:
        whether = whether_words(self.question, measured.planned)
        if not measured.has_learned:
            return write("unsettled_nothing_learned", whether=whether)
        if not math.isfinite(bound.low):
            return write("later_unmeasured", whether=whether)
        return write("later", whether=whether, numbers=interval_words(bound, self.measure))

    def _remaining(self, measured: MeasuredContrast, bound: Bound) -> Sentence:
        at = measured.planned.at
        values = {"at": cell_words(at), "epochs": f"{at.epochs:g}", "measure": self.measure.phrase}
        if not bound.n:
            return write("remaining_unmeasured", **values)
        values["value"] = value_words(bound.mean, self.measure)
        bound = _within(bound, self.measure)
        if not measured.has_learned:
            return write("remaining_nothing_learned", **values)
        values["numbers"] = interval_words(bound, self.measure, with_mean=False)
        dense = self._dense_score(measured)
        if dense is None:
            return write("remaining_alone", **values)
        return write("remaining", dense=number_words(dense, self.measure), **values)

    def _dense_score(self, measured: MeasuredContrast) -> float | None:
        """Mean score of the dense network after as many epochs; None without one."""
        at = measured.planned.at
        runs = self.judging.runs
        for point in self.judging.asking.points:
            is_dense = point.sparsity == 0 and at.sparsity > 0
            is_alike = point.others == at.others and is_close(point.epochs, at.epochs)
            if is_dense and is_alike and point.cell in runs.cells.index:
                mean = float(runs.row(Term(point.cell, 1)).mean())
                return None if math.isnan(mean) else mean
        return None


SENTENCES_OF_KIND: dict[type[object], str] = {
    ExtensionGain: "extension",
    UnderTrained: "under",
    RetuningGain: "retuning",
    ArmsDiffer: "arms",
    BestValueMoves: "value",
}
"""First part of the names of sentences, by the kind of question."""
