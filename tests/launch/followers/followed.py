"""A study's records as a launch announces them, and a follower that writes down what it is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from sparsetune import FollowedTrial, Follower, LogUniform, Study, TrialSpec
from sparsetune.launch.followers.follower_thread import FollowerThread, close_followers
from sparsetune.search.planner import Planner, build_planner
from sparsetune.storage.announcements import Announcement
from sparsetune.storage.records import Ended, Report, encode_record
from sparsetune.storage.trial_state import apply_record, fold_records
from tests.ledger_records import Plain, record

STUDY = Study(
    name="s", base=TrialSpec(), search={"optim.lr": LogUniform(0.01, 1)}, configurations_per_cell=2
)
SPEC = TrialSpec().with_values({"optim.lr": 0.25})
TRIAL = SPEC.trial_id()
NAMES = {"trial_id": TRIAL, "attempt": 1, "time": 100.0}
RUN_NAME = "dense 4 epochs config 1 search seed 0"
PROPOSED = {
    "type": "proposed",
    **NAMES,
    "config_id": SPEC.config_id(),
    "cell": "dense",
    "arm": "dense",
    "role": "search",
    "index": 1,
    "source": "sobol:0",
    "seed": 0,
    "spec": SPEC.given(),
}


def started(step: int = 0, attempt: int = 1, time: float = 100.0, **fields: Any) -> Plain:
    names = {**NAMES, "attempt": attempt, "time": time}
    return {"type": "started", **names, "resumed_from_step": step, **fields}


def row(step: int, loss: float | None, time: float, **fields: Any) -> Plain:
    values = {"step": step, "epoch": step / 20, "train_loss": loss, "phase": "dense", "lr": 0.5}
    return {"type": "report", **NAMES, **values, "time": time, **fields}


def ended(**fields: Any) -> Plain:
    values = {"status": "COMPLETE", "error": None, "certified": True, "time": 140.0, **fields}
    return {"type": "ended", **NAMES, **values}


def note(text: str) -> Plain:
    return {"type": "note", **NAMES, "note": text}


class Launch:
    """The driver's part of a launch over a ledger in memory: apply each record, then announce it.

    ``ledger`` holds the lines that it appended, and ``seconds`` how long each announcement took.
    """

    def __init__(
        self, follower: Follower, before: Iterable[Plain] = (), *, max_queued: int = 1000
    ) -> None:
        self.planner: Planner = build_planner(STUDY, fold_records(map(record, [PROPOSED, *before])))
        self.thread = FollowerThread("theirs", follower, self.planner, max_queued)
        self.ledger: list[bytes] = []
        self.seconds: list[float] = []
        self.lines: list[str] = []

    def announce(self, *messages: Plain | Announcement) -> None:
        for message in messages:
            one = record(message) if isinstance(message, dict) else message
            if isinstance(message, dict):
                apply_record(self.planner.trials, one)  # type: ignore[arg-type]
                self.ledger.append(encode_record(one))  # type: ignore[arg-type]
            begun = time.perf_counter()
            self.thread.announce(one)
            self.lines += self.thread.take_lines()
            self.seconds.append(time.perf_counter() - begun)

    def close(self, seconds: float = 60) -> list[str]:
        """Every line that was said."""
        self.lines += close_followers([self.thread], seconds, "runs/s")
        return self.lines


def followed(follower: Follower, *messages: Plain, before: Iterable[Plain] = ()) -> list[str]:
    """The lines that a whole launch says, for a follower that is told these messages."""
    launch = Launch(follower, before)
    launch.announce(*messages)
    return launch.close()


class Diary(Follower):
    """Writes down every call as a tuple; ``before`` is called first with each, and may raise."""

    def __init__(self, before: Callable[[tuple[Any, ...]], None] = lambda call: None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._before = before

    def _write(self, *call: Any) -> None:
        self._before(call)
        self.calls.append(call)

    def on_started(self, trial: FollowedTrial) -> None:
        self._write("started", trial.name, trial.attempt, [row.step for row in trial.earlier])

    def on_report(self, trial: FollowedTrial, row: Report) -> None:
        self._write("report", row.step, row.number("train_loss"))

    def on_ended(self, trial: FollowedTrial, outcome: Ended) -> None:
        self._write("ended", outcome.status)

    def on_note(self, trial: FollowedTrial | None, note: str) -> None:
        self._write("note", trial.trial_id if trial else None, note)

    def close(self) -> None:
        self._write("close")
