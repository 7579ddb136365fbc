"""What a follower is told, and what a slow or a broken one costs the study: nothing."""

from __future__ import annotations

import errno
import time
from statistics import median
from typing import Any

import pytest

from sparsetune import Follower
from sparsetune.errors import FollowerError
from sparsetune.launch.followers.follower import require_hooks
from sparsetune.storage.announcements import ForecastLine, Remark, Retried
from tests.launch.followers.followed import (
    RUN_NAME,
    TRIAL,
    Diary,
    Launch,
    ended,
    followed,
    note,
    row,
    started,
)

WHOLE = [started(), *(row(step, 1 / step, 100.0 + step) for step in range(1, 201)), ended()]
"""A trial with 200 evaluations."""
TOLD = [
    ("started", RUN_NAME, 1, []),
    *(("report", step, 1 / step) for step in range(1, 201)),
    ("ended", "COMPLETE"),
    ("close",),
]
MAX_SECONDS = 1e-3
"""What a report may cost the driver."""


def test_every_hook_in_the_order_of_the_ledger() -> None:
    diary = Diary()
    launch = Launch(diary)
    launch.announce(ForecastLine("about an hour"), started(note="no GPU"), row(20, 0.5, 110.0))
    launch.announce(note("no room"), Remark("numpy changed"), Retried(TRIAL, 1, "lost"))
    launch.announce(row(40, 0.25, 120.0), ended(status="DIVERGED", error="nan"))
    assert launch.close() == []
    assert diary.calls == [
        ("note", None, "about an hour"),
        ("started", RUN_NAME, 1, []),
        ("note", TRIAL, "no GPU"),
        ("report", 20, 0.5),
        ("note", TRIAL, "no room"),
        ("note", None, "numpy changed"),
        ("note", TRIAL, "attempt 1 failed and is tried again: lost"),
        ("report", 40, 0.25),
        ("ended", "DIVERGED"),
        ("close",),
    ]


def test_a_resumed_trial_begins_again_with_the_rows_that_count() -> None:
    """Row 60 lay beyond the checkpoint: it is trained, and told, again."""
    diary = Diary()
    before = [started(), row(20, 0.5, 110.0), row(40, 0.4, 120.0), row(60, 0.3, 130.0)]
    lines = followed(
        diary, started(40, attempt=2), row(60, 0.3, 230.0), ended(attempt=2), before=before
    )
    assert lines == []
    assert diary.calls == [
        ("started", RUN_NAME, 2, [20, 40]),
        ("report", 60, 0.3),
        ("ended", "COMPLETE"),
        ("close",),
    ]


def test_a_trial_that_ends_without_a_start_of_this_launch_is_told() -> None:
    """A rung stopped it, or its worker never came."""
    diary = Diary()
    assert followed(diary, ended(status="PRUNED")) == []
    assert diary.calls == [("ended", "PRUNED"), ("close",)]


def test_a_full_queue_costs_the_driver_nothing_and_the_rest_is_sent_at_the_end() -> None:
    def wait(call: tuple[Any, ...]) -> None:
        if call[0] == "started":
            time.sleep(0.5)

    diary = Diary(wait)
    launch = Launch(diary, max_queued=50)
    launch.announce(*WHOLE)
    assert launch.close() == [
        "theirs falls behind the study, which goes on; what it misses is sent at the end"
    ]
    assert diary.calls == TOLD
    assert median(launch.seconds) < MAX_SECONDS


def test_one_second_a_call_costs_the_driver_nothing() -> None:
    """200 reports would take it 200 s: after one second it is left behind, with one line."""
    calm, slow = Launch(Diary()), Launch(Diary(lambda call: time.sleep(1)))
    for launch in (calm, slow):
        launch.announce(*WHOLE)
    assert calm.close() == []
    begun = time.monotonic()
    (line,) = slow.close(seconds=0.2)
    assert time.monotonic() - begun < 2
    assert line == (
        "theirs did not take everything (it takes longer than 0.2 s); the ledger has it all"
    )
    assert slow.ledger == calm.ledger
    # The start makes the trial's name and recipe, once an attempt.
    reports = slow.seconds[1:-1]
    assert median(reports) < MAX_SECONDS and sum(reports) < len(reports) * MAX_SECONDS


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "OSError: [Errno 28] No space left"),
        (ConnectionError("connection refused"), "ConnectionError: connection refused"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_what_raises_is_said_once_and_sent_once_more_at_the_end(
    error: BaseException, said: str
) -> None:
    """The disk is full when report 3 comes, and has room again at the end."""
    errors = iter([error])

    def fail(call: tuple[Any, ...]) -> None:
        if call[:2] == ("report", 3):
            for refusal in errors:
                raise refusal

    diary = Diary(fail)
    (line,) = followed(diary, *WHOLE)
    assert line.startswith(f"theirs failed ({said}")
    assert line.endswith("the study goes on, and what it did not take is sent once more at the end")
    assert diary.calls == TOLD


def test_what_always_raises_is_given_up_with_two_lines() -> None:
    def fail(call: tuple[Any, ...]) -> None:
        if call[0] == "report":
            raise ValueError("my own mistake")

    diary, calm = Diary(fail), Launch(Diary())
    launch = Launch(diary)
    launch.announce(*WHOLE)
    calm.announce(*WHOLE)
    calm.close()
    failed, unsent = launch.close()
    assert failed.startswith("theirs failed (ValueError: my own mistake); the study goes on")
    assert unsent == (
        "theirs did not take everything (ValueError: my own mistake); the ledger has it all"
    )
    assert launch.ledger == calm.ledger
    assert diary.calls == [("started", RUN_NAME, 1, []), ("close",)]


def test_a_callback_without_a_hook_is_refused_by_name() -> None:
    class Half:
        def on_report(self, trial: object, row: object) -> None:
            """All that it has."""

    class Derived(Follower):
        """Has them all."""

    require_hooks(Derived())
    with pytest.raises(
        FollowerError, match="got Half without on_started, on_ended, on_note, close"
    ):
        require_hooks(Half())
