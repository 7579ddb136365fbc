from __future__ import annotations

import math

import numpy as np
import pytest

from sparsetune.answers import Asked, Contrast, judge, stage_level
from sparsetune.answers.family import shares
from sparsetune.errors import SparsetuneError
from tests.answers.cases import asked, sample


def question(name: str, *primary: bool) -> Asked:
    contrasts = [
        Contrast(str(number), sample([]), is_primary=is_primary)
        for number, is_primary in enumerate(primary)
    ]
    return Asked(name, 1, 1.0, contrasts)


@pytest.mark.parametrize(
    ("stage", "expected"), [(1, 0.0303964), (2, 0.0075991), (3, 0.0033774), (10, 0.000303964)]
)
def test_a_stage_spends_its_part_of_the_level(stage: int, expected: float) -> None:
    assert stage_level(0.05, stage) == pytest.approx(expected, rel=1e-4)


def test_stages_never_spend_more_than_the_level() -> None:
    spent = sum(stage_level(0.05, stage) for stage in range(1, 100_000))
    assert 0.04999 < spent < 0.05


def test_questions_share_alike_and_a_primary_contrast_has_half() -> None:
    family = [question("a", True, False, False, False), question("b", False)]
    assert shares(family) == pytest.approx([1 / 4, 1 / 12, 1 / 12, 1 / 12, 1 / 2])


@pytest.mark.parametrize(
    ("primary", "expected"),
    [
        ((False, False), [0.5, 0.5]),
        ((True, True), [0.5, 0.5]),
        ((True, True, False), [0.25, 0.25, 0.5]),
        ((True,), [1.0]),
    ],
)
def test_several_primary_contrasts_and_none(
    primary: tuple[bool, ...], expected: list[float]
) -> None:
    assert shares([question("a", *primary)]) == pytest.approx(expected)


def test_a_question_without_contrasts_takes_nothing_from_the_others() -> None:
    assert shares([question("a"), question("b", False)]) == [1.0]


def test_bounds_carry_their_level() -> None:
    family = [question("a", True, False, False), question("b", False)]
    levels = [bound.level for bound in judge(family, level=0.05, look=2)]
    assert levels == pytest.approx(
        np.array([1 / 4, 1 / 8, 1 / 8, 1 / 2]) * 0.05 * 6 / (4 * math.pi**2)
    )


def test_a_missing_contrast_keeps_its_share() -> None:
    measured = sample([1.0, 2.0, 3.0])
    alone = judge([asked(measured)])[0]
    beside = judge([asked(measured, sample([]))])[0]
    assert beside.level == alone.level / 2
    assert beside.low < alone.low


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ([question("a", False), question("a", False)], "more than once: a"),
        ([Asked("a", 1, 1.0, [Contrast("x", sample([]))] * 2)], "more than once: x"),
    ],
)
def test_names_are_unique(family: list[Asked], said: str) -> None:
    with pytest.raises(SparsetuneError, match=said):
        judge(family)


@pytest.mark.parametrize(
    ("level", "stage", "said"),
    [(0.0, 1, "got 0"), (1.0, 1, "got 1"), (math.nan, 1, "got nan"), (0.05, 0, "from 1, got 0")],
)
def test_levels_and_stages_in_range(level: float, stage: int, said: str) -> None:
    with pytest.raises(SparsetuneError, match=said):
        judge([question("a", False)], level=level, look=stage)


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan, math.inf])
def test_a_margin_is_above_0(margin: float) -> None:
    with pytest.raises(SparsetuneError, match="above 0"):
        Asked("a", 1, margin, [])


def test_sides_are_1_or_2() -> None:
    with pytest.raises(SparsetuneError, match="got 3"):
        Asked("a", 3, 1.0, [])  # type: ignore[arg-type]


def test_an_empty_family_has_no_bounds() -> None:
    assert judge([]) == []
