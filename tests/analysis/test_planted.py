"""Planted truths are found; `tests.benchmarks.recovery` gives the rates over 200 draws."""

from __future__ import annotations

from tests.benchmarks.recovery import lengths_draw, rates, rates_draw


def test_lines_of_every_kind_are_told_apart() -> None:
    found = {
        name: rate for name, (rate, _) in rates([lengths_draw(draw) for draw in range(3)]).items()
    }
    assert found["under-trained where 8 epochs gain 3 points"] == 1
    assert found["under-trained where 16 epochs gain 1.5 points"] == 1
    assert found["over-trained where a doubling loses 1.2 points"] > 0.5
    assert found["under-trained at the capacity limit"] == 0
    assert found["a hungry network needs the longest training"] == 1


def test_little_is_claimed_where_nothing_was_planted() -> None:
    [(false, _)] = rates([lengths_draw(draw, lines=False) for draw in range(4)]).values()
    assert false <= 0.1  # of 60 cells, 2.5 % either way at most
    [(shifts, _)] = rates([rates_draw(draw, shift=0.0) for draw in range(3)]).values()
    assert shifts == 0


def test_a_shift_of_the_best_learning_rate_is_found() -> None:
    found = {
        name: rate for name, (rate, _) in rates([rates_draw(draw) for draw in range(2)]).items()
    }
    assert found["the optimum at 98 % is seen 4.0 times higher"] == 1
    assert found["the interval of the shift holds the truth"] == 1
