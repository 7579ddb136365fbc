"""Measure: a measured column as a reader sees it, with its name, unit, direction and range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sparsetune.errors import SparsetuneError

from .quantities import column_label
from .wording import format_interval, format_seeds

SPLITS = {"train": "Training", "val": "Validation", "test": "Test"}
"""Names of splits in words, by the start of their columns."""
FRACTION_QUANTITIES = ("accuracy", "score", "error")
"""Quantities that are fractions unless a task says otherwise."""
NAT_QUANTITIES = ("loss", "entropy")
"""Quantities in nats unless a task says otherwise."""
RISING_QUANTITIES = ("accuracy", "score")
"""Quantities that are better when higher."""
PERCENT = "%"
NATS = "nats"
UNIT_RANGE = (0.0, 1.0)
"""Range of a fraction."""
LOSS_RANGE = (0.0, math.inf)
"""Range of losses and entropies."""
DEFAULT_MARGIN = 0.002
"""Difference that may count as none: 0.2 points of a fraction, 0.002 nats."""


class MarginError(SparsetuneError):
    """A gain was to be judged whose usual size is not known, without a margin."""


@dataclass(frozen=True)
class Measure:
    """A measured column as a reader sees it; as a string, the column's name.

    Args:
        column: Name of the column, such as ``test_score``.
        name: Name in words without unit, such as ``Test score``.
        unit: Unit of what is shown: ``%``, ``nats``, ``squared error``; empty for a plain number.
        metric: Metric that the column holds, where neither name nor unit says it: ``R²``.
        higher_is_better: Direction; None where it is not known.
        range: Lowest and highest possible value as stored; None without limits, or if they are not
            known.
    """

    column: str
    name: str
    unit: str = ""
    metric: str = ""
    higher_is_better: bool | None = False
    range: tuple[float, float] | None = None

    def __str__(self) -> str:
        return self.column

    @classmethod
    def by_name(cls, column: str) -> Measure:
        """Measure of a column of which nothing is known but its name.

        Losses and entropies are in nats, and accuracies, scores and errors are fractions.
        """
        split, _, quantity = column.partition("_")
        if split not in SPLITS or quantity not in (*FRACTION_QUANTITIES, *NAT_QUANTITIES):
            name, _, unit = column_label(column).partition(" (")
            return cls(column, name, unit.removesuffix(")"))
        rises = quantity in RISING_QUANTITIES
        if quantity in NAT_QUANTITIES:
            name = quantity_name(column)
            return cls(column, name, NATS, higher_is_better=rises, range=LOSS_RANGE)
        return cls(column, quantity_name(column), PERCENT, "", rises, UNIT_RANGE)

    @property
    def is_fraction(self) -> bool:
        """True if it is stored as a fraction and shown in percent."""
        # A sparsity is in percent too, but has an axis of its own.
        return self.unit == PERCENT and self.range is not None

    @property
    def has_usual_size(self) -> bool:
        """True of fractions and nats, whose size means the same in every study."""
        return self.is_fraction or self.unit == NATS

    @property
    def factor(self) -> float:
        """Factor between a stored value and the one that is drawn or printed: 100 for fractions."""
        return 100.0 if self.is_fraction else 1.0

    @property
    def label(self) -> str:
        """Name with its unit, or with the metric that it holds: ``Test accuracy (%)``."""
        return self._with_unit(self.name, self.unit)

    @property
    def title(self) -> str:
        """Name for a title: ``Test accuracy``, ``Test score (R²)``."""
        return f"{self.name} ({self.metric})" if self.metric else self.name

    @property
    def phrase(self) -> str:
        """Name within a sentence: ``test accuracy``, ``test score (R²)``."""
        return f"{self.title[:1].lower()}{self.title[1:]}"

    @property
    def difference_unit(self) -> str:
        """Unit of a difference: ``points`` of percent, else the unit itself."""
        return "points" if self.is_fraction else self.unit

    @property
    def direction(self) -> int:
        """1 if more is better, -1 if less is.

        Raises:
            SparsetuneError: if that is not known.
        """
        if self.higher_is_better is None:
            raise SparsetuneError(
                f"it must be known whether more of `{self.column}` is better: declare its metric as"
                " MetricSpec(…, higher_is_better=…)"
            )
        return 1 if self.higher_is_better else -1

    def heading(self, prefix: str) -> str:
        """Heading of a column of its values in a table: the prefix with the unit in brackets."""
        return self._with_unit(prefix, self.unit)

    def difference_heading(self, prefix: str, separator: str = " ") -> str:
        """Heading of a column of differences: the prefix with their unit in brackets."""
        return self._with_unit(prefix, self.difference_unit, separator)

    def difference_label(self, relation: str) -> str:
        """Label of an axis of differences, in two lines: ``Test accuracy minus twin``, points.

        Args:
            relation: How the value is a difference, with its separator: `` minus dense twin``.
        """
        return self.difference_heading(f"{self.name}{relation}", "\n")

    def value_text(self, value: Any, low: Any = None, high: Any = None) -> str:
        """A value without unit, with its interval where it has one; empty if it is missing."""
        return format_interval(value, low, high, self.factor)

    def difference_text(self, value: Any, low: Any = None, high: Any = None) -> str:
        """A difference with its unit: ``11.20 [9.80, 12.60] points``; empty if it is missing."""
        return self.in_difference_unit(self.value_text(value, low, high))

    def difference_phrase(self, value: Any, low: Any, high: Any, n: Any) -> str:
        """A difference within a sentence: ``3.10 points (1.90 to 4.30, 3 seeds)``.

        Without an interval the number of seeds alone stands in brackets.
        """
        shown = self.difference_text(value)
        digits = "{:.2f}" if self.is_fraction else "{:.4g}"
        ends = ""
        if not pd.isna(low) and not pd.isna(high):
            ends = " to ".join(digits.format(self.factor * end) for end in (low, high)) + ", "
        return f"{shown} ({ends}{format_seeds(n)})" if shown else ""

    def change_text(self, value: Any, low: Any = None, high: Any = None, sign: str = "") -> str:
        """A difference without unit, in two decimals of points and nats, else in three digits.

        Args:
            value: The difference.
            low: Lower end of its interval; missing for none.
            high: Upper end.
            sign: ``+`` shows the sign of positive numbers too.
        """
        digits = ".2f" if self.has_usual_size else ".3g"
        return format_interval(value, low, high, self.factor, f"{{:{sign}{digits}}}")

    def margin_text(self, margin: float) -> str:
        """A margin with its unit, in as many digits as it has: ``0.2 points``."""
        return self.in_difference_unit(f"{self.factor * margin:g}")

    def in_difference_unit(self, text: str) -> str:
        """The text of a difference with its unit; empty without a text."""
        return f"{text} {self.difference_unit}".rstrip() if text else ""

    def _with_unit(self, text: str, unit: str, separator: str = " ") -> str:
        in_brackets = unit or self.metric
        return f"{text}{separator}({in_brackets})" if in_brackets else text

    def margin(self, given: float | None, argument: str) -> float:
        """The margin that was given, else `DEFAULT_MARGIN` of a fraction or of nats.

        Args:
            given: The margin; None for the default.
            argument: Name of the argument that gives it.

        Raises:
            MarginError: if there is none by default: values of other units have no usual size.
        """
        if given is not None:
            return given
        if self.has_usual_size:
            return DEFAULT_MARGIN
        raise MarginError(
            f"how much of a gain counts is not known for {self.phrase}, which is no fraction:"
            f" give `{argument}`, in its own units"
        )


def quantity_name(column: str, words: str = "") -> str:
    """Name in words of a quantity on a split: ``Validation loss``.

    Args:
        column: The split, then the quantity: ``val_loss``.
        words: Name of the quantity in words; empty for the column's own.
    """
    split, _, quantity = column.partition("_")
    return f"{SPLITS[split]} {words or quantity}"
