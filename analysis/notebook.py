"""Results in a notebook: their table and figure, without `%matplotlib` or a call of `plot`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsetune.errors import SparsetuneError
from sparsetune.notebook import html_picture, html_table, html_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PIXELS_PER_INCH = 80
"""Pixels of the page for an inch of a figure."""
PICTURE_SCALE = 1.5
"""Pixels of the picture for one of the page, for sharp screens."""


class Shown:
    """Base of results with ``frame()`` and, where they have them, ``plot()`` and ``note()``."""

    def frame(self) -> pd.DataFrame:
        """The numbers."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """Figure, caption and table, as a notebook shows them."""
        parts = []
        plot = getattr(self, "plot", None)
        note = getattr(self, "note", None)
        if plot is not None:
            parts.append(_picture_of(plot))
        if note is not None:
            parts.append(html_text(note()))
        return "\n".join([*parts, frame_html(self.frame())])


def _picture_of(plot: Any) -> str:
    try:
        figure = plot()
    except SparsetuneError as error:
        return html_text(str(error))  # nothing to draw yet
    width = round(PIXELS_PER_INCH * figure.get_size_inches()[0])
    return html_picture(render_png(figure), width)


def render_png(figure: Figure) -> bytes:
    """A figure as the content of a PNG file, for a screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    FigureCanvasAgg(figure).print_figure(content, dpi=PICTURE_SCALE * PIXELS_PER_INCH)
    return content.getvalue()


def frame_html(frame: pd.DataFrame) -> str:
    """A frame as an HTML table: four digits, and nothing where a value is missing."""
    rows = [[_cell_text(value) for value in row] for row in frame.itertuples(index=False)]
    return html_table([str(name) for name in frame.columns], rows)


def _cell_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if pd.isna(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
