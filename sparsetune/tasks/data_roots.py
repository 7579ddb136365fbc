"""Folders of data: the one that the user gave, and the cache that downloads go to."""

from __future__ import annotations

import os
from pathlib import Path


def given_root(data_root: Path | None) -> Path | None:
    """Absolute ``data_root``, or else ``$SPARSETUNE_DATA``; None if neither is given."""
    given = data_root or os.environ.get("SPARSETUNE_DATA")
    return Path(given).expanduser().resolve() if given else None


def cache_root() -> Path:
    """Absolute ``$SPARSETUNE_CACHE``, by default ``~/.cache/sparsetune``."""
    return Path(os.environ.get("SPARSETUNE_CACHE") or "~/.cache/sparsetune").expanduser().resolve()
