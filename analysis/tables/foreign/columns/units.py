"""Units of fractions and losses: a sparsity as weights left, an accuracy as an error, bits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ....catalogue import paragraph, write
from .numbers import Floats, Mask, ParsedNumbers, list_rows

Unit = Literal[
    "fraction",
    "percent",
    "density",
    "density_percent",
    "kept",
    "kept_percent",
    "pruned",
    "pruned_percent",
    "compression_ratio",
    "error",
    "error_percent",
    "accuracy",
    "accuracy_percent",
    "nats",
    "bits",
]

UNIT_NAMES: tuple[str, ...] = get_args(Unit)
SYNONYMS = {
    "kept": "density",
    "kept_percent": "density_percent",
    "pruned": "fraction",
    "pruned_percent": "percent",
}
"""Units by another name."""
OF_SPARSITY = ("density", "density_percent", *SYNONYMS, "compression_ratio")
"""Units that only a sparsity can have: the weights left, and the dense weights over those left."""
OF_ACCURACY = ("error", "error_percent")
"""Units that only an accuracy or a score can have."""
OF_ERROR = ("accuracy", "accuracy_percent")
"""Units that only an error can have."""
OF_LOSS = ("nats", "bits")
"""Units that only a loss or an entropy can have."""
WITH_SIGN = {
    None: "percent",
    "percent": "percent",
    "density": "density_percent",
    "density_percent": "density_percent",
    "error": "error_percent",
    "error_percent": "error_percent",
    "accuracy": "accuracy_percent",
    "accuracy_percent": "accuracy_percent",
    "kept": "density_percent",
    "kept_percent": "density_percent",
    "pruned": "percent",
    "pruned_percent": "percent",
}
"""Unit of values with a percent sign, by the unit that is stated."""
SPARSITY_COLUMNS = ("sparsity", "target", "sparsity.target", "sparsity.ramp.first")
"""Columns that hold a sparsity."""
MEASURE_SUFFIXES = ("_accuracy", "_score")
"""Endings of columns whose values are compared with each other; an error may be below 1 percent."""
LOSS_SUFFIXES = ("_loss", "_entropy")
"""Endings of columns that are in nats."""
FRACTION_DECIMALS = 12
"""Decimals that a converted fraction keeps: 1 - 0.8 is 0.2, not 0.19999999999999996."""
OUTLYING_RATIO = 10
"""Factor from which on smaller numbers are taken to be another thing, or in another unit."""
NATS_PER_BIT = float(np.log(2))


@dataclass(frozen=True)
class UnitFacts:
    """Conversion of a unit, and the range of its numbers, ends included.

    Args:
        convert: Function from numbers in the unit to fractions or nats.
        low: Smallest number that makes sense; None for the column's own limit.
        high: Largest one; None for the column's own limit.
        rule: Rule that numbers outside break.
        factor: Size of one unit of it in the converted number, by which a spread is converted.
    """

    convert: Callable[[Floats], Floats]
    low: float | None = None
    high: float | None = None
    rule: str = ""
    factor: float = 1.0


_UNITS: dict[str, UnitFacts] = {
    "fraction": UnitFacts(
        lambda values: values, rule="must lie in [0, 1] where `units` says `fraction`"
    ),
    "percent": UnitFacts(
        lambda values: values / 100,
        0,
        100,
        "must lie in [0, 100] where `units` says `percent`",
        0.01,
    ),
    "density": UnitFacts(
        lambda values: 1 - values,
        0,
        1,
        "must lie in (0, 1] where `units` says `density`: the fraction of weights that are left"
        " (`density_percent` if it is in percent)",
    ),
    "density_percent": UnitFacts(
        lambda values: 1 - values / 100,
        0,
        100,
        "must lie in (0, 100] where `units` says `density_percent`",
        0.01,
    ),
    "compression_ratio": UnitFacts(
        lambda values: 1 - 1 / values,
        1,
        np.inf,
        "must be at least 1 where `units` says `compression_ratio`: dense weights over those left",
    ),
    "error": UnitFacts(
        lambda values: 1 - values,
        0,
        1,
        "must lie in [0, 1] where `units` says `error` (`error_percent` if it is in percent)",
    ),
    "error_percent": UnitFacts(
        lambda values: 1 - values / 100,
        0,
        100,
        "must lie in [0, 100] where `units` says `error_percent`",
        0.01,
    ),
    "nats": UnitFacts(lambda values: values),
    "bits": UnitFacts(lambda values: values * NATS_PER_BIT, factor=NATS_PER_BIT),
}
_UNITS["accuracy"] = UnitFacts(
    _UNITS["error"].convert,
    0,
    1,
    "must lie in [0, 1] where `units` says `accuracy` (`accuracy_percent` if it is in percent)",
)
_UNITS["accuracy_percent"] = UnitFacts(
    _UNITS["error_percent"].convert,
    0,
    100,
    "must lie in [0, 100] where `units` says `accuracy_percent`",
    0.01,
)
_NAMED_UNITS = (
    (
        SPARSITY_COLUMNS,
        r"density|dense|kept|keep|remaining|left|nonzero|nnz|alive",
        "density",
        "the weights that are left",
    ),
    (SPARSITY_COLUMNS, r"compression|ratio|factor", "compression_ratio", "a compression ratio"),
    (MEASURE_SUFFIXES, r"err|error", "error", "an error"),
    (("_error",), r"acc|accuracy|top1", "accuracy", "an accuracy"),
    (LOSS_SUFFIXES, r"bits?|bpc|bpb|bpd", "bits", "bits"),
    (
        (*SPARSITY_COLUMNS, *MEASURE_SUFFIXES, "_error"),
        r"percent|percentage|pct|perc",
        "percent",
        "percent",
    ),
)
"""Columns of ours by their endings, words in the table's name, and the unit that these mean."""


