"""The console that everything is printed to: what comes from a study reaches it as text alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from sparsetune.errors import printable


class TextConsole(Console):
    """A console of rich whose texts hold no control characters, wherever they came from.

    Styles and the moves of a live display are rich's own, and stay.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, **options})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Parts of what is printed, with every control character in its text escaped."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)
