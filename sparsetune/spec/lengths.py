"""Lengths that a trial declares, and the room that its training has for each.

Nothing here imports torch, so that a declaration is checked at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sparsetune.durations import Clock, Length, round_half_up
from sparsetune.errors import Problem
from sparsetune.sparsity.methods.registry import known_method
from sparsetune.spec.task.images import GrowthSpec
from sparsetune.spec.trial import TrialSpec

MAX_STEPS = 100_000_000
"""Most optimizer steps of a trial."""
MAX_EVENTS = 1_000_000
"""Most evaluations, mask updates or rewinds of a trial."""
UNRESOLVED_STEPS = 1_000_000
"""Steps that stand for an epoch of data whose sizes are not known yet."""


@dataclass(frozen=True)
class DeclaredLength:
    """A length of a trial, and how long it may be.

    Args:
        path: Dotted field, such as ``schedule.warmup``.
        length: The length as declared.
        clock: The trial's time.
        room: Optimizer steps within which the length must end.
    """

    path: str
    length: Length
    clock: Clock
    room: float

    @property
    def is_reached(self) -> bool:
        """True if the length ends within its room, both rounded to steps."""
        return round_half_up(self.length.steps(self.clock)) <= round_half_up(self.room)

    def longest(self) -> Length:
        """The longest length that is reached, in the declared unit."""
        room = max(0.0, self.room)
        if self.length.unit == "samples":
            return Length(room * self.clock.batch_size, "samples")
        per_unit = {"fraction": self.clock.total, "epochs": self.clock.per_epoch, "steps": 1}
        return Length(room / per_unit[self.length.unit], self.length.unit)


def declared_lengths(spec: TrialSpec) -> list[DeclaredLength]:
    """Every length that applies in a valid trial, with its room.

    Of data whose sizes are not known yet, only fractions and epochs are listed. The list is empty
    where an epoch has no whole batch, which has a problem of its own.
    """
    if not spec.task.is_resolved:
        total = spec.schedule.epochs * spec.schedule.epoch_multiplier * spec.schedule.stretch
        steps = max(1, round_half_up(total * UNRESOLVED_STEPS))
        lengths = _lengths(spec, Clock(steps, UNRESOLVED_STEPS, spec.task.batch_size))
        return [each for each in lengths if each.length.unit in ("fraction", "epochs")]
    if spec.task.train_size() < spec.task.batch_size:
        return []
    return list(_lengths(spec, spec.clock()))


def _lengths(spec: TrialSpec, clock: Clock) -> Iterator[DeclaredLength]:
    def declared(path: str, length: Length, room: float) -> DeclaredLength:
        return DeclaredLength(path, length, clock, room)

    schedule = spec.schedule
    # What happens after `total - 1` steps is the last that a step still sees.
    last = clock.total - 1
    yield declared("schedule.warmup", schedule.warmup, clock.total)
    for anchor in schedule.anchors if schedule.lr == "step" else ():
        yield declared("schedule.anchors", anchor, last)
    if schedule.rewind is not None and schedule.lr not in ("constant", "step"):
        start = declared("schedule.rewind.start", schedule.rewind.start, last)
        yield start
        yield declared("schedule.rewind.every", schedule.rewind.every, _after(start, clock.total))
    if spec.evaluate.every is not None:
        yield declared("evaluate.every", spec.evaluate.every, clock.total)
    found = spec.task.growth_of_images()
    if found is not None and isinstance(found[0], GrowthSpec):
        start = declared("task.growth.start", found[0].start, last)
        yield start
        yield declared("task.growth.length", found[0].length, _after(start, clock.total))
    yield from _sparsity_lengths(spec, clock)


def _sparsity_lengths(spec: TrialSpec, clock: Clock) -> Iterator[DeclaredLength]:
    def declared(path: str, length: Length, room: float) -> DeclaredLength:
        return DeclaredLength(f"sparsity.{path}", length, clock, room)

    sparsity = spec.sparsity
    fields = known_method(sparsity.method).fields
    if "ramp" in fields:
        ramp = sparsity.ramp
        start = declared("ramp.start", ramp.start, clock.total - 1)
        yield start
        room = _after(start, clock.total)
        if ramp.tail is None:
            yield declared("ramp.length", ramp.length, room)
            length = min(room, ramp.length.steps(clock))
        else:
            yield declared("ramp.tail", ramp.tail, room - 1)
            length = max(0.0, room - ramp.tail.steps(clock))
        if ramp.every is not None and ramp.shape != "stepped":
            yield declared("ramp.every", ramp.every, length or room)
    if "acdc" in fields:
        for name in ("warmup", "compress", "decompress", "last_dense", "final"):
            yield declared(f"acdc.{name}", getattr(sparsity.acdc, name), clock.total)
    if "regrow" in fields:
        until = declared("regrow.until", sparsity.regrow.until, clock.total)
        yield until
        room = min(clock.total, sparsity.regrow.until.steps(clock))
        yield declared("regrow.every", sparsity.regrow.every, room or clock.total)


def _after(start: DeclaredLength, total: int) -> float:
    """Steps that are left after a start; all of them where the start is the fault."""
    return total - start.length.steps(start.clock) if start.is_reached else total


def size_problems(spec: TrialSpec) -> list[Problem]:
    """Problem of a valid trial that has too many steps, or too many events, to be planned."""
    if not spec.task.is_resolved or spec.task.train_size() < spec.task.batch_size:
        return []
    clock = spec.clock()
    if clock.total > MAX_STEPS:
        rule = f"training must have at most {MAX_STEPS:,} optimizer steps"
        return [Problem("schedule.epochs", rule, f"{clock.total:,}")]
    found = []
    for path, every in _intervals(spec).items():
        events = clock.total / max(1.0, every.steps(clock))
        if events > MAX_EVENTS:
            rule = f"must be at least {1 + clock.total // MAX_EVENTS} steps, so that training has"
            rule += f" at most {MAX_EVENTS:,} of them"
            found.append(Problem(path, rule, repr(every.declared())))
    return found


def _intervals(spec: TrialSpec) -> dict[str, Length]:
    """Intervals between events of a trial, by dotted field."""
    sparsity = spec.sparsity
    fields = known_method(sparsity.method).fields
    found: dict[str, Length] = {}
    if spec.evaluate.every is not None:
        found["evaluate.every"] = spec.evaluate.every
    if spec.schedule.rewind is not None:
        found["schedule.rewind.every"] = spec.schedule.rewind.every
    if "ramp" in fields and sparsity.ramp.every is not None:
        found["sparsity.ramp.every"] = sparsity.ramp.every
    if "regrow" in fields:
        found["sparsity.regrow.every"] = sparsity.regrow.every
    if "acdc" in fields:
        found["sparsity.acdc.compress"] = sparsity.acdc.compress
    return found
