"""The time left, at every moment of recorded runs: within a factor of two wherever it is shown."""

from __future__ import annotations

from functools import cache

import pytest

from sparsetune.units import format_time_left
from tests.recorded_runs import RUNS, recorded_run

MOMENTS = {"digits": 12, "digits-quick": 60, "halved": 20}
"""Moments at which each run is looked at; a look takes longer the more trials there are."""
END_SECONDS = 10
"""Near the end, a few seconds are as good as half of them."""


@cache
def estimates_of(name: str) -> list[tuple[float, float | None]]:
    """Seconds to the end of a recorded run and their estimate, at every moment."""
    return list(recorded_run(name).estimates(MOMENTS[name]))


@pytest.mark.parametrize("name", RUNS)
def test_a_time_left_is_within_a_factor_of_two_of_the_truth(name: str) -> None:
    wrong = []
    for left, estimate in estimates_of(name):
        if estimate is None or (left < END_SECONDS and estimate < END_SECONDS):
            continue
        if not left / 2 <= estimate <= 2 * left:
            wrong.append((left, format_time_left(estimate)))
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "least_shown"), [("digits", 0.75), ("digits-quick", 0.1), ("halved", 0.7)]
)
def test_it_is_shown_once_the_pace_is_known(name: str, least_shown: float) -> None:
    estimates = [estimate for _, estimate in estimates_of(name)]
    assert estimates[0] is None
    assert sum(one is not None for one in estimates) >= least_shown * MOMENTS[name]


def test_the_pace_since_the_first_start_would_have_been_wrong() -> None:
    """`digits-quick`: two workers took 20 of 26 seconds to start, beside other programs."""
    run = recorded_run("digits-quick")
    ends = [one.time for one in run.records if type(one).__name__ == "Ended"]
    two_done = ends[1] - run.start
    assert (28 - 2) / 2 * two_done > 20 * (run.end - ends[1])
