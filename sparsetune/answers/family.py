"""Levels of the contrasts of one family: weighted Bonferroni, spent over looks at the data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from sparsetune.answers.asked import Asked
from sparsetune.errors import SparsetuneError

PRIMARY_SHARE = 0.5
"""Part of a question's share that its primary contrasts get where it has others too."""


def stage_level(level: float, stage: int) -> float:
    """Part of the level that one stage may spend: level * 6 / (pi^2 stage^2).

    The parts of all stages sum up to the level, however many there will be.

    Args:
        level: Probability of a wrong answer over all stages, in (0, 1).
        stage: Number of the stage, from 1: it begins with the k-th launch that adds report seeds.

    Raises:
        SparsetuneError: if the level is outside (0, 1) or the stage below 1.
    """
    require_level(level)
    if stage < 1:
        raise SparsetuneError(f"`stage` is counted from 1, got {stage}")
    return level * 6 / (math.pi * stage) ** 2


def look_level(level: float, look: int, declared: Sequence[int] = (1,)) -> float:
    """Part of the level that one look may spend; the parts of all looks sum up to the level.

    The looks that a study declares are its first stage and share what that may spend, in proportion
    to their seeds: the last look, which sees most, gets most. Each addition of report seeds is a
    look of its own, and begins the next stage.

    Args:
        level: Probability of a wrong answer over all looks, in (0, 1).
        look: Number of the look, from 1: the declared ones first, reached or not.
        declared: Report seeds of a cell at each look that the study declares, at least one.

    Raises:
        SparsetuneError: if the level is outside (0, 1) or the look below 1.
    """
    if look < 1:
        raise SparsetuneError(f"`look` is counted from 1, got {look}")
    additions = max(0, look - len(declared))
    spent = stage_level(level, 1 + additions)
    return spent if additions else spent * declared[look - 1] / sum(declared)


def require_level(level: float) -> None:
    """Check that a level is a probability.

    Raises:
        SparsetuneError: if it is outside (0, 1).
    """
    if not 0 < level < 1:
        raise SparsetuneError(
            f"`level` is the probability of a wrong answer, above 0 and below 1, got {level}"
        )


def shares(family: Sequence[Asked]) -> list[float]:
    """Part of the stage's level that each contrast gets, question by question; they sum up to 1.

    Every question gets the same. Within one, the primary contrasts get half and the others share
    the other half; all share alike where there are only primary ones, or none.

    Raises:
        SparsetuneError: if two questions, or two contrasts of one, have the same name.
    """
    _require_unique([asked.name for asked in family], "questions of a family")
    found: list[float] = []
    questions = [asked for asked in family if asked.contrasts]
    for asked in questions:
        _require_unique([contrast.name for contrast in asked.contrasts], f"`{asked.name}`")
        found += [part / len(questions) for part in _shares_within(asked)]
    return found


def _shares_within(asked: Asked) -> list[float]:
    n_contrasts = len(asked.contrasts)
    n_primary = sum(contrast.is_primary for contrast in asked.contrasts)
    n_others = n_contrasts - n_primary
    if not n_primary or not n_others:
        return [1 / n_contrasts] * n_contrasts
    return [
        PRIMARY_SHARE / n_primary if contrast.is_primary else (1 - PRIMARY_SHARE) / n_others
        for contrast in asked.contrasts
    ]


def _require_unique(names: Sequence[str], where: str) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise SparsetuneError(
            f"names in {where} must be unique, got more than once: {', '.join(twice)}"
        )
