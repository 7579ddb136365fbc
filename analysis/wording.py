"""Numbers and names as a reader sees them: percent, intervals, headings. Missing is empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sparsetune.study.questions.words import arm_words

TWIN_LABELS = {
    "epochs": "dense network, same recipe, seed and length",
    "train_flops": "dense network, same recipe, seed and FLOPs",
}
"""The dense twin in a legend, by the quantity that it shares with its sparse network."""
DENSE_MEAN_LABEL = "dense network, same recipe"
"""The dense network in a legend, where means that a table gives are compared unpaired."""
SPARSITY_FIELD = "sparsity.target"
LENGTH_PHRASES = {
    "schedule.epoch_multiplier": "{:g}x training",
    "schedule.epochs": "{:g} epochs",
}


def format_interval(
    value: Any, low: Any, high: Any, factor: float = 100, number_format: str = ""
) -> str:
    """A value with its interval: ``87.12 [86.90, 87.34]``; empty if the value is missing.

    Args:
        value: The value, a fraction if it is shown in percent.
        low: Lower end; if it is missing, the value stands alone.
        high: Upper end; if it is missing, the value stands alone.
        factor: Factor that all three are multiplied with.
        number_format: Format of each number; by default two decimals for percent, else four digits.
    """
    if pd.isna(value):
        return ""
    shown = number_format or ("{:.2f}" if factor == 100 else "{:.4g}")
    text = shown.format(factor * value)
    if pd.isna(low) or pd.isna(high):
        return text
    return f"{text} [{shown.format(factor * low)}, {shown.format(factor * high)}]"


def line_phrase(arm: str, sparsity: Any) -> str:
    """An arm at a sparsity within a sentence: ``GMP at 98 %``; the arm alone for dense."""
    title = arm_words(arm)
    is_sparse = not pd.isna(sparsity) and sparsity > 0
    return f"{title} at {format_sparsity(sparsity)} %" if is_sparse else title


def cell_phrase(cell: Mapping[Any, Any]) -> str:
    """Name of a cell within a sentence: ``GMP at 98 % (2x training)``.

    Tables and files name cells by their ids, ``gmp/target=0.98/epoch_multiplier=2``.

    Args:
        cell: ``arm``, ``sparsity`` or ``sparsity.target``, and the cell's value of each sweep axis
            by its dotted field; NaN where the axis does not apply.
    """
    sparsity = cell.get("sparsity", cell.get(SPARSITY_FIELD))
    line = line_phrase(str(cell["arm"]), sparsity)
    parts = []
    for path, value in cell.items():
        if "." not in str(path) or path == SPARSITY_FIELD or pd.isna(value):
            continue
        if path in LENGTH_PHRASES:
            parts.append(LENGTH_PHRASES[path].format(value))
        else:
            parts.append(f"{field_heading(path).lower()} {format_exact(value)}")
    return f"{line} ({', '.join(parts)})" if parts else line


def start_sentence(text: str) -> str:
    """The text with its first letter large, whose others stay as they are: ``AC/DC``."""
    return f"{text[:1].upper()}{text[1:]}"


def join_words(words: Sequence[str]) -> str:
    """Words as a sentence lists them: ``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def format_seeds(n: Any) -> str:
    """Number of seeds in words: ``1 seed``, ``3 seeds``."""
    return f"{n:.0f} seed{'' if n == 1 else 's'}"


def hover_text(where: str, found: str, n: Any = None, more: str = "") -> str:
    """Text that a mark shows when pointed at, for `drawing.marks.attach_hover_texts`.

    Args:
        where: What the mark stands for; the first line.
        found: What was measured there; ``not measured`` if it is empty.
        n: Number of runs behind it; None or NaN leaves it out.
        more: Anything else; empty leaves it out.
    """
    count = "" if n is None or pd.isna(n) else f"n = {n:g}"
    parts = [found or "not measured", count, more]
    return f"{where}\n{', '.join(part for part in parts if part)}"


def format_percent(value: Any) -> str:
    """A fraction as percent with two decimals."""
    return "" if pd.isna(value) else f"{100 * value:.2f}"


def format_sparsity(value: Any) -> str:
    """A sparsity in percent, with all the digits that were declared."""
    return "" if pd.isna(value) else f"{100 * value:.10g}"


def format_value(given: Any) -> str:
    """A configuration's value; floats have four significant digits."""
    # `pd.isna` of a collection is an array, which has no truth value.
    is_collection = isinstance(given, (list, tuple, dict))
    if not is_collection and pd.isna(given):
        return ""
    return f"{given:.4g}" if isinstance(given, float) else str(given)


def format_exact(given: Any) -> str:
    """A configuration's value with all the digits that were declared."""
    if isinstance(given, float) and not pd.isna(given):
        return f"{given:.10g}"
    return format_value(given)


def field_heading(path: str) -> str:
    """Heading for a dotted field: ``sparsity.ramp.start`` becomes ``Ramp start``."""
    words = " ".join(path.split(".")[1:]).replace("_", " ")
    own_headings = {"target": "Sparsity (%)", "lr": "Learning rate"}
    return own_headings.get(words, words.capitalize())


def list_names(names: list[str], most: int = 4) -> str:
    """The first few names of a list: ``a, b and 12 more``.

    Names that hold a comma are parted by semicolons.
    """
    remaining = len(names) - most
    separator = "; " if any("," in name for name in names[:most]) else ", "
    shown = separator.join(names[:most])
    return f"{shown} and {remaining} more" if remaining > 0 else shown
