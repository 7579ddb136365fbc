"""Numbers and names as a reader is shown them: percent, intervals, headings; missing is empty."""

from __future__ import annotations

from typing import Any

import pandas as pd


def format_interval(value: Any, low: Any, high: Any, factor: float = 100, shown: str = "") -> str:
    """A value with its interval, fractions as percent: ``87.12 [86.90, 87.34]``; ``shown`` is another format."""
    if pd.isna(value):
        return ""
    shown = shown or ("{:.2f}" if factor == 100 else "{:.4g}")
    ends = (
        ""
        if pd.isna(low) or pd.isna(high)
        else f" [{shown}, {shown}]".format(factor * low, factor * high)
    )
    return shown.format(factor * value) + ends


def hover_text(where: str, found: str, n: Any = None, more: str = "") -> str:
    """What a mark says when pointed at, for `drawing.marks.describe`: where it stands; what was found there, and n."""
    parts = [found or "not measured", "" if n is None or pd.isna(n) else f"n = {n:g}", more]
    return f"{where}\n{', '.join(filter(None, parts))}"


def format_percent(value: Any) -> str:
    """A fraction as percent."""
    return "" if pd.isna(value) else f"{100 * value:.2f}"


def format_sparsity(value: Any) -> str:
    """A sparsity in percent, as it was declared."""
    return "" if pd.isna(value) else f"{100 * value:.10g}"


def format_value(given: Any) -> str:
    """A configuration's value: four significant digits."""
    if not isinstance(given, (list, tuple, dict)) and pd.isna(given):
        return ""
    return f"{given:.4g}" if isinstance(given, float) else str(given)


def format_exact(given: Any) -> str:
    """A value as it was declared."""
    return (
        f"{given:.10g}" if isinstance(given, float) and not pd.isna(given) else format_value(given)
    )


def field_heading(path: str) -> str:
    """A dotted field as a column's heading: ``sparsity.ramp.start`` is ``Ramp start``."""
    words = " ".join(path.split(".")[1:]).replace("_", " ")
    return {"target": "Sparsity (%)", "lr": "Learning rate"}.get(words, words.capitalize())


def list_names(names: list[str], most: int = 4) -> str:
    """The first few of a list: ``a, b and 12 more``."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
