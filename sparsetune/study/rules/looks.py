"""Rules of report seeds that double until answers are settled."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sparsetune.errors import Problem
from sparsetune.study.cells import Cell
from sparsetune.study.fields import MAX_REPORT_SEEDS, StudyFields
from sparsetune.study.questions.defaults import asked_questions
from sparsetune.study.questions.kinds import is_settled_by_seeds
from sparsetune.study.questions.points import base_epochs

FIELD = "until_settled"
MAX_LOOKS = 5
"""Most looks of a study: each spends a part of the level, whether it is reached or not."""
FEWEST_SEEDS = 2
"""Fewest report seeds of a first look: one seed settles nothing."""


def look_problems(study: StudyFields, cells: Sequence[Cell]) -> Iterator[Problem]:
    """Problems of `Study.until_settled`; none where it is left out.

    Args:
        study: The declaration, without fields that cannot be read.
        cells: Its cells; without any, or a length of its base, nothing is known of its questions.
    """
    most = study.until_settled
    if most is None:
        return
    first = study.report_seeds
    if first < FEWEST_SEEDS:
        rule = (
            f"needs at least {FEWEST_SEEDS} `report_seeds`, since one seed settles no answer; raise"
            " `report_seeds`, or leave this out"
        )
        yield Problem(FIELD, rule, f"{first} report seed")
        return
    allowed = _doubled(first)
    if most not in allowed:
        listed = ", ".join(map(str, allowed)) or f"none up to {MAX_REPORT_SEEDS:,}"
        rule = (
            f"must be `report_seeds` doubled one to {MAX_LOOKS - 1} times; from {first} these are"
            f" {listed}"
        )
        yield Problem(FIELD, rule, str(most))
    is_known = bool(cells) and not math.isnan(base_epochs(study))
    if is_known and not any(map(is_settled_by_seeds, asked_questions(study))):
        rule = (
            "needs a question that report seeds can answer with yes or no, such as"
            " `UnderTrained` or `RetuningGain`; ask one, or leave this out"
        )
        yield Problem(FIELD, rule)


def _doubled(first: int) -> list[int]:
    """Values that `Study.until_settled` may have after so many report seeds."""
    values = [first * 2**doublings for doublings in range(1, MAX_LOOKS)]
    return [value for value in values if value <= MAX_REPORT_SEEDS]
