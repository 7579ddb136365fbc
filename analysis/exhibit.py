"""One thing that a report shows: numbers, a caption that says what they are, and how to draw them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Exhibit:
    """A figure with its numbers, or a table alone.

    Args:
        name: Stem of its files: ``extension-gain``.
        title: A heading, without a full stop.
        frame: The numbers, one row per mark; they are written beside the figure as a CSV.
        caption: What marks, bars and n mean, and what may not be concluded.
        draw: Makes the figure when asked; None where the table is all there is.
        columns: Of the frame that the page's table shows, with their headings; None for no table. Three names with
            spaces between are a value with its interval: ``"mean low high"``. A heading with ``(%)`` or ``(points)``
            prints a fraction times 100.
    """

    name: str
    title: str
    frame: pd.DataFrame
    caption: str
    draw: Callable[[], Figure] | None = None
    columns: dict[str, str] | None = None
