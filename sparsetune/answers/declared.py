"""Declared questions as the core of answers sees them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from sparsetune.answers.asked import Asked, Contrast, Sides
from sparsetune.study.questions.kinds import ArmsDiffer, BestValueMoves, Question, UnderTrained
from sparsetune.study.questions.names import question_name

NO_MARGIN = sys.float_info.min
"""Margin where none is known: no effect is so small that it counts as none."""
TWO_SIDED = (UnderTrained, ArmsDiffer, BestValueMoves)
"""Questions that an effect in either direction answers."""


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
