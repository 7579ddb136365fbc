"""Geometry and hover texts of one drawn panel."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...drawing.marks import attached_hover_texts
from .marks import fill_masked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Trace = dict[str, Any]
"""A trace of Plotly, or some keys of one; plain lists, numbers, texts and None."""


class Panel:
    """One Axes, laid out.

    Both of Plotly's axes are linear, in the coordinates to which Matplotlib's scales map the data.

    Args:
        axes: The Axes.
    """

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.sides = (axes.xaxis, axes.yaxis)
        self.ends: list[np.ndarray] = []
        """Ends of Plotly's x and y axis, shape [2, 2]."""
        for axis in self.sides:
            interval = np.asarray(axis.get_view_interval())
            self.ends.append(axis.get_transform().transform(interval))

    def positions(self, points: Any, transform: Any) -> tuple[np.ndarray, np.ndarray]:
        """Positions of points on Plotly's x and y axis, shape [n] each; NaN for missing ones.

        Args:
            points: Shape [n, 2], in the coordinates of ``transform``.
            transform: The transform that an artist draws the points through.
        """
        points = fill_masked(np.ma.masked_invalid(fill_masked(points).reshape(-1, 2)))
        if not len(points):
            return np.empty(0), np.empty(0)
        # Scales warn of what they cannot show, such as 0 on a logarithmic axis.
        with np.errstate(all="ignore"):
            pixels = fill_masked(transform.transform(points))
            shares = self.axes.transAxes.inverted().transform(pixels)
        x_ends, y_ends = self.ends
        x = x_ends[0] + shares[:, 0] * (x_ends[1] - x_ends[0])
        y = y_ends[0] + shares[:, 1] * (y_ends[1] - y_ends[0])
        return x, y

    def label(self, which: str) -> str:
        """The label of the ``x`` or ``y`` axis, one or several lines; empty if there is none.

        In a grid only panels at the edge have labels, so the label of a panel in the same row or
        column counts too.
        """
        axes = self.axes
        place = axes.get_subplotspec()
        shared = getattr(axes, f"get_shared_{which}_axes")().get_siblings(axes)
        span = "colspan" if which == "x" else "rowspan"
        for other in [axes, *axes.figure.axes]:
            spec = other.get_subplotspec()
            is_aligned = place and spec and getattr(place, span) == getattr(spec, span)
            text = getattr(other, f"{which}axis").get_label_text()
            if text and (other in shared or is_aligned):
                lines = [" ".join(line.split()) for line in str(text).splitlines()]
                return "\n".join(lines)
        return ""

    def hover_texts(self, artist: Any, name: str, points: np.ndarray) -> Trace:
        """Keys of a trace for what each point shows when pointed at.

        Args:
            artist: Its attached texts are shown; without any, the positions of its points.
            name: Name of the artist in the legend; empty for none.
            points: Shape [n, 2], in data coordinates.
        """
        x_label = self._label_name("x")
        y_label = self._label_name("y")
        texts = attached_hover_texts(artist)
        # Positions on linear axes are the data, which Plotly can write itself.
        if texts is None and self._has_linear_axes():
            return {"hovertemplate": _position_template(name, x_label, y_label)}
        if texts is None:
            labels = (x_label, y_label)
            lines_by_point = [[name, *self._position_lines(point, labels)] for point in points]
        else:
            lines_by_point = [_labelled_lines(name, y_label, text) for text in texts]
        return {"hoverinfo": "text", "hovertext": [html_lines(lines) for lines in lines_by_point]}

    def _position_lines(self, point: np.ndarray, labels: tuple[str, str]) -> list[str]:
        """Both coordinates of a point, shape [2], each after the label of its axis."""
        x, y = point
        return [
            f"{labels[0]}: {self._coordinate_text(0, x)}",
            f"{labels[1]}: {self._coordinate_text(1, y)}",
        ]

    def _label_name(self, which: str) -> str:
        """The label of an axis on one line, up to its first comma."""
        label = self.label(which).replace("\n", " ")
        return label.partition(", ")[0]

    def _has_linear_axes(self) -> bool:
        """True if coordinates on the page are those of the data."""
        has_own_formats = self.axes.fmt_xdata or self.axes.fmt_ydata
        return not has_own_formats and all(axis.get_scale() == "linear" for axis in self.sides)

    def _coordinate_text(self, side: int, value: float) -> str:
        """A coordinate in the words of the x axis (``side`` 0) or the y axis (1)."""
        own_format = self.axes.fmt_xdata if side == 0 else self.axes.fmt_ydata
        return str(own_format(value)) if own_format else f"{value:.4g}"


def _position_template(name: str, x_label: str, y_label: str) -> str:
    """Plotly's template for the position of a point, in which the names given are escaped."""
    lines = [
        _escape_template(name),
        f"{_escape_template(x_label)}: %{{x:.4~g}}",
        f"{_escape_template(y_label)}: %{{y:.4~g}}",
    ]
    return f"{'<br>'.join(line for line in lines if line)}<extra></extra>"


def _escape_template(text: str) -> str:
    """Text as HTML in which a name such as ``%{x}`` is no field of Plotly's template."""
    return html.escape(text).replace("%{", "%&#123;")


def _labelled_lines(name: str, y_label: str, text: str) -> list[str]:
    """Lines of an attached text: the name first, the label of the y axis before the last."""
    *where, found = text.split("\n")
    return [name, *where, f"{y_label}: {found}" if y_label else found]


def html_lines(lines: Sequence[str]) -> str:
    """Lines as HTML, each escaped; empty ones are left out."""
    return "<br>".join(html.escape(line) for line in lines if line)
