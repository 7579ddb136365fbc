"""Search axes: ranges of a dotted field of the trial, as maps from the unit interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from sparsetune.durations import round_half_up
from sparsetune.spec.declaration import Declaration

Value = float | int | str | bool


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
        # In Python True is an integer, but no value of a range.
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )

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
    low: int
    """Lowest value."""
    high: int
    """Highest value."""

    def at(self, u: float) -> int:
        """The value at ``u`` in [0, 1)."""
        # Half a step beyond both ends, so that they are as likely as the others.
        return min(self.high, round_half_up(self.low - 0.5 + u * (self.high - self.low + 1)))

    def contains(self, value: Value) -> bool:
        """True if the value is a whole number in the range."""
        return super().contains(value) and float(value).is_integer()

    def spaced(self, points: int) -> list[Value]:
        """Every whole number of the range, however many points are asked for."""
        return list(range(self.low, self.high + 1))


class Choice(Declaration):
    """One of a list of values, in no order."""

    positional: ClassVar[tuple[str, ...]] = ("options",)
    kind: Literal["choice"] = "choice"
    options: tuple[Value, ...] = Field(min_length=1)
    """The values."""

    if TYPE_CHECKING:

        def __init__(self, options: list[Value] | tuple[Value, ...]) -> None: ...

    def at(self, u: float) -> Value:
        """The option at ``u`` in [0, 1)."""
        return self.options[min(len(self.options) - 1, int(u * len(self.options)))]

    def ends(self) -> list[Value]:
        """Every option: a declaration must allow each."""
        return list(self.options)

    def contains(self, value: Value) -> bool:
        """True if the value is an option."""
        return value in self.options

    def spaced(self, points: int) -> list[Value]:
        """Every option, however many points are asked for."""
        return list(self.options)


Axis = Annotated[Uniform | LogUniform | IntRange | Choice, Field(discriminator="kind")]
