"""Values, names and rows of a table as messages quote them."""

from __future__ import annotations

from collections.abc import Iterable


def quote_value(value: object, longest: int = 40) -> str:
    """A value for a message, quoted, and cut after ``longest`` characters."""
    try:
        text = str(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return f"`{text[:longest]}…`" if len(text) > longest else f"`{text}`"


def list_names(names: Iterable[str], most: int = 40) -> str:
    """Quoted names for a message, at most ``most``; ``none`` where there are none."""
    names = list(names)
    quoted = ", ".join(quote_value(name) for name in names[:most])
    rest = len(names) - most
    return (quoted + (f" and {rest} more" if rest > 0 else "")) or "none"