def may_have_unit(ours: str, unit: str) -> str:
    """Rule that a unit of a column of ours breaks; empty where it may have it."""
    if unit in OF_SPARSITY and ours not in SPARSITY_COLUMNS:
        return f"only a sparsity can be in {unit}: {', '.join(SPARSITY_COLUMNS)}"
    if unit in OF_ACCURACY and not ours.endswith(MEASURE_SUFFIXES):
        return f"only an accuracy or a score can be given as {unit}"
    if unit in OF_ERROR and not ours.endswith("_error"):
        return f"only an error can be given as {unit}"
    if unit in OF_LOSS and not ours.endswith(LOSS_SUFFIXES):
        return f"only a loss or an entropy can be in {unit}"
    return ""


def named_unit_rule(ours: str, theirs: str) -> str:
    """Rule of a column whose own name speaks of another unit than ours, which nobody stated.

    Args:
        ours: Our name of the column.
        theirs: The table's.

    Returns:
        The doubt and how to settle it; empty where there is none.
    """
    if theirs == ours:
        return ""
    words = set(re.findall(r"[a-z]+|[0-9]+", theirs.lower().replace("top1", "acc")))
    if "%" in theirs:
        words.add("percent")
    for endings, pattern, unit, meaning in _NAMED_UNITS:
        if ours.endswith(tuple(endings)) and any(re.fullmatch(pattern, word) for word in words):
            other = "nats" if unit == "bits" else "fraction"
            return (
                f"its name speaks of {meaning}, which is not what `{ours}` holds: give"
                f" units={{'{ours}': '{unit}'}} if it is, else '{other}' or what it is"
            )
    return ""


def to_fractions(
    found: ParsedNumbers, unit: str | None, of: str, low: float, high: float
) -> tuple[Floats, str]:
    """Convert a column's values to fractions.

    Args:
        found: The column's numbers.
        unit: Unit that the caller states; None where nothing is stated: then fractions, or percent
            if every value has a percent sign.
        of: Our name of the column.
        low: Smallest fraction that makes sense.
        high: Largest fraction that makes sense; a sparsity must lie below 1.

    Returns:
        Values of the column's length, NaN where missing; the rule that they break, with the values
        found, or an empty text.
    """
    values = found.values
    is_given = ~np.isnan(values)
    if not is_given.any():
        return values, ""
    finite = values[np.isfinite(values)]
    span = f"values from {finite.min():g} to {finite.max():g}" if len(finite) else "no finite value"
    unit, rule = resolve_unit(found, unit, of)
    if rule:
        return values, rule
    # Numbers up to 100 may be percent; larger ones break the limits below.
    if unit is None and len(finite) and 1 < finite.max() <= 100:
        return values, _ambiguity_message(finite, of, span)
    rule = _limit_rule(finite, unit, low, high)
    if rule:
        return values, f"{rule}, got {span}"
    converted = values.copy()
    converted[is_given] = _UNITS[unit or "fraction"].convert(values[is_given])
    if unit not in (None, "fraction"):
        # Else 90 % and a density of 0.1 would be two sparsities.
        converted = converted.round(FRACTION_DECIMALS)
    if of in SPARSITY_COLUMNS and (converted[is_given] >= 1).any():
        return values, (
            f"a sparsity must lie in [0, 1), got {span}: if it is the weights left, give"
            f" units={{'{of}': 'density'}}"
        )
    return converted, ""


