"""Questions as statistics sees them: contrasts, each one number that a yes or a no is about."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sparsetune.answers.sample import Sample
from sparsetune.errors import SparsetuneError
from sparsetune.study.questions.kinds import ArmsDiffer, BestValueMoves, Question, UnderTrained
from sparsetune.study.questions.names import question_name

Sides = Literal[1, 2]
NO_MARGIN = sys.float_info.min
"""Margin where none is known: no effect is so small that it counts as none."""
TWO_SIDED = (UnderTrained, ArmsDiffer, BestValueMoves)
"""Questions that an effect in either direction answers."""


@dataclass(frozen=True, eq=False)
class Contrast:
    """One difference that can be answered with a yes or a no, such as a gain at one sparsity.

    Args:
        name: Name, unique within its question.
        sample: What was measured.
        is_primary: Whether it is the one that the question is about first: it gets half of the
            question's share of the level.
    """

    name: str
    sample: Sample
    is_primary: bool = False


@dataclass(frozen=True, eq=False)
class Asked:
    """One question: its contrasts, what counts as an effect, and in which directions.

    Args:
        name: Name, unique within the family.
        sides: 1 where only a positive effect is asked for ("does it gain?"), 2 where either
            direction is an answer ("do they differ?").
        margin: Smallest effect that matters, above 0, in units of the measure.
        contrasts: Every contrast that was declared, those without any result included: their
            number must not depend on the data.

    Raises:
        SparsetuneError: if the margin is not above 0 or `sides` is neither 1 nor 2.
    """

    name: str
    sides: Sides
    margin: float
    contrasts: Sequence[Contrast]

    def __post_init__(self) -> None:
        if not (self.margin > 0 and math.isfinite(self.margin)):
            raise SparsetuneError(
                f"`margin` is the smallest effect that matters, above 0, got {self.margin}"
            )
        if self.sides not in (1, 2):
            raise SparsetuneError(f"`sides` is 1 or 2, got {self.sides}")


def ask(question: Question, contrasts: Sequence[Contrast]) -> Asked:
    """A question in full with what was measured for it.

    Args:
        question: The question.
        contrasts: Its contrasts, measured or not.
    """
    margin = getattr(question, "margin", None) or NO_MARGIN
    return Asked(question_name(question), question_sides(question), margin, contrasts)


def question_sides(question: Question) -> Sides:
    """1 where only a positive effect is asked for, 2 where either direction is an answer."""
    return 2 if isinstance(question, TWO_SIDED) else 1
