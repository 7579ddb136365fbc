"""The display of a launch without a terminal: what its summary says of the time left."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sparsetune.launch.followers.progress import ProgressDisplay
from sparsetune.search.planner import build_planner
from sparsetune.storage.records import Ended, Record, Report, Started
from sparsetune.storage.trial_state import TrialState, apply_record
from tests.recorded_runs import RecordedRun, recorded_run


def summary(run: RecordedRun, records: Sequence[Record]) -> str:
    """Summary of a launch in which these records were announced, the last of them now."""
    shift = time.time() - records[-1].time
    as_of_now = [replace(one, time=one.time + shift) for one in records]
    trials: dict[str, TrialState] = {}
    for one in as_of_now:
        apply_record(trials, one)
    with ProgressDisplay(build_planner(run.study, trials), Path("runs/digits")) as display:
        for one in as_of_now:
            display.announce(one)
        return display.summary()


def up_to(run: RecordedRun, kind: type[Record], number: int) -> Sequence[Record]:
    """Records up to the one that is this number of its kind."""
    places = [place for place, one in enumerate(run.records) if isinstance(one, kind)]
    return run.records[: places[number - 1] + 1]


def test_nothing_is_said_before_the_pace_is_known() -> None:
    run = recorded_run("digits")
    before = [one for one in up_to(run, Started, 1) if not isinstance(one, Started)]
    assert summary(run, before).endswith(" elapsed, starting Ray and workers")
    assert summary(run, up_to(run, Report, 3)).endswith(" elapsed, time left: measuring")


def test_the_time_left_is_rounded_to_what_is_known() -> None:
    run = recorded_run("digits")
    half = up_to(run, Ended, 70)
    left = run.end - half[-1].time
    found = re.search(r"elapsed, about (\d+)0 s left$", summary(run, half))
    assert found is not None
    assert left / 2 <= 10 * int(found[1]) <= 2 * left


def test_a_study_that_is_done_has_no_time_left() -> None:
    run = recorded_run("digits")
    assert re.search(r"136 of 136 trials, .* elapsed$", summary(run, run.records))
