"""Trials and epochs by time, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sparsetune.costs.pace import StudyPace, measure_pace
from sparsetune.storage.trial_state import TrialState, fold_records
from tests.ledger_records import records


def trial(
    name: str, start: float, rows: dict[float, float], end: float | None = None
) -> list[dict[str, Any]]:
    """A trial of ten steps an epoch; ``rows`` are epochs by the time of their report."""
    names = {"trial_id": name, "attempt": 1}
    return [
        {"type": "proposed", **names, "role": "search", "time": start},
        {"type": "started", **names, "resumed_from_step": 0, "time": start},
        *(
            {"type": "report", **names, "time": t, "step": 10 * epoch, "epoch": epoch}
            for t, epoch in rows.items()
        ),
        *([{"type": "ended", **names, "status": "COMPLETE", "time": end}] if end else []),
    ]


def states(*trials: list[dict[str, Any]]) -> list[TrialState]:
    return list(fold_records(records(line for one in trials for line in one)).values())


def test_the_whole_launch_while_it_is_young() -> None:
    """From the first start at 30: three epochs and one trial in 90 seconds."""
    trials = states(trial("a", 30, {50: 1, 70: 2}, end=71), trial("b", 40, {100: 1}))
    assert measure_pace(trials, launched=0, now=120) == StudyPace(3600 / 90, 60 * 3 / 90)


def test_only_the_last_ten_minutes_later_on() -> None:
    """At 2,000: epochs 3 to 5 of one trial, the first of another; the trial that ended at 1,300 is
    past.
    """
    trials = states(
        trial("a", 10, {100: 1, 500: 2, 1399: 3, 1450: 4, 1900: 5}),
        trial("b", 20, {900: 7}, end=1300),
        trial("c", 1500, {1700: 1}, end=1800),
    )
    assert measure_pace(trials, launched=0, now=2000) == StudyPace(3600 / 600, 60 * 3 / 600)


def test_long_epochs_count_since_the_launch() -> None:
    trials = states(trial("a", 100, {1000: 1}))
    assert measure_pace(trials, launched=50, now=2100) == StudyPace(0, 60 / 2000)


def test_what_an_earlier_launch_did_does_not_count() -> None:
    resumed = {
        "type": "started",
        "trial_id": "a",
        "attempt": 2,
        "resumed_from_step": 20,
        "time": 5000,
    }
    later = {"type": "report", "trial_id": "a", "attempt": 2, "time": 5060, "step": 30, "epoch": 3}
    trials = states([*trial("a", 10, {100: 1, 200: 2}), resumed, later])
    assert measure_pace(trials, launched=4990, now=5120) == StudyPace(0, 60 * 1 / 120)


@pytest.mark.parametrize("trials", [[], states(trial("a", 10, {}))])
def test_nothing_has_started_in_this_launch(trials: list[TrialState]) -> None:
    assert measure_pace(trials, launched=20, now=30) is None


def test_the_time_that_is_left() -> None:
    assert StudyPace(1, 6).seconds(30) == 300
    assert StudyPace(1, 0).seconds(30) is None
