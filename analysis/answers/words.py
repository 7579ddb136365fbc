"""Numbers, cells and questions in words, as sentences of answers need them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sparsetune.answers import Bound
from sparsetune.study.questions.contrasts import PlannedContrast
from sparsetune.study.questions.kinds import (
    ArmsDiffer,
    BestValueMoves,
    ExtensionGain,
    Question,
    Remaining,
    RetuningGain,
    UnderTrained,
)
from sparsetune.study.questions.points import CellPoint
from sparsetune.study.questions.words import (
    arm_words,
    field_words,
    network_words,
    percent_words,
)
from sparsetune.study.space import LogUniform

from ..measure import Measure
from ..tables.results import Results

MINUS = "\u2212"
"""Sign of a negative number in a sentence, where a hyphen would join words."""
NARROW = 0.01
"""Width of an interval of a fraction below which two decimals of points are shown."""
NO_TENTH = 0.0005
"""Fractions below this are zero when shown with one decimal of points."""


def cell_words(point: CellPoint) -> str:
    """A cell in a sentence: ``GMP at 98 %``; its length is named apart."""
    return network_words(point.arm, point.sparsity, point.others)


def after_words(epochs: float) -> str:
    """Length of training within a sentence: `` after 8 epochs``; empty where it is not known."""
    return f" after {epochs:g} epochs" if epochs else ""


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: ``a``, ``a and b``, ``a, b and c``."""
    first = ", ".join(names[:-1])
    return f"{first} and {names[-1]}" if first else names[-1]


def seeds_words(n: int) -> str:
    """A number of seeds: ``1 seed``, ``5 seeds``."""
    return f"{n} seed" if n == 1 else f"{n} seeds"


def number_words(value: float, measure: Measure, decimals: int = 1) -> str:
    """A value or a difference of a measure without its unit: ``3.1``, ``0.42``."""
    if not measure.is_fraction:
        return _signed(f"{value:.3g}")
    text = f"{measure.factor * value:.{decimals}f}"
    # What rounds to zero has no sign.
    return _signed(text if float(text) else text.removeprefix("-"))


def _signed(text: str) -> str:
    return text.replace("-", MINUS, 1) if text.startswith("-") else text


def places_words(points: Sequence[CellPoint]) -> str:
    """Several networks in words: ``GMP at 98, 95 and 90 %`` where they differ in that alone."""
    arms = {point.arm for point in points}
    if len(points) == 1 or len(arms) > 1 or any(point.others for point in points):
        return listed([cell_words(point) for point in points])
    shares = [percent_words(point.sparsity).removesuffix(" %") for point in points]
    return f"{arm_words(points[0].arm)} at {listed(shares)} %"


def decimals_of(bound: Bound) -> int:
    """Decimals of points that an interval deserves: so many that an end does not look like 0."""
    width = bound.high - bound.low
    looks_like_zero = any(0 < abs(end) < NO_TENTH for end in (bound.low, bound.high))
    return 2 if width < NARROW or looks_like_zero else 1


def difference_words(value: float, measure: Measure, decimals: int = 1) -> str:
    """A difference with its unit: ``3.1 points``."""
    return measure.in_difference_unit(number_words(value, measure, decimals))


def value_words(value: float, measure: Measure) -> str:
    """A value with its unit: ``95.9 %``."""
    return f"{number_words(value, measure)} {measure.unit}".rstrip()


def interval_words(
    bound: Bound, measure: Measure, *, with_mean: bool = True, is_turned: bool = False
) -> str:
    """The numbers behind a sentence: ``3.1 points, interval 1.9 to 4.3, 5 seeds``.

    Args:
        bound: Mean and interval.
        measure: What they are measured in.
        with_mean: Whether the mean is said, too.
        is_turned: Whether the sentence says the opposite, so that signs turn.
    """
    decimals = decimals_of(bound)
    mean, low, high = bound.mean, bound.low, bound.high
    if is_turned:
        mean, low, high = -mean, -high, -low
    parts = [difference_words(mean, measure, decimals)] if with_mean else []
    if math.isfinite(low) and math.isfinite(high):
        ends = (number_words(low, measure, decimals), number_words(high, measure, decimals))
        parts.append(f"interval {' to '.join(ends)}")
    return ", ".join([*parts, seeds_words(bound.n)])


def axis_measure(results: Results, field: str) -> Measure:
    """Measure of a shift along a search axis: in decades where the axis is logarithmic."""
    axes = [axis for (_, path), axis in results.design.ranges.items() if path == field]
    is_log = bool(axes) and all(isinstance(axis, LogUniform) for axis in axes)
    return Measure(field, field_words(field), unit="decades" if is_log else "")


def whether_words(question: Question, contrast: PlannedContrast) -> str:
    """What one contrast asks, as a clause that begins with ``whether``."""
    at = cell_words(contrast.at)
    match question:
        case ExtensionGain():
            short = contrast.base.epochs if contrast.base else contrast.at.epochs
            lengths = f"{contrast.at.epochs:g} instead of {short:g} epochs"
            return f"whether {at} gains more than the dense network from {lengths}"
        case UnderTrained():
            epochs = contrast.base.epochs if contrast.base else contrast.at.epochs
            return f"whether {at} is under-trained after {epochs:g} epochs"
        case RetuningGain():
            return f"whether re-tuning {at} gains anything"
        case ArmsDiffer():
            return f"whether {at} differs from {arm_words(question.other or '')}"
        case BestValueMoves():
            other = cell_words(contrast.base) if contrast.base else "others"
            field = field_words(question.field)
            return f"whether the best {field} differs between {at} and {other}"
        case Remaining():
            return f"what {at} scores after {contrast.at.epochs:g} epochs"
