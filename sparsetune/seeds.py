"""Seeds: all randomness of a trial is a function of its seed and its purpose, never of order."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A seed in [0, 2^63) for one purpose, unrelated to those of other purposes or seeds."""
    text = ":".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1
