"""Pace of a running study and the time that it still takes, from the times in its ledger."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sparsetune.storage.announcements import Announcement
from sparsetune.storage.records import Ended, Report, Started
from sparsetune.storage.trial_state import TrialState

RECENT_SECONDS = 600
"""Length of the recent past, which is measured unless nothing was reported in it."""
MIN_REPORTS_PER_WORKER = 3
"""Reports of each worker, after the first of all, before a time left is trusted."""
MAX_PACE_RATIO = 1.5
"""Largest ratio of two paces that count as equal; the other 4/3 to a factor of two is left for what
no pace can know, such as trials of the search that turn out to be equal."""
PACE_SHARES = (1, 1 / 2, 1 / 4)
"""Latest shares of the time measured whose paces must be equal."""
MAX_SAMPLES = 1_000
"""Reports and ends that the pace is measured over; older ones are forgotten."""


class StudyPace(NamedTuple):
    """Pace of the whole study, summed over workers.

    Args:
        trials_per_hour: Trials that ended, per hour.
        epochs_per_minute: Epochs trained, per minute.
    """

    trials_per_hour: float
    epochs_per_minute: float


def measure_pace(trials: Iterable[TrialState], launched: float, now: float) -> StudyPace | None:
    """Pace over the recent past, or since the first start where nothing was reported recently.

    Args:
        trials: State of the trials, with their starts and reports.
        launched: When the last launch began, in seconds since 1970; starting Ray and its workers
            does not count.
        now: The time, in seconds since 1970.

    Returns:
        The pace; None where no trial has started in this launch.
    """
    trials = list(trials)
    starts: list[float] = []
    for trial in trials:
        starts += [start.time for start in trial.starts if start.time >= launched]
    first = min(starts, default=None)
    if first is None or first >= now:
        return None
    # Workers may be added or lost while a study runs: the recent pace forecasts better.
    recent = _pace_between(trials, max(first, now - RECENT_SECONDS), now)
    return recent if recent.epochs_per_minute else _pace_between(trials, first, now)


def _pace_between(trials: Iterable[TrialState], since: float, now: float) -> StudyPace:
    ended = 0
    epochs = 0.0
    for trial in trials:
        epochs_before = 0.0
        epochs_now = 0.0
        for report in trial.reports.values():
            epochs_now = max(epochs_now, report.epoch)
            if report.time < since:
                epochs_before = max(epochs_before, report.epoch)
        epochs += epochs_now - epochs_before
        ended += trial.ended is not None and trial.ended.time >= since
    return StudyPace(3600 * ended / (now - since), 60 * epochs / (now - since))


class TrialLeft(NamedTuple):
    """A trial that has not finished.

    Args:
        epochs: Epochs that it still trains unless it is stopped.
        may_stop: Whether a stopping rule may end it earlier.
    """

    epochs: float
    may_stop: bool


class _Sample(NamedTuple):
    """What a launch has done at the time of a report or an end.

    Args:
        time: Seconds since 1970.
        epochs: Epochs trained since the launch began, by all trials.
        ended: Trials that ended since the launch began; between two samples it may be a fraction.
    """

    time: float
    epochs: float
    ended: float


class TimeLeft:
    """Estimate of the time that a study still takes, from what one launch has reported.

    A trial counts as its epochs, and as so many more as its start and its end take. The start of
    the workers does not count: the pace is that since the first report. An estimate is trusted, and
    given, when

    - every worker has reported three times since, counted by the longest of their reports,
    - the later half of the time measured had the same pace as all of it, within a factor of 1.5,
    - the last report is not so long ago that it would change the pace by more than that.
    """

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=MAX_SAMPLES)
        self._epochs = 0.0
        self._ended = 0
        self._starts: dict[str, Started] = {}
        self._last_reports: dict[str, Report] = {}
        self._last_ends: dict[tuple[str | None, int | None], float] = {}
        self._workers = 0
        self._longest_report = 0.0
        # Of training alone, between two reports of a trial.
        self._training_seconds = 0.0
        self._training_epochs = 0.0
        # Of whole trials, between two ends of a worker.
        self._worker_seconds = 0.0
        self._worker_epochs = 0.0
        self._worker_trials = 0
        self._trained_fractions = 0.0

    def observe(self, message: Announcement) -> None:
        """Take what a record of the launch says; records come in the order of their times."""
        match message:
            case Started():
                self._starts[message.trial_id] = message
                self._last_reports.pop(message.trial_id, None)
                self._workers = max(self._workers, len(self._starts))
            case Report() if message.trial_id in self._starts:
                self._take_report(message)
            case Ended() if message.trial_id in self._starts:
                self._take_end(message)

    def _take_report(self, report: Report) -> None:
        last = self._last_reports.get(report.trial_id)
        if last is None:
            resumed = self._starts[report.trial_id].resumed_from_step
            epochs = report.epoch * (1 - resumed / report.step) if report.step else 0.0
        else:
            epochs = report.epoch - last.epoch
            self._training_seconds += report.time - last.time
            self._training_epochs += epochs
        self._last_reports[report.trial_id] = report
        self._longest_report = max(self._longest_report, epochs)
        self._epochs += epochs
        self._sample(report.time)

    def _take_end(self, ended: Ended) -> None:
        start = self._starts.pop(ended.trial_id)
        last = self._last_reports.pop(ended.trial_id, None)
        worker = (start.host, start.pid)
        # A worker's first trial would count its start too.
        if worker in self._last_ends and last and not start.resumed_from_step:
            self._worker_seconds += ended.time - self._last_ends[worker]
            self._worker_epochs += last.epoch
            self._worker_trials += 1
        self._last_ends[worker] = ended.time
        self._trained_fractions += last.progress if last else 0.0
        self._ended += 1
        self._sample(ended.time)

    def _sample(self, time: float) -> None:
        self._samples.append(_Sample(time, self._epochs, self._ended))

    def seconds(self, left: Sequence[TrialLeft], now: float) -> float | None:
        """Seconds from now to the end of the last trial; None while they cannot be trusted.

        Args:
            left: Every trial that has not finished.
            now: The time, in seconds since 1970.
        """
        pace = self._trusted_pace(now)
        if pace is None:
            return None
        extra = self._extra_epochs()
        trained = self._trained_fractions / self._ended if self._ended else 1.0
        epochs = 0.0
        longest = 0.0
        for trial in left:
            expected = trial.epochs * (trained if trial.may_stop else 1.0) + extra
            epochs += expected
            longest = max(longest, expected)
        # The last trials leave workers idle: none is faster than its own training.
        seconds = max(epochs / pace, longest * self._seconds_per_epoch())
        return max(0.0, seconds - (now - self._samples[-1].time))

    def _trusted_pace(self, now: float) -> float | None:
        """Epochs per second of all workers; None where the rule of the class is not met."""
        if len(self._samples) < 2:
            return None
        first = self._samples[0]
        last = self._samples[-1]
        extra = self._extra_epochs()
        needed = MIN_REPORTS_PER_WORKER * self._workers * (self._longest_report + extra)
        if _work_between(first, last, extra) < needed:
            return None
        measured = last.time - first.time
        if not measured or now - first.time > MAX_PACE_RATIO * measured:
            return None
        paces = [self._pace_since(share, extra) for share in PACE_SHARES]
        if not min(paces):  # trials end without having trained: they fail
            return None
        if max(paces) > MAX_PACE_RATIO * min(paces):
            return None
        return paces[PACE_SHARES.index(1 / 2)]

    def _pace_since(self, share: float, extra: float) -> float:
        """Epochs per second over the latest share of the time measured."""
        last = self._samples[-1]
        seconds = share * (last.time - self._samples[0].time)
        return _work_between(self._sample_at(last.time - seconds), last, extra) / seconds

    def _sample_at(self, time: float) -> _Sample:
        """What was done at a time since the first sample: a straight line between two samples."""
        index = max(1, bisect_left([sample.time for sample in self._samples], time))
        before = self._samples[index - 1]
        after = self._samples[index]
        span = after.time - before.time
        share = (time - before.time) / span if span else 1.0
        epochs = before.epochs + share * (after.epochs - before.epochs)
        return _Sample(time, epochs, before.ended + share * (after.ended - before.ended))

    def _seconds_per_epoch(self) -> float:
        """Seconds of one epoch of one trial; 0 where no trial has reported twice."""
        if not self._training_epochs:
            return 0.0
        return self._training_seconds / self._training_epochs

    def _extra_epochs(self) -> float:
        """Epochs that take as long as the start and the end of a trial; 0 where that is unknown."""
        epoch_seconds = self._seconds_per_epoch()
        if not self._worker_trials or not epoch_seconds:
            return 0.0
        extra_seconds = self._worker_seconds - epoch_seconds * self._worker_epochs
        return max(0.0, extra_seconds / self._worker_trials / epoch_seconds)


def _work_between(first: _Sample, last: _Sample, extra: float) -> float:
    """Epochs trained between two samples, with ``extra`` ones for each trial that ended."""
    return last.epochs - first.epochs + extra * (last.ended - first.ended)


def observe_launch(trials: Iterable[TrialState], launched: float) -> TimeLeft:
    """The time left as a launch knows it, from the state of its trials.

    Args:
        trials: State of the trials, with their starts, reports and ends.
        launched: When the launch began, in seconds since 1970.
    """
    messages: list[Started | Report | Ended] = []
    for trial in trials:
        messages += trial.starts
        messages += trial.reports.values()
        messages += [trial.ended] if trial.ended else []
    time_left = TimeLeft()
    for message in sorted(messages, key=lambda one: one.time):
        if message.time >= launched:
            time_left.observe(message)
    return time_left
