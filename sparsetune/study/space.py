"""Search axes: ranges of a dotted field of the trial, as maps from the unit interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeGuard

from pydantic import Field, PlainValidator, model_validator

from sparsetune.durations import round_half_up
from sparsetune.spec.declaration import MAX_COUNT, Declaration

Value = float | int | str | bool | None
"""Value of an axis; None where the field allows it."""


def _as_value(given: Any) -> Value:
    value = given.item() if hasattr(given, "item") else given  # a number of numpy
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError("must be a number, a text, True, False or None")


DeclaredValue = Annotated[Value, PlainValidator(_as_value)]
"""A value as a declaration holds it."""
DIGITS = 9
"""Significant digits to which numbers of a declaration are equal."""
MAX_OPTIONS = 1000
"""Most options of a choice."""


def is_number(value: Value) -> TypeGuard[int | float]:
    """True for a number; in Python True is one too, but no value of a range."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def rounded(value: Any) -> Any:
    """A value, or plain values inside lists and dictionaries, with nine significant digits."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        # Beyond what a float holds, a whole number stays as it is.
        return float(f"{value:.{DIGITS}g}") if abs(value) < 1e300 else value
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def equal_values(values: Iterable[Value]) -> list[Value]:
    """Values that are equal to an earlier one, to nine significant digits."""
    seen = set()
    found = []
    for value in values:
        if rounded(value) in seen:
            found.append(value)
        seen.add(rounded(value))
    return found


class _Range(Declaration):
    positional: ClassVar[tuple[str, ...]] = ("low", "high")
    low: float
    """Lowest value."""
    high: float
    """Highest value."""

    if TYPE_CHECKING:

        def __init__(self, low: float, high: float) -> None: ...

    @model_validator(mode="after")
    def _ordered(self) -> _Range:
        if self.low >= self.high:
            raise ValueError(
                f"the low bound must lie below the high bound, got ({self.low}, {self.high})"
            )
        return self

    def at(self, u: float) -> float:
        """The value at ``u`` in [0, 1)."""
        raise NotImplementedError

    def ends(self) -> list[Value]:
        """The lowest and the highest value, both of which a declaration must allow."""
        return [self.low, self.high]

    def contains(self, value: Value) -> bool:
        """True if the value lies in the range."""
        return is_number(value) and self.low <= value <= self.high

    def about_contains(self, value: Value) -> bool:
        """True if the value lies in the range, to nine significant digits."""
        return is_number(value) and rounded(self.low) <= rounded(value) <= rounded(self.high)

    def declared(self) -> str:
        """The axis as it is written in a declaration."""
        return f"{type(self).__name__}({self.low:.{DIGITS}g}, {self.high:.{DIGITS}g})"

    def widened(self, values: Iterable[Value]) -> Self | None:
        """The axis with some values inside; None where it cannot hold them."""
        numbers = [value for value in values if is_number(value)]
        wide: Self = type(self)(min([self.low, *numbers]), max([self.high, *numbers]))
        return None if wide.problems() or not all(map(wide.contains, values)) else wide

    def count(self, points: int) -> int:
        """Number of values that `spaced` returns."""
        return points

    def spaced(self, points: int) -> list[Value]:
        """Values evenly spaced on the axis's own scale, both ends included, with twelve digits."""
        # Rounded, so that a grid has 0.03 and not 0.030000000000000002, which would be in its ids.
        inner = (self.at(k / (points - 1)) for k in range(1, points - 1))
        return [self.low, *(float(f"{value:.12g}") for value in inner), self.high]


class Uniform(_Range):
    """A real number, evenly spread over [low, high]."""

    kind: Literal["uniform"] = "uniform"

    def at(self, u: float) -> float:
        """The value at ``u`` in [0, 1)."""
        return self.low + u * (self.high - self.low)


class LogUniform(_Range):
    """A positive real number whose logarithm is evenly spread over [low, high]."""

    kind: Literal["log_uniform"] = "log_uniform"

    @model_validator(mode="after")
    def _positive(self) -> LogUniform:
        if self.low <= 0:
            raise ValueError(f"a logarithmic range must have a low bound above 0, got {self.low}")
        return self

    def at(self, u: float) -> float:
        """The value at ``u`` in [0, 1)."""
        low = math.log(self.low)
        high = math.log(self.high)
        # exp(log(x)) may miss x in its last bit, and leave the range.
        return min(self.high, max(self.low, math.exp(low + u * (high - low))))


class IntRange(_Range):
    """A whole number from ``low`` to ``high``, both included."""

    kind: Literal["int_range"] = "int_range"
    low: int = Field(ge=-MAX_COUNT, le=MAX_COUNT)
    """Lowest value."""
    high: int = Field(ge=-MAX_COUNT, le=MAX_COUNT)
    """Highest value."""

    def at(self, u: float) -> int:
        """The value at ``u`` in [0, 1)."""
        # Half a step beyond both ends, so that they are as likely as the others.
        return min(self.high, round_half_up(self.low - 0.5 + u * (self.high - self.low + 1)))

    def contains(self, value: Value) -> bool:
        """True if the value is a whole number in the range."""
        return is_number(value) and super().contains(value) and float(value).is_integer()

    def spaced(self, points: int) -> list[Value]:
        """Every whole number of the range, however many points are asked for."""
        return list(range(self.low, self.high + 1))

    def count(self, points: int) -> int:
        """Number of values that `spaced` returns."""
        return self.high - self.low + 1


class Choice(Declaration):
    """One of a list of values, in no order."""

    positional: ClassVar[tuple[str, ...]] = ("options",)
    kind: Literal["choice"] = "choice"
    options: tuple[DeclaredValue, ...] = Field(min_length=1, max_length=MAX_OPTIONS)
    """The values; None where the field allows it."""

    if TYPE_CHECKING:

        def __init__(self, options: Sequence[Value]) -> None: ...

    def at(self, u: float) -> Value:
        """The option at ``u`` in [0, 1)."""
        return self.options[min(len(self.options) - 1, int(u * len(self.options)))]

    def ends(self) -> list[Value]:
        """Every option: a declaration must allow each."""
        return list(self.options)

    def contains(self, value: Value) -> bool:
        """True if the value is an option."""
        return value in self.options

    def about_contains(self, value: Value) -> bool:
        """True if the value is an option, to nine significant digits."""
        return rounded(value) in rounded(self.options)

    def declared(self) -> str:
        """The axis as it is written in a declaration."""
        return f"Choice({list(self.options)!r})"

    def widened(self, values: Iterable[Value]) -> Choice | None:
        """The axis with some values among its options."""
        return Choice([*self.options, *values])

    def count(self, points: int) -> int:
        """Number of values that `spaced` returns."""
        return len(self.options)

    def spaced(self, points: int) -> list[Value]:
        """Every option, however many points are asked for."""
        return list(self.options)


Axis = Annotated[Uniform | LogUniform | IntRange | Choice, Field(discriminator="kind")]
