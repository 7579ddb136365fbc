"""Bytes and durations in words."""

from __future__ import annotations

import math

GIB_BYTES = 1 << 30
MIB_BYTES = 1 << 20
DAY_SECONDS = 86_400
SHORT_SECONDS = 5
"""An estimate below this is a few seconds."""
ESTIMATE_STEPS = ((175, 10), (3_570, 60), (2 * DAY_SECONDS, 300))
"""Steps in seconds that estimates are rounded to, each up to a limit in seconds."""


def format_bytes(size: float) -> str:
    """A number of bytes in words: ``1.5 GiB``, ``320 MiB``, ``4 KiB``."""
    for unit, unit_bytes in (("GiB", GIB_BYTES), ("MiB", MIB_BYTES)):
        # 0.95: 990 MiB read better as 0.967 GiB than as a number of four digits.
        if size >= 0.95 * unit_bytes:
            return f"{size / unit_bytes:.3g} {unit}"
    return f"{math.ceil(size / 1024)} KiB"


def format_duration(seconds: float) -> str:
    """A duration in words: ``1 h 05 min``, ``2 min 07 s``, ``9 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    if minutes:
        return f"{minutes} min {rest:02d} s"
    return f"{rest} s"


def format_time_left(seconds: float) -> str:
    """An estimated duration, no finer than it is known: ``about 7 min left``."""
    if seconds < SHORT_SECONDS:
        return "a few seconds left"
    for limit, step in ESTIMATE_STEPS:
        if seconds < limit:
            rounded = format_duration(step * round(seconds / step))
            return f"about {rounded.removesuffix(' 00 s')} left"
    return f"about {seconds / DAY_SECONDS:.2g} days left"
