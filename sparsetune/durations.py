"""Durations of training to whole optimizer steps: the only rounding of time in the project.

A schedule item carries its own unit, and the unit says how it extends when training gets longer:
a fraction of training stretches, an absolute number of epochs, steps or samples does not. Samples
stay the same at another batch size, steps do not.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import GetPydanticSchema
from pydantic_core import core_schema

Unit = Literal["fraction", "epochs", "steps", "samples"]


@dataclass(frozen=True)
class Clock:
    """A trial's time: optimizer steps in total and per epoch, and examples per step."""

    total: int
    per_epoch: int
    batch_size: int


ABSOLUTE_UNITS: dict[str, Unit] = {"epochs": "epochs", "steps": "steps", "samples": "samples"}
"""Units that are written out, by their word."""


@dataclass(frozen=True)
class Length:
    """A part of training: ``value`` in ``unit``, never negative.

    Written as a plain number it is a fraction of training in [0, 1]; as text it is ``"5 epochs"``,
    ``"100 steps"`` or ``"409600 samples"`` (training examples seen).
    """

    value: float
    unit: Unit = "fraction"

    @classmethod
    def parse(cls, given: Any) -> Length:
        """Read a number (a fraction of training), a text as described above, or a ``Length``.

        Raises:
            ValueError: if the text is neither, the number is negative, or a fraction exceeds 1.
        """
        length = cls._read(given)
        if not (math.isfinite(length.value) and length.value >= 0):
            raise ValueError("a length must not be negative")
        if length.unit == "fraction" and length.value > 1:
            raise ValueError(
                "a fraction of training must lie in [0, 1]; write `5 epochs` or `100 steps`"
                " otherwise"
            )
        return length

    @classmethod
    def _read(cls, given: Any) -> Length:
        if isinstance(given, Length):
            return given
        if type(given) is float:  # as in most recorded trials, of which there may be thousands
            return cls(given)
        if isinstance(given, int | float) and not isinstance(given, bool):
            with suppress(OverflowError):
                return cls(float(given))
        if isinstance(given, str):
            number, _, unit = given.strip().partition(" ")
            unit = unit.strip().removesuffix("s") + "s"
            if unit in ABSOLUTE_UNITS:
                with suppress(ValueError):
                    return cls(float(number), ABSOLUTE_UNITS[unit])
        raise ValueError(
            "a length must be a fraction of training, `5 epochs`, `100 steps` or `4096 samples`"
        )

    def declared(self) -> float | str:
        """The written form: a number for a fraction, text otherwise."""
        if self.unit == "fraction":
            return self.value
        return f"{float(self.value)!r} {self.unit}".replace(".0 ", " ")

    def steps(self, clock: Clock) -> float:
        """Optimizer steps, not rounded: boundaries are sums of lengths and are rounded once."""
        if self.unit == "samples":
            return self.value / clock.batch_size
        steps_per_unit = {"fraction": clock.total, "epochs": clock.per_epoch, "steps": 1}
        return self.value * steps_per_unit[self.unit]


LengthField = Annotated[
    Length,
    GetPydanticSchema(
        lambda _source, _handler: core_schema.no_info_plain_validator_function(
            Length.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(Length.declared),
        )
    ),
]


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Optimizer steps of one epoch, at least one; the last, incomplete batch is left out.

    Its examples are in other batches of other epochs.
    """
    return max(1, examples // batch_size)


def total_steps(epochs: float, multiplier: float, per_epoch: int) -> int:
    """Optimizer steps of a whole training, at least one.

    Args:
        epochs: Epochs before the multiplier.
        multiplier: Factor that extends training.
        per_epoch: Steps of one epoch.
    """
    return max(1, round_half_up(epochs * multiplier * per_epoch))


def fraction_to_step(fraction: float, total: int) -> int:
    """Step at which a fraction, in [0, 1], of ``total`` steps is done."""
    return min(total, round_half_up(fraction * total))


def round_half_up(value: float) -> int:
    """The nearest integer, halves upward.

    Python's ``round`` goes to the even one, which would move equal boundaries apart.
    """
    return math.floor(value + 0.5)
