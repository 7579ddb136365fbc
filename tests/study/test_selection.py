"""Winners by hand."""

from __future__ import annotations

import pytest

from sparsetune.study.selection import objective_of, winner_of


def test_an_objective_is_the_mean_over_the_search_seeds() -> None:
    assert objective_of([0.1, 0.3]) == pytest.approx(0.2)
    assert objective_of([0.0]) == 0.0


def test_a_diverged_seed_leaves_its_configuration_without_a_value() -> None:
    assert objective_of([0.1, None]) is None
    assert objective_of([]) is None


def test_the_best_wins_in_the_direction_asked_for() -> None:
    objectives = {"first": 0.3, "second": 0.1, "third": None}
    assert winner_of(objectives, minimize=True) == "second"
    assert winner_of(objectives, minimize=False) == "first"


def test_the_earlier_proposal_wins_a_tie() -> None:
    assert winner_of({"a": 0.2, "b": 0.1, "c": 0.1}, minimize=True) == "b"
    assert winner_of({"a": 0.2, "b": 0.2}, minimize=False) == "a"


def test_nobody_wins_where_nobody_has_a_value() -> None:
    assert winner_of({"a": None}, minimize=True) is None
    assert winner_of({}, minimize=True) is None
