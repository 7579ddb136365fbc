"""A limit on time that no code can catch, by the processor and by the clock."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PROCESSOR_SECONDS = 10.0
"""Seconds of the processor after which something hangs: others share the machine."""
CLOCK_SECONDS = 600.0
"""Seconds of the clock after which something waits for what does not come; many, since on a busy
machine a process of low priority waits for its turn."""


class Hang(BaseException):
    """What takes too long; no `Exception`, so that nothing catches it."""


@contextmanager
def time_limit(
    processor_seconds: float = PROCESSOR_SECONDS, clock_seconds: float = CLOCK_SECONDS
) -> Iterator[None]:
    """Raise `Hang` in a block that takes longer; in the main thread alone."""

    def ring(*_: Any) -> None:
        raise Hang

    limits = {
        signal.SIGPROF: (signal.ITIMER_PROF, processor_seconds),
        signal.SIGALRM: (signal.ITIMER_REAL, clock_seconds),
    }
    before = {number: signal.signal(number, ring) for number in limits}
    for timer, seconds in limits.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, _ in limits.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
