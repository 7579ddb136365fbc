"""What a benchmark gives: rows with a time for every round; all take part in a round, so that noise
hits all alike.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Row:
    """One thing measured.

    Args:
        table: Its rows were measured together.
        name: What.
        seconds: Of every round.
        against: The row of the table that ratios refer to; None: to none.
        limit: What the ratio should stay below.
        at_most: What the seconds should stay below.
        notes: Further numbers by name.
    """

    table: str
    name: str
    seconds: Sequence[float]
    against: str | None = None
    limit: float | None = None
    at_most: float | None = None
    notes: Mapping[str, float] = field(default_factory=dict)

    def as_json(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Everything measured, with quartiles; ``ratio`` is None where there is nothing to refer
        to.
        """
        ratios = self.ratios(rows)
        return {
            **asdict(self),
            "quartiles": quartiles(self.seconds),
            "ratio": quartiles(ratios) if ratios else None,
        }

    def ratios(self, rows: Sequence[Row]) -> list[float]:
        """To the row referred to, round by round."""
        base = next(
            (row.seconds for row in rows if (row.table, row.name) == (self.table, self.against)), ()
        )
        return [mine / other for mine, other in zip(self.seconds, base, strict=False)]


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    low, middle, high = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [*values] * 3
    )
    return low, middle, high


def now(device: str) -> float:
    """Seconds of this thread's processor, which other work disturbs little; of the clock where it
    is a GPU.
    """
    if device == "cpu":
        return time.thread_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def timed(work: Callable[[], object], device: str = "cpu") -> float:
    """Seconds that ``work`` takes; what it gives is freed after the clock stops."""
    start = now(device)
    result = work()
    taken = now(device) - start
    del result
    return taken


def interleaved(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What every measure gives, one after the other, so many times."""
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            taken[name].append(measure())
    return taken


class Enough(Exception):
    """Ends a loop that has taken its part in every round."""


class Turn:
    """One loop of several that go on in turn, some steps each; the loop calls ``tick`` at the end
    of every step.

    Args:
        rounds: So many are timed; one more before them is not.
        timed: Steps timed in a round.
        untimed: Steps before them, in which caches fill.
        device: See `now`.
        errors: Of all loops; one ends them all.
    """

    def __init__(
        self, rounds: int, timed: int, untimed: int, device: str, errors: list[Exception]
    ) -> None:
        self.seconds: list[list[float]] = []
        """Of every step timed, by round."""
        self.baton = threading.Semaphore(0)
        self.following = self
        self._rounds = rounds
        self._timed = timed
        self._untimed = untimed
        self._device = device
        self._errors = errors
        self._steps = 0
        self._taken = list[float]()
        self._last = 0.0

    def tick(self, counts: bool = True) -> None:
        """A step is done; ``counts`` unless something else was done in it.

        Raises:
            Enough: when there have been all the rounds, or another loop failed.
        """
        taken = now(self._device) - self._last
        self._steps += 1
        if counts and self._steps > self._untimed:
            self._taken.append(taken)
        if len(self._taken) == self._timed:
            self.seconds.append(self._taken)
            self._steps = 0
            self._taken = []
            if len(self.seconds) > self._rounds:
                raise Enough
            self.following.baton.release()
            self.baton.acquire()
            if self._errors:
                raise Enough
        self._last = now(self._device)

    def run(self, loop: Callable[[Turn], object]) -> None:
        """Take part until there is enough."""
        self.baton.acquire()
        try:
            if not self._errors:
                loop(self)
        except Enough:
            pass
        except Exception as error:
            self._errors.append(error)
        self.following.baton.release()


def in_turn(
    loops: Mapping[str, Callable[[Turn], object]],
    rounds: int,
    timed: int,
    untimed: int,
    device: str,
) -> dict[str, list[list[float]]]:
    """Seconds of every timed step by round, of loops that run in threads but never two at a
    time.
    """
    errors: list[Exception] = []
    turns = {name: Turn(rounds, timed, untimed, device, errors) for name in loops}
    ring = list(turns.values())
    for turn, following in zip(ring, [*ring[1:], ring[0]], strict=True):
        turn.following = following
    threads = [
        threading.Thread(target=turns[name].run, args=(loop,), daemon=True)
        for name, loop in loops.items()
    ]
    for thread in threads:
        thread.start()
    ring[0].baton.release()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return {name: turn.seconds[1:] for name, turn in turns.items()}
