"""Sentences on the contrasts of one question."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sparsetune.answers import Bound
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
from sparsetune.study.questions.points import CellPoint, is_close
from sparsetune.study.questions.words import arm_words, field_words

from ..estimates.means import is_measured
from ..measure import Measure
from .samples import MeasuredContrast, ReportRuns
from .sentences import Sentence, write
from .words import (
    after_words,
    cell_words,
    decimals_of,
    difference_words,
    interval_words,
    number_words,
    seeds_words,
    value_words,
    whether_words,
)

SENTENCES_OF_KIND: dict[type[object], str] = {
    ExtensionGain: "extension",
    UnderTrained: "under",
    RetuningGain: "retuning",
    ArmsDiffer: "arms",
    BestValueMoves: "value",
}
"""First part of the names of sentences, by the kind of question."""


@dataclass(frozen=True)
class Writing:
    """Writes the sentences of one question.

    Args:
        runs: Report runs of the study.
        points: All its cells.
        question: The question in full.
        measure: What its numbers are measured in.
    """

    runs: ReportRuns
    points: Sequence[CellPoint]
    question: Question
    measure: Measure

    @cached_property
    def has_training_loss(self) -> bool:
        """True if report runs have a training loss, which under-training is judged by."""
        return is_measured(self.runs.results, "train_loss")

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
            if isinstance(self.question, UnderTrained) and not self.has_training_loss:
                yield write("later_no_training_loss")
            yield from self._parts(measured, bound)
            return
        match bound.verdict:
            case "open":
                yield write("open", whether=whether_words(self.question, planned))
            case "not settled":
                yield self._unsettled(measured, bound)
            case _ if self.runs.chose_dense_recipe(planned):
                yield write("retuning_chosen", **self._values(measured, bound))
            case _:
                kind = SENTENCES_OF_KIND[type(self.question)]
                name = f"{kind}_{bound.verdict}"
                yield write(name, **self._values(measured, bound))
        if bound.verdict == "not settled" or isinstance(self.question, RetuningGain):
            yield from self._parts(measured, bound)

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
            "after": after_words(planned.at.epochs),
        }
        match question:
            case ExtensionGain():
                decimals = decimals_of(bound)
                values |= self._gains(measured, decimals)
                values["numbers"] = difference_words(abs(bound.mean), self.measure, decimals)
                values["interval"] = interval_words(
                    bound, self.measure, with_mean=False, is_turned=is_turned
                )
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
        cells = self.runs.results.cells().set_index("cell")
        count = int(cells["configurations"].get(planned.at.cell, 0))
        return f"{count} configuration" + "s" * (count != 1)

    def _parts(self, measured: MeasuredContrast, bound: Bound) -> Iterator[Sentence]:
        """What is behind the primary contrast: both gains, or what the dense recipe is."""
        if not measured.planned.is_primary:
            return
        if isinstance(self.question, RetuningGain):
            yield write("retuning_control")
        if not isinstance(self.question, ExtensionGain) or not measured.sample.n:
            return
        yield write("extension_parts", **self._gains(measured, decimals_of(bound)))

    def _gains(self, measured: MeasuredContrast, decimals: int) -> dict[str, str]:
        """Texts on the two gains that a gain beyond dense is the difference of."""
        long, short, dense_long, dense_short = measured.parts
        sign = self.measure.direction
        at, base = measured.planned.at, measured.planned.base
        is_twin = measured.planned.terms[2].runs == "twin"
        return {
            "at": cell_words(at),
            "epochs": f"{base.epochs:g}" if base else "",
            "longer": f"{at.epochs:g}",
            "dense": "its dense twin" if is_twin else "the dense network",
            "sparse_gain": difference_words(sign * (long - short), self.measure, decimals),
            "dense_gain": number_words(sign * (dense_long - dense_short), self.measure, decimals),
        }

    def _unsettled(self, measured: MeasuredContrast, bound: Bound) -> Sentence:
        whether = whether_words(self.question, measured.planned)
        if not measured.has_learned:
            return write("unsettled_nothing_learned", whether=whether)
        if diverged := self.runs.diverged_control(measured.planned):
            seeds = seeds_words(diverged)
            return write("unsettled_control_diverged", whether=whether, seeds=seeds)
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
        if self.runs.chose_dense_recipe(measured.planned):
            return write("retuning_chosen", **self._values(measured, bound))
        if not math.isfinite(bound.low):
            return write("later_unmeasured", whether=whether)
        if isinstance(self.question, UnderTrained) and not self.has_training_loss:
            values = self._values(measured, bound)
            return write("later_longer", **values)
        return write("later", whether=whether, numbers=interval_words(bound, self.measure))

    def _remaining(self, measured: MeasuredContrast, bound: Bound) -> Sentence:
        at = measured.planned.at
        after = after_words(at.epochs)
        values = {"at": cell_words(at), "after": after, "measure": self.measure.phrase}
        spread = self._spread(at.cell)
        if spread:
            return write("remaining_configurations", **values, **spread)
        if not bound.n:
            return write("remaining_unmeasured", **values)
        values["value"] = value_words(bound.mean, self.measure)
        if not measured.has_learned:
            return write("remaining_nothing_learned", **values)
        values["numbers"] = interval_words(bound, self.measure, with_mean=False)
        dense = self._dense_score(measured)
        if dense is None:
            return write("remaining_alone", **values)
        return write("remaining", dense=number_words(dense, self.measure), **values)

    def _spread(self, cell: str) -> dict[str, str]:
        """Texts on a cell whose score is a mean over configurations; empty for any other."""
        if cell not in self.runs.means.index:
            return {}
        row = dict(self.runs.means.loc[cell])
        if row["configurations"] < 2 or math.isnan(row["mean"]):
            return {}
        return {
            "value": value_words(row["mean"], self.measure),
            "configurations": f"{row['configurations']:.0f} configurations",
            "low": number_words(row["spread_low"], self.measure),
            "high": number_words(row["spread_high"], self.measure),
        }

    def _dense_score(self, measured: MeasuredContrast) -> float | None:
        """Mean score of the dense network after as many epochs; None without one."""
        at = measured.planned.at
        for point in self.points:
            is_dense = point.sparsity == 0 and at.sparsity > 0
            is_alike = point.others == at.others and is_close(point.epochs, at.epochs)
            if is_dense and is_alike and point.cell in self.runs.cells.index:
                mean = float(self.runs.row(Term(point.cell, 1)).mean())
                return None if math.isnan(mean) else mean
        return None
