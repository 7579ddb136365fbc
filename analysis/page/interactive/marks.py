"""Colours, markers and legend entries of a drawn figure, as CSS, Plotly and SVG write them."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

PLOTLY_SYMBOLS = {
    "o": "circle",
    "s": "square",
    "D": "diamond",
    "^": "triangle-up",
    "v": "triangle-down",
    "P": "cross",
    "X": "x",
    "*": "star",
    "<": "triangle-left",
    ">": "triangle-right",
    "p": "pentagon",
    "h": "hexagon2",
    "d": "diamond-tall",
    "+": "cross-thin-open",
    "x": "x-thin-open",
    ".": "circle",
    "|": "line-ns-open",
    "_": "line-ew-open",
}
"""Plotly's names by Matplotlib's markers."""
PLOTLY_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
"""Plotly's names by Matplotlib's line styles."""
EMPTY_STYLES = ("None", "none", " ", "", None)
"""Matplotlib's names of no marker, and of no line."""
PIXELS_PER_POINT = 96 / 72
"""CSS pixels of a page for each point of a figure."""
N_COLOUR_STOPS = 17
"""Colours that a colour map is sampled at."""
SVG_MARKER_SCALE = 9
"""Size of a legend's marker in pixels, for one unit of Matplotlib's marker paths."""


def css_colour(colour: Any) -> str:
    """A colour in CSS, with its opacity if it is not opaque."""
    from matplotlib.colors import to_rgba

    red, green, blue, alpha = to_rgba(colour)
    parts = [round(255 * part) for part in (red, green, blue)]
    if alpha == 1:
        return "#{:02x}{:02x}{:02x}".format(*parts)
    return "rgba({}, {}, {}, {:.3g})".format(*parts, alpha)


def json_numbers(values: Any) -> list[float | None]:
    """Numbers for JSON, shape [n]: six significant digits, None for NaN and infinities."""
    numbers = np.asarray(values, dtype=np.float64)
    return [round_significant(value) if np.isfinite(value) else None for value in numbers]


def round_significant(value: Any) -> float:
    """A number rounded to six significant digits."""
    return float(f"{float(value):.6g}")


def fill_masked(values: Any) -> np.ndarray:
    """An array of floats in which NaN stands for masked values, of the shape given."""
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)


def plotly_marker(line: Any) -> dict[str, Any]:
    """Plotly's marker for the markers of a Line2D."""
    outline = {
        "color": css_colour(line.get_markeredgecolor()),
        "width": round_significant(line.get_markeredgewidth()),
    }
    return {
        "symbol": PLOTLY_SYMBOLS.get(line.get_marker(), "circle"),
        "size": round_significant(PIXELS_PER_POINT * line.get_markersize()),
        "color": css_colour(line.get_markerfacecolor()),
        "line": outline,
    }


def plotly_symbol(path: Any) -> str:
    """Plotly's name of the marker with a path; ``circle`` if the path is of no known marker."""
    from matplotlib.markers import MarkerStyle

    for marker, name in PLOTLY_SYMBOLS.items():
        style = MarkerStyle(marker)
        known = np.asarray(style.get_path().transformed(style.get_transform()).vertices)
        if known.shape == path.vertices.shape and np.allclose(known, path.vertices):
            return name
    return "circle"


def colour_scale(colours: Any) -> list[list[Any]]:
    """A colour map as pairs of a share of its range, in [0, 1], and a colour."""
    shares = np.linspace(0, 1, N_COLOUR_STOPS)
    return [[round_significant(share), css_colour(colours(float(share)))] for share in shares]


def colour_bar(bar: Any) -> dict[str, Any]:
    """Plotly's colour bar, whose ticks are where the colours of their values are."""
    axis = bar.long_axis
    ticks = np.asarray(axis.get_majorticklocs(), dtype=np.float64)
    labels = [html.escape(str(text)) for text in axis.get_major_formatter().format_ticks(ticks)]
    return {
        "tickvals": json_numbers(fill_masked(bar.norm(ticks))),
        "ticktext": labels,
        "title": {"text": html.escape(axis.get_label_text()), "side": "right"},
        "thickness": 12,
    }


def legend_swatch(artist: Any) -> dict[str, str]:
    """The sample of an artist in a legend.

    Returns:
        ``colour``, ``fill``, ``dash`` (empty without a line) and ``mark``, an SVG path around
        0, 0 (empty without a marker).
    """
    from matplotlib.lines import Line2D

    if hasattr(artist, "has_yerr"):
        # The line of a container of error bars stands for all of it.
        artist = artist.lines[0]
    if isinstance(artist, Line2D):
        return _line_swatch(artist)
    face = _first_colour(artist.get_facecolor())
    edge = _first_colour(artist.get_edgecolor())
    return {
        "colour": edge or face or "#333333",
        "fill": face or "#ffffff",
        "dash": "",
        "mark": _collection_marker(artist),
    }


def _line_swatch(line: Any) -> dict[str, str]:
    return {
        "colour": css_colour(line.get_color()),
        "fill": css_colour(line.get_markerfacecolor()),
        "dash": PLOTLY_DASHES.get(line.get_linestyle(), ""),
        "mark": _marker_path(line.get_marker()),
    }


def _collection_marker(artist: Any) -> str:
    """The marker of a scatter as an SVG path; a square for a patch and for shapes of the data."""
    paths = artist.get_paths() if hasattr(artist, "get_paths") else []
    if len(paths) == 1:
        largest = np.abs(np.asarray(paths[0].vertices)).max()
        # Paths of markers lie within one unit of 0, 0; shapes of the data have data coordinates.
        if largest <= 1:
            return _svg_path(paths[0])
    return _marker_path("s")


def _first_colour(colours: Any) -> str:
    """The colour of a patch, or the first of a collection's; empty if there is none."""
    colours = np.asarray(colours, dtype=np.float64)
    return css_colour(np.atleast_2d(colours)[0]) if colours.size else ""


def _marker_path(marker: Any) -> str:
    """A marker as an SVG path; empty for no marker."""
    from matplotlib.markers import MarkerStyle

    if marker in EMPTY_STYLES:
        return ""
    style = MarkerStyle(marker)
    return _svg_path(style.get_path().transformed(style.get_transform()))


def _svg_path(path: Any) -> str:
    """A path of Matplotlib as an SVG path, in which y points downwards."""
    outlines = []
    for polygon in path.to_polygons(closed_only=False):
        points = [f"{SVG_MARKER_SCALE * x:.2f},{-SVG_MARKER_SCALE * y:.2f}" for x, y in polygon]
        outlines.append(f"M{'L'.join(points)}Z")
    return " ".join(outlines)
