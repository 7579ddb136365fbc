"""Limits on the time of a running trial: on its silence, and on the whole where that is asked."""

from __future__ import annotations

import faulthandler
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sparsetune.cluster.exit_note import ExitNote, end_process
from sparsetune.own_code.modules import is_own_file
from sparsetune.storage.records import Cause

MAX_TICK_SECONDS = 5.0
"""Time between two looks at a trial, at most."""


class Watchdog:
    """Ends this process where its trial exceeds a limit, with the reason in a note.

    A thread looks. Where one holds the interpreter, so that no other runs, `faulthandler` ends the
    process without it.

    Args:
        note: Takes the reason.
        silence_seconds: Seconds without a step; 0 for no limit.
        trial_seconds: Seconds of the attempt; 0 for no limit.
    """

    def __init__(self, note: ExitNote, silence_seconds: float, trial_seconds: float) -> None:
        self._note = note
        self._silence = silence_seconds
        self._whole = trial_seconds
        self._steps = 0
        self._waiting = False
        self._began = self._beat_at = time.monotonic()
        self._ended = threading.Event()
        self._watched = threading.get_ident()

    def beat(self) -> None:
        """Note a step of the trial."""
        self._steps += 1
        self._beat_at = time.monotonic()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While open, the trial waits for the driver, which is not its fault."""
        self._waiting = True
        try:
            yield
        finally:
            self._beat_at = time.monotonic()
            self._waiting = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the thread that opens it until it closes."""
        limits = [limit for limit in (self._silence, self._whole) if limit]
        if not limits:
            yield
            return
        tick = min(MAX_TICK_SECONDS, min(limits) / 5)
        thread = threading.Thread(target=self._watch, args=(tick,), name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            faulthandler.cancel_dump_traceback_later()

    def _watch(self, tick: float) -> None:
        while not self._ended.wait(tick):
            if self._silence and self._note.crash_file is not None:
                # Armed again at each tick: it fires only if this thread gets no turn.
                faulthandler.dump_traceback_later(
                    self._silence + tick, exit=True, file=self._note.crash_file
                )
            exceeded = self._exceeded_limit(time.monotonic())
            if exceeded and not self._ended.is_set():
                self._note.write(*exceeded)
                end_process(1)

    def _exceeded_limit(self, now: float) -> tuple[Cause, str] | None:
        if self._silence and not self._waiting and now - self._beat_at > self._silence:
            limit = format_minutes(self._silence)
            done = f"after step {self._steps} of this attempt" if self._steps else "from its start"
            advice = "raise --silence-minutes if it was at work"
            return "silent", f"no step for {limit} {done}, {self._place()}; {advice}"
        if self._whole and now - self._began > self._whole:
            limit = format_minutes(self._whole)
            return "time", f"it took longer than --trial-minutes {limit.split()[0]}"
        return None

    def _place(self) -> str:
        """Where the trial's thread is: its innermost line in code of the user's own, if any."""
        frame = sys._current_frames().get(self._watched)
        return f"in {innermost_place(frame)}" if frame else "in a thread that has ended"


def innermost_place(frame: FrameType) -> str:
    """File and line of the innermost call in a user's own code; without one, of any code."""
    frames = traceback.extract_stack(frame)
    own = [one for one in frames if is_own_file(Path(one.filename))]
    shown = [one for one in frames if not one.filename.startswith("<")]
    innermost = (own or shown or frames)[-1]
    return f"{Path(innermost.filename).name}:{innermost.lineno}"


def format_minutes(seconds: float) -> str:
    """A limit in words: ``15 minutes``, ``0.5 minutes``."""
    return f"{seconds / 60:g} minutes"
