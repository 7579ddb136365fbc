"""A figure that a notebook shows without `%matplotlib`; imported only when something is drawn."""

from __future__ import annotations

from matplotlib.figure import Figure

from ..notebook import render_png


class ShownFigure(Figure):
    """A figure of matplotlib that knows itself as a PNG."""

    def _repr_png_(self) -> bytes:
        return render_png(self)
