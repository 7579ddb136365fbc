"""A request to stop a launch: its trials on all nodes write a checkpoint and end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ray.experimental import internal_kv

from sparsetune.paths import Place
from sparsetune.train.checkpoint import Checkpoints, Row

POLL_SECONDS = 1.0
"""A running trial asks the cluster this often; a question takes about a millisecond."""
GRACE_SECONDS = 30.0
"""A launch waits so long for its trials to save: SLURM kills soon after its signal."""
KV_NAMESPACE = b"sparsetune"


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
        self._handler: Callable[[int, Any], None] | None = None

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
        """Let Ctrl-C, SIGTERM and SIGUSR1 make the request; enter after Ray, which takes SIGTERM.

        Args:
            announce: Called once the request was made.
        """

        def ask(number: int, frame: Any) -> None:
            self.request_stop()
            announce()

        with _handling_signals(ask):
            self._handler = ask if signal.getsignal(signal.SIGUSR1) is ask else None
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
    """Let SIGTERM and SIGUSR1 do what Ctrl-C does, while there is nothing to save."""

    def end(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    with _handling_signals(end):
        yield


@contextmanager
def _handling_signals(handler: Callable[[int, Any], None]) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    try:
        before = {number: signal.signal(number, handler) for number in numbers}
    except ValueError:
        before = {}  # in another thread than the main one, signals are the caller's
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


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
        path = super().write(step, trial_id, reports, state)
        # Only here, where nothing since the checkpoint can be lost.
        if self._stopping:
            raise StopRequestedError
        return path