def to_nats(values: Floats, unit: str | None) -> Floats:
    """Losses in nats; without a unit they are."""
    return _UNITS[unit or "nats"].convert(values)


def spread_factor(unit: str | None) -> float:
    """Factor from a spread in a unit to one of the converted values."""
    return _UNITS[SYNONYMS.get(unit or "", unit or "fraction")].factor


def resolve_unit(found: ParsedNumbers, unit: str | None, of: str) -> tuple[str | None, str]:
    """Unit of the values by what is stated and by percent signs, and the rule that both break."""
    plain = SYNONYMS.get(unit or "", unit)
    if not found.percent.any():
        return plain, ""
    if unit not in WITH_SIGN:
        return unit, f"some values have a percent sign, but `units` says `{unit}`"
    is_given = ~np.isnan(found.values)
    with_sign = WITH_SIGN[unit]
    if plain != with_sign and not found.percent[is_given].all():
        return unit, (
            "some values have a percent sign and some have none:"
            f" give units={{'{of}': '{with_sign}'}} if all are percent"
        )
    return with_sign, ""


def _limit_rule(finite: Floats, unit: str | None, low: float, high: float) -> str:
    """Rule on the range that finite values break in their unit; empty where they lie within."""
    facts = _UNITS[unit or "fraction"]
    bottom = low if facts.low is None else facts.low
    top = high if facts.high is None else facts.high
    if unit == "percent":
        bottom = min(bottom, 100 * low)  # a score may be negative
        top = max(top, 100 * high)  # an error may exceed 1
    if not len(finite):
        return ""
    is_outside = finite.min() < bottom or finite.max() > top
    is_empty = unit in ("density", "density_percent") and finite.min() <= 0
    if is_outside or is_empty:
        return (facts.rule if unit else "") or f"must lie in [{low:g}, {high:g}]"
    return ""


def small_percents_note(found: ParsedNumbers, of: str) -> str:
    """Sentences on values up to 1 percent, which look like fractions though percent is stated.

    A sparsity of 0.01 % has such values, and a network at chance on many classes; so has a column
    that mixes percent and fractions. Empty where there are none.
    """
    small, large = _unit_interval_rows(found)
    if of in SPARSITY_COLUMNS:
        # A sparsity of 1 is no fraction: no weight would be left.
        small &= found.values < 1
    elif not of.endswith(MEASURE_SUFFIXES) or (large.any() and not _has_outlying_values(found)):
        return ""
    if not small.any():
        return ""
    lowest = found.values[small].min()
    highest = found.values[small].max()
    span = f"{lowest:g}" if lowest == highest else f"{lowest:g} to {highest:g}"
    read = write("reading_percent", column=of, span=span, rows=list_rows(small))
    return paragraph([read, write("reading_percent_convert")])


def _has_outlying_values(found: ParsedNumbers) -> bool:
    """True if there are numbers up to 1 and all others are `OUTLYING_RATIO` times as large."""
    small, large = _unit_interval_rows(found)
    if not (small.any() and large.any()):
        return False
    return bool(found.values[large].min() >= OUTLYING_RATIO * found.values[small].max())


def _unit_interval_rows(found: ParsedNumbers) -> tuple[Mask, Mask]:
    """Rows without a percent sign whose numbers lie in (0, 1], and all rows above 1."""
    with np.errstate(invalid="ignore"):
        small = (found.values > 0) & (found.values <= 1) & ~found.percent
        large = found.values > 1
    return small, large


def _ambiguity_message(finite: Floats, of: str, span: str) -> str:
    """Reason not to take numbers above 1 for fractions, and what to write instead."""
    advice = f"give units={{'{of}': 'percent'}}"
    if ((finite > 0) & (finite <= 1)).any():
        return (
            f"percent and fractions may be mixed, with {span}: {advice} if all are percent, of"
            " which a stated unit leaves no doubt"
        )
    may_be_ratio = of in SPARSITY_COLUMNS and finite.min() >= 1
    ratio = " (or 'compression_ratio' if it is that)" if may_be_ratio else ""
    return f"a fraction is due, got {span}: if it is percent, {advice}{ratio}"
