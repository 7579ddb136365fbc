"""A follower in a thread of its own, which can neither end nor slow the study.

The driver only puts what it announces into a bounded queue. A trial of which something did not fit,
or of which the follower did not take something, is told no more before the end: `close` sends the
rest of it from the trial's state, in order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeAlias

from sparsetune.errors import first_line
from sparsetune.launch.followers.followed_trial import FollowedTrial, followed_trial
from sparsetune.launch.followers.follower import Follower
from sparsetune.launch.followers.sending import Told, send_to_tracker, send_trial
from sparsetune.launch.followers.tracker import Tracker
from sparsetune.search.planner import Planner
from sparsetune.storage.announcements import Announcement, ForecastLine, Remark, Retried
from sparsetune.storage.records import Ended, Note, Report, Started

MAX_QUEUED = 10_000
"""Messages that wait for a follower; more are sent at the end."""
CLOSE_SECONDS = 60.0
"""Followers may take so long at the end of a launch, all together."""
INTERRUPTED_CLOSE_SECONDS = 10.0
"""The same of a launch that was asked to stop: SLURM kills soon after its signal."""


@dataclass(frozen=True)
class _Start:
    trial: FollowedTrial


@dataclass(frozen=True)
class _Row:
    trial: FollowedTrial
    row: Report


@dataclass(frozen=True)
class _End:
    trial: FollowedTrial
    outcome: Ended


@dataclass(frozen=True)
class _Remark:
    trial: FollowedTrial | None
    note: str


_Message: TypeAlias = _Start | _Row | _End | _Remark


class FollowerThread:
    """A follower with its queue and its thread, which begins at once.

    Args:
        name: The follower's name in messages.
        follower: The follower; after this, only the thread calls it.
        planner: Has the state of every trial, which the driver keeps current.
        max_queued: Messages that may wait.
    """

    def __init__(
        self, name: str, follower: Follower, planner: Planner, max_queued: int = MAX_QUEUED
    ) -> None:
        self.name = name
        self._follower = follower
        self._planner = planner
        self._max_queued = max_queued
        # Never blocks the driver; what is put once the bound is reached is left out.
        self._queue: SimpleQueue[_Message | None] = SimpleQueue()
        self._followed: dict[str, FollowedTrial] = {}
        self._told: dict[str, Told] = {}
        self._behind: set[str] = set()
        """Ids of the trials that are sent at the end."""
        self._trouble: dict[str, str] = {}
        """Lines to say, by kind; one of a kind is said."""
        self._said: set[str] = set()
        self._failed: str | None = None
        # A daemon: one that hangs in a call must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=f"follow-{name}", daemon=True)
        self._thread.start()

    def announce(self, message: Announcement) -> None:
        """Pass a message on, without waiting; the driver's thread calls it."""
        match message:
            case Started(trial_id=trial_id, note=note):
                self._begin(trial_id)
                if note:
                    self._put(None, _Remark(self._followed[trial_id], note))
            case Report(trial_id=trial_id) if trial_id in self._followed:
                self._put(trial_id, _Row(self._followed[trial_id], message))
            case Ended(trial_id=trial_id):
                self._put(trial_id, _End(self._trial(trial_id), message))
            case Note(trial_id=trial_id, note=note):
                self._put(None, _Remark(self._followed.get(trial_id), note))
            case Retried(trial_id=trial_id, attempt=attempt, error=error):
                note = f"attempt {attempt} failed and is tried again: {error}"
                self._put(None, _Remark(self._followed.get(trial_id), note))
            case Remark(note=note, trial_id=trial_id):
                trial = self._followed.get(trial_id) if trial_id else None
                self._put(None, _Remark(trial, note))
            case ForecastLine(note=note):
                self._put(None, _Remark(None, note))

    def take_lines(self) -> list[str]:
        """Lines about the follower's trouble that were not said yet, each kind once."""
        lines = []
        for kind, line in list(self._trouble.items()):
            if kind not in self._said:
                self._said.add(kind)
                lines.append(line)
        return lines

    def ask_to_close(self) -> None:
        """Let the thread send what is left and end; the driver announces nothing after it."""
        self._queue.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait for the thread's end; returns True if it ended and nothing is left unsent."""
        self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive() and self._failed is None

    @property
    def failure(self) -> str | None:
        """Why the follower did not take what was sent at the end; None where it did."""
        return self._failed

    @property
    def is_tracker(self) -> bool:
        """True if the ledger can be sent to it later, by ``sparsetune track``."""
        return isinstance(self._follower, Tracker)

    def _begin(self, trial_id: str) -> None:
        state = self._planner.trials[trial_id]
        if trial_id not in self._told:
            # Rows of earlier launches come with the trial, as those of its earlier attempts.
            self._told[trial_id] = Told(before=frozenset(state.reports))
        trial = followed_trial(self._planner, state, state.reports.values())
        self._followed[trial_id] = trial
        self._put(trial_id, _Start(trial))

    def _trial(self, trial_id: str) -> FollowedTrial:
        """The trial as it was last told of; one that this launch did not start has no rows."""
        if trial_id not in self._followed:
            state = self._planner.trials[trial_id]
            reports = state.reports
            self._told.setdefault(trial_id, Told(frozenset(reports), state.attempts))
            self._followed[trial_id] = followed_trial(self._planner, state, reports.values())
        return self._followed[trial_id]

    def _put(self, trial_id: str | None, message: _Message) -> None:
        """Queue a message, unless its trial is behind or the queue is full."""
        if trial_id in self._behind:
            return
        if self._queue.qsize() < self._max_queued:
            self._queue.put(message)
            return
        if trial_id is not None:
            self._behind.add(trial_id)
        self._trouble["slow"] = (
            f"{self.name} falls behind the study, which goes on; what it misses is sent at the end"
        )

    def _run(self) -> None:
        """Tell the follower every message, then what it missed."""
        while (message := self._queue.get()) is not None:
            trial_id = message.trial.trial_id if message.trial else None
            is_remark = isinstance(message, _Remark)
            if not is_remark and trial_id in self._behind:
                continue
            try:
                self._tell(message)
            except BaseException as error:  # a callback that calls `sys.exit` ends nothing either
                if trial_id is not None and not is_remark:
                    self._behind.add(trial_id)
                self._trouble["failed"] = (
                    f"{self.name} failed ({_describe(error)}); the study goes on,"
                    " and what it did not take is sent once more at the end"
                )
        for last in (self._send_rest, self._follower.close):
            try:
                last()
            except BaseException as error:
                self._failed = self._failed or _describe(error)

    def _tell(self, message: _Message) -> None:
        match message:
            case _Start(trial):
                self._follower.on_started(trial)
                self._told[trial.trial_id].attempt = trial.attempt
            case _Row(trial, row):
                self._follower.on_report(trial, row)
                self._told[trial.trial_id].steps.add(row.step)
            case _End(trial, outcome):
                self._follower.on_ended(trial, outcome)
                self._told[trial.trial_id].ended = outcome
            case _Remark(trial, note):
                self._follower.on_note(trial, note)

    def _send_rest(self) -> None:
        """Send what the follower missed, and to a tracker what it lacks of earlier launches."""
        for trial_id, state in self._planner.trials.items():
            behind = trial_id in self._behind
            if not isinstance(self._follower, Tracker):
                if behind:
                    send_trial(self._follower, self._planner, state, self._told[trial_id])
            elif behind:
                # From its beginning: what a tracker refused may be half written.
                send_trial(self._follower, self._planner, state, Told())
            elif trial_id not in self._told:
                send_to_tracker(self._follower, self._planner, state)


def close_followers(threads: Sequence[FollowerThread], seconds: float, study: str) -> list[str]:
    """Let every follower take what is left, and end.

    Args:
        threads: The followers.
        seconds: Time for all of them together; those that take longer are left behind.
        study: The study's directory, for the command that sends the rest.

    Returns:
        A line for each follower that did not end, or failed.
    """
    for thread in threads:
        thread.ask_to_close()
    deadline = time.monotonic() + seconds
    lines = []
    for thread in threads:
        try:
            ended = thread.wait(deadline - time.monotonic())
        except KeyboardInterrupt:
            deadline = 0.0  # the user will not wait for any of them
            ended = thread.wait(0)
        lines.extend(thread.take_lines())
        if not ended:
            lines.append(_unsent_line(thread, seconds, study))
    return lines


def _unsent_line(thread: FollowerThread, seconds: float, study: str) -> str:
    why = thread.failure or f"it takes longer than {seconds:g} s"
    line = f"{thread.name} did not take everything ({why})"
    if thread.is_tracker:
        return f"{line}; send the rest with: sparsetune track {study} --with {thread.name}"
    return f"{line}; the ledger has it all"


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}"
