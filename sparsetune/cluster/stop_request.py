"""A request to stop a launch: its trials on all nodes write a checkpoint and end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ray.experimental import internal_kv

from sparsetune.paths import Place
from sparsetune.train.checkpoint import Checkpoints, Row

POLL_SECONDS = 1.0
"""A running trial asks the cluster this often; a question takes about a millisecond."""
GRACE_SECONDS = 30.0
"""A launch waits so long for its trials to save: SLURM kills soon after its signal."""
KV_NAMESPACE = b"sparsetune"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""Ctrl-C, a scheduler's two, and that of a terminal that is closed."""
STANDARD_STREAMS = (0, 1, 2)
Handler = Callable[[int, Any], None]
"""Function that handles a signal, of its number and the frame."""


class StopRequestedError(Exception):
    """Ends a trial after its checkpoint; it is no failure."""


class StopRequest:
    """A request to stop, as the driver makes it.

    Args:
        launch: Random name of the launch, under which workers ask for the request.
    """

    def __init__(self, launch: str) -> None:
        self.launch = launch
        self._since: float | None = None
        self._handler: Handler | None = None

    @property
    def is_requested(self) -> bool:
        """True once a signal has come."""
        return self._since is not None

    @property
    def is_grace_over(self) -> bool:
        """True once the trials have had `GRACE_SECONDS` to save."""
        return self._since is not None and time.monotonic() - self._since > GRACE_SECONDS

    def request_stop(self) -> None:
        """Ask every running trial to save and end.

        Raises:
            KeyboardInterrupt: the second time, so that an impatient Ctrl-C ends at once.
        """
        if self.is_requested:
            raise KeyboardInterrupt
        self._since = time.monotonic()
        # Ray's key-value store is what workers on all nodes can ask.
        internal_kv._internal_kv_put(self.launch, b"1", namespace=KV_NAMESPACE)

    @contextmanager
    def on_signals(self, announce: Callable[[], None]) -> Iterator[None]:
        """Let a signal of `STOP_SIGNALS` make the request; enter after Ray, which takes SIGTERM.

        Args:
            announce: Called once the request was made.
        """

        def ask(number: int, frame: Any) -> None:
            self.request_stop()
            announce()

        with _handling_signals(ask) as handler:
            self._handler = handler
            yield
            self._handler = None
        if self.is_requested:
            internal_kv._internal_kv_del(self.launch, namespace=KV_NAMESPACE)

    def keep_signals(self) -> None:
        """Take SIGUSR1 back from Tune, which would end without saving."""
        if self._handler and signal.getsignal(signal.SIGUSR1) is not self._handler:
            signal.signal(signal.SIGUSR1, self._handler)


@contextmanager
def interrupting_on_signals() -> Iterator[None]:
    """Let every signal of `STOP_SIGNALS` do what Ctrl-C does, while there is nothing to save."""

    def end(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    with _handling_signals(end):
        yield


@contextmanager
def _handling_signals(handler: Handler) -> Iterator[Handler | None]:
    """Handle the signals; yields the function that does, None in another thread than the first."""
    numbers = [*STOP_SIGNALS]
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)  # as under `nohup`, which is there for it
    terminals = [descriptor for descriptor in STANDARD_STREAMS if os.isatty(descriptor)]

    def handle(number: int, frame: Any) -> None:
        if number == signal.SIGHUP:
            _leave_closed_terminals(terminals)
        handler(number, frame)

    before: dict[int, Any] = {}
    # In another thread than the main one, signals are the caller's.
    with suppress(ValueError):
        for number in numbers:
            before[number] = signal.signal(number, handle)
    try:
        yield handle if before else None
    finally:
        for changed, earlier in before.items():
            signal.signal(changed, earlier)


def _leave_closed_terminals(descriptors: Iterable[int]) -> None:
    """Let what is written to terminals that were closed go nowhere: to write there is an error."""
    closed = [descriptor for descriptor in descriptors if not os.isatty(descriptor)]
    if closed:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in closed:
            os.dup2(nowhere, descriptor)
        os.close(nowhere)


class StoppableCheckpoints(Checkpoints):
    """Checkpoints of a trial, of which one is due when its launch is asked to stop.

    The trial ends with it.

    Args:
        launch: As in `StopRequest`.
        folder: As in `Checkpoints`.
        seconds: As in `Checkpoints`.
    """

    def __init__(self, launch: str, folder: Place, seconds: float) -> None:
        super().__init__(folder, seconds)
        self._launch = launch
        self.heartbeat: Callable[[], None] = lambda: None
        """Called after every step."""
        self.before_write: Callable[[], None] = lambda: None
        """Called before a checkpoint is written; may raise `StorageError`."""
        self._asked_at = time.monotonic()
        self._stopping = False

    def due(self, evaluated: bool) -> bool:
        """True if a checkpoint is due."""
        self.heartbeat()
        if time.monotonic() - self._asked_at > POLL_SECONDS:
            self._asked_at = time.monotonic()
            self._stopping = internal_kv._internal_kv_exists(self._launch, namespace=KV_NAMESPACE)
        # Due at any step, evaluated or not: the next evaluation may be minutes away.
        return self._stopping or super().due(evaluated)

    def write(self, step: int, trial_id: str, reports: list[Row], state: dict[str, Any]) -> Place:
        """Write a checkpoint, as `Checkpoints` does.

        Raises:
            StopRequestedError: once written, where the launch is asked to stop.
        """
        self.before_write()
        path = super().write(step, trial_id, reports, state)
        # Only here, where nothing since the checkpoint can be lost.
        if self._stopping:
            raise StopRequestedError
        return path
