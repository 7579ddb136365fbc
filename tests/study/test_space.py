"""Search axes: hand-worked points of the unit interval, and bounds that always hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsetune.errors import DeclarationError
from sparsetune.study.space import Choice, IntRange, LogUniform, Uniform


def test_a_logarithmic_range_is_halfway_at_its_geometric_mean() -> None:
    axis = LogUniform(0.01, 1.0)
    assert axis.at(0) == pytest.approx(0.01)
    assert axis.at(0.5) == pytest.approx(0.1)
    assert axis.at(0.75) == pytest.approx(10**-0.5)


def test_a_uniform_range_is_halfway_at_its_mean() -> None:
    assert [Uniform(1, 3).at(u) for u in (0, 0.25, 0.5)] == [1, 1.5, 2]


def test_whole_numbers_have_equal_shares_and_both_ends() -> None:
    axis = IntRange(2, 5)
    points = [axis.at(i / 400) for i in range(400)]
    assert {value: points.count(value) for value in (2, 3, 4, 5)} == {
        2: 100,
        3: 100,
        4: 100,
        5: 100,
    }
    assert all(isinstance(point, int) for point in points)


def test_options_have_equal_shares() -> None:
    axis = Choice(["sgd", "adamw", 3])
    points = [axis.at(i / 300) for i in range(300)]
    assert [points.count(option) for option in ("sgd", "adamw", 3)] == [100, 100, 100]


def test_ends_are_what_a_declaration_must_allow() -> None:
    assert LogUniform(0.1, 1).ends() == [0.1, 1]
    assert IntRange(2, 5).ends() == [2, 5]
    assert Choice(["a", "b", "c"]).ends() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("axis", "rule"),
    [
        (Uniform(1, 1), "the low bound must lie below the high bound"),
        (LogUniform(1, 0.1), "the low bound must lie below the high bound"),
        (LogUniform(0, 1), "a logarithmic range must have a low bound above 0, got 0"),
        (Choice([]), "must not be empty"),
        (Uniform(0, float("inf")), "finite"),
    ],
)
def test_a_range_that_cannot_be_is_a_problem(axis: Any, rule: str) -> None:
    with pytest.raises(DeclarationError, match=rule):
        axis.checked()


unit = st.floats(0, 1, exclude_max=True)
bounds = st.tuples(st.floats(1e-12, 1e12), st.floats(1e-12, 1e12)).filter(
    lambda pair: pair[0] < pair[1]
)


@given(bounds, unit, unit)
def test_real_axes_stay_within_their_bounds_and_rise(
    ends: tuple[float, float], one: float, other: float
) -> None:
    for axis in (Uniform(*ends), LogUniform(*ends)):
        low, high = sorted([one, other])
        assert ends[0] <= axis.at(low) <= axis.at(high) <= ends[1]


@given(st.integers(-1000, 1000), st.integers(1, 1000), unit)
def test_whole_numbers_stay_within_their_bounds(low: int, width: int, u: float) -> None:
    assert low <= IntRange(low, low + width).at(u) <= low + width


@given(st.lists(st.integers(), min_size=1), unit)
def test_a_choice_is_one_of_its_options(options: list[int], u: float) -> None:
    assert Choice(options).at(u) in options


def test_spaced_values_lie_evenly_on_the_axis_own_scale_with_both_ends() -> None:
    assert LogUniform(0.001, 10).spaced(5) == [0.001, 0.01, 0.1, 1.0, 10]
    assert Uniform(0, 0.9).spaced(4) == [0, 0.3, 0.6, 0.9]
    assert IntRange(2, 5).spaced(2) == [2, 3, 4, 5]
    assert Choice(["a", "b", "c"]).spaced(2) == ["a", "b", "c"]


@given(bounds, st.integers(2, 50))
def test_spaced_values_rise_within_their_bounds(ends: tuple[float, float], points: int) -> None:
    for axis in (Uniform(*ends), LogUniform(*ends)):
        values = axis.spaced(points)
        assert (len(values), values[0], values[-1]) == (points, *ends)
        for value in values:
            is_end = value in (pytest.approx(ends[0]), pytest.approx(ends[1]))
            assert axis.contains(value) or is_end


@pytest.mark.parametrize(
    ("axis", "inside", "outside"),
    [
        (LogUniform(0.01, 1), [0.01, 1, 0.5], [0.009, 1.1, "0.1", True]),
        (IntRange(1, 4), [1, 4, 2.0], [0, 5, 2.5, True]),
        (Choice(["a", 2]), ["a", 2], ["b", 3]),
    ],
)
def test_what_an_axis_contains(axis: Any, inside: list[Any], outside: list[Any]) -> None:
    assert all(axis.contains(value) for value in inside)
    assert not any(axis.contains(value) for value in outside)
