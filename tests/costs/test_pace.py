"""Trials and epochs by time, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sparsetune.costs.pace import StudyPace, TimeLeft, TrialLeft, measure_pace
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


def observed(*trials: list[dict[str, Any]]) -> TimeLeft:
    """The time left after the records of trials, in the order of their times."""
    lines = sorted((line for one in trials for line in one), key=lambda line: line["time"])
    time_left = TimeLeft()
    for one in records(lines):
        time_left.observe(one)
    return time_left


FIRST = trial("a", 0, {11: 1, 12: 2, 13: 3, 14: 4}, end=14.5)
"""Four epochs of a second, after a worker that took ten to start."""
SECOND = trial("b", 14.5, {16: 1, 17: 2, 18: 3, 19: 4}, end=19.5)
THIRD = trial("c", 19.5, {21: 1, 22: 2, 23: 3, 24: 4}, end=24.5)
"""Like the second: a second more than its epochs, from the end before to its own."""


def test_a_trial_counts_its_epochs_and_what_starting_and_ending_it_takes() -> None:
    """Three trials of 4 + 1 seconds; since the first start it would be 12 epochs in 24.5 s."""
    left = [TrialLeft(4, may_stop=False)] * 3
    seconds = observed(FIRST, SECOND, THIRD).seconds(left, now=24.5)
    assert seconds == pytest.approx(15, rel=0.1)


def test_time_that_passes_since_the_last_report_is_taken_off() -> None:
    left = [TrialLeft(4, may_stop=False)] * 3
    time_left = observed(FIRST, SECOND, THIRD)
    at_once = time_left.seconds(left, now=24.5)
    assert at_once is not None
    assert time_left.seconds(left, now=26.5) == pytest.approx(at_once - 2)


def test_no_time_left_before_three_reports_of_each_worker_since_the_first() -> None:
    left = [TrialLeft(4, may_stop=False)] * 3
    assert observed(FIRST[:4]).seconds(left, now=12) is None
    assert observed(FIRST[:-1]).seconds(left, now=14) == 12
    waiting = trial("d", 0, {})
    assert observed(FIRST[:-1], waiting).seconds(left, now=14) is None


def test_no_time_left_after_a_long_silence() -> None:
    """From the first report at 11 to the last end at 24.5: 13.5 seconds, and half of it more."""
    left = [TrialLeft(4, may_stop=False)] * 30
    time_left = observed(FIRST, SECOND, THIRD)
    assert time_left.seconds(left, now=24.5 + 6.7) is not None
    assert time_left.seconds(left, now=24.5 + 6.8) is None


def test_no_time_left_while_the_pace_changes() -> None:
    """Four times as fast in the later half."""
    quick = {14 + 0.25 * number: 3 + number for number in range(1, 13)}
    changing = trial("a", 0, {11: 1, 12: 2, 13: 3, 14: 4, **quick})
    assert observed(changing).seconds([TrialLeft(20, may_stop=False)], now=17) is None


def test_the_last_trial_does_not_train_faster_than_it_can() -> None:
    """Two workers train two epochs a second together, each one; one trial of eight is left."""
    two = trial("a", 0, {11: 1, 12: 2, 13: 3, 14: 4}), trial("b", 0, {11: 1, 12: 2, 13: 3, 14: 4})
    time_left = observed(*two)
    assert time_left.seconds([TrialLeft(8, may_stop=False)], now=14) == 8
    # The second worker's first report counts as done since the first one's.
    seconds = time_left.seconds([TrialLeft(8, may_stop=False)] * 4, now=14)
    assert seconds == pytest.approx(16, rel=0.15)


def test_a_resumed_trial_counts_what_this_launch_trained() -> None:
    """From epoch 2 of 10 steps: one epoch to the first report, not three."""
    resumed = trial("a", 0, {11: 3, 12: 4, 13: 5, 14: 6})
    resumed[1]["resumed_from_step"] = 20
    fresh = trial("a", 0, {11: 1, 12: 2, 13: 3, 14: 4})
    left = [TrialLeft(4, may_stop=False)]
    assert observed(resumed).seconds(left, now=14) == observed(fresh).seconds(left, now=14)


def test_a_trial_that_may_be_stopped_counts_what_others_trained_before() -> None:
    """All that ended were stopped at half of their training."""
    stopped = [{**line, "progress": 0.5} for line in (*FIRST, *SECOND, *THIRD)]
    stopping = observed(stopped).seconds([TrialLeft(20, may_stop=True)] * 4, now=24.5)
    training = observed(stopped).seconds([TrialLeft(10, may_stop=False)] * 4, now=24.5)
    assert stopping == training is not None


def test_trials_that_fail_before_they_train_tell_no_time() -> None:
    failed = [trial(name, start, {}, end=start + 5) for start, name in ((0, "a"), (5, "b"))]
    time_left = observed(*failed)
    assert time_left.seconds([TrialLeft(2, may_stop=False)], now=10) is None
