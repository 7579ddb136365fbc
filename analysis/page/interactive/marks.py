"""Colours, markers and legend entries of a drawn figure as a page shows them: CSS, Plotly's names, paths of an SVG."""

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
}
PLOTLY_SYMBOLS |= {
    "X": "x",
    "*": "star",
    "<": "triangle-left",
    ">": "triangle-right",
    "p": "pentagon",
    "h": "hexagon2",
}
PLOTLY_SYMBOLS |= {
    "d": "diamond-tall",
    "+": "cross-thin-open",
    "x": "x-thin-open",
    ".": "circle",
    "|": "line-ns-open",
}
PLOTLY_SYMBOLS |= {"_": "line-ew-open"}
"""Plotly's names of Matplotlib's markers."""
PLOTLY_DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
EMPTY_STYLES = ("None", "none", " ", "", None)
"""What Matplotlib calls no marker, and no line."""
PIXELS_PER_POINT = 96 / 72
"""Of a page for each point of a figure."""


def css_colour(colour: Any) -> str:
    """A colour, with its opacity where it has one."""
    from matplotlib.colors import to_rgba

    red, green, blue, alpha = to_rgba(colour)
    plain = [round(255 * part) for part in (red, green, blue)]
    return (
        "#{:02x}{:02x}{:02x}".format(*plain)
        if alpha == 1
        else "rgba({}, {}, {}, {:.3g})".format(*plain, alpha)
    )


def json_numbers(values: Any) -> list[float | None]:
    """As JSON knows them: six significant digits, None for what is missing."""
    return [
        round_significant(value) if np.isfinite(value) else None
        for value in np.asarray(values, dtype=np.float64)
    ]


def round_significant(value: Any) -> float:
    """Six significant digits."""
    return float(f"{float(value):.6g}")


def fill_masked(values: Any) -> np.ndarray:
    """As floats, NaN for what is masked."""
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)


def plotly_marker(line: Any) -> dict[str, Any]:
    """Plotly's marker of a Line2D."""
    outline = {
        "color": css_colour(line.get_markeredgecolor()),
        "width": round_significant(line.get_markeredgewidth()),
    }
    symbol = PLOTLY_SYMBOLS.get(line.get_marker(), "circle")
    size = round_significant(PIXELS_PER_POINT * line.get_markersize())
    return {
        "symbol": symbol,
        "size": size,
        "color": css_colour(line.get_markerfacecolor()),
        "line": outline,
    }


def plotly_symbol(path: Any) -> str:
    """Plotly's name of the marker that a path outlines."""
    from matplotlib.markers import MarkerStyle

    for mark, name in PLOTLY_SYMBOLS.items():
        style = MarkerStyle(mark)
        own = np.asarray(style.get_path().transformed(style.get_transform()).vertices)
        if own.shape == path.vertices.shape and np.allclose(own, path.vertices):
            return name
    return "circle"


def colour_scale(colours: Any) -> list[list[Any]]:
    """A colour map at 17 places of its range."""
    return [
        [round_significant(share), css_colour(colours(float(share)))]
        for share in np.linspace(0, 1, 17)
    ]


def colour_bar(bar: Any) -> dict[str, Any]:
    """A colour bar, its ticks where the colours of their values are."""
    axis = bar.long_axis
    ticks = np.asarray(axis.get_majorticklocs(), dtype=np.float64)
    words = [html.escape(str(word)) for word in axis.get_major_formatter().format_ticks(ticks)]
    title = {"text": html.escape(axis.get_label_text()), "side": "right"}
    return {
        "tickvals": json_numbers(fill_masked(bar.norm(ticks))),
        "ticktext": words,
        "title": title,
        "thickness": 12,
    }


def legend_swatch(artist: Any) -> dict[str, str]:
    """How a legend shows an artist: ``colour fill dash mark``, the last an SVG path around 0, 0."""
    from matplotlib.lines import Line2D

    artist = artist.lines[0] if hasattr(artist, "has_yerr") else artist
    if isinstance(artist, Line2D):
        dash = PLOTLY_DASHES.get(artist.get_linestyle(), "")
        colour = css_colour(artist.get_color())
        fill = css_colour(artist.get_markerfacecolor())
        return {
            "colour": colour,
            "fill": fill,
            "dash": dash,
            "mark": _marker_path(artist.get_marker()),
        }
    face, edge = (_first_colour(getattr(artist, f"get_{part}color")()) for part in ("face", "edge"))
    path = (
        artist.get_paths()[0]
        if hasattr(artist, "get_paths") and len(artist.get_paths()) == 1
        else None
    )
    near = (
        path is not None and np.abs(np.asarray(path.vertices)).max() <= 1
    )  # a marker, no shape of the data
    return {
        "colour": edge or face or "#333333",
        "fill": face or "#ffffff",
        "dash": "",
        "mark": _svg_path(path) if near else _marker_path("s"),
    }


def _first_colour(colours: Any) -> str:
    """The first of a collection's colours, or a patch's; empty for none."""
    colours = np.asarray(colours, dtype=np.float64)
    return css_colour(np.atleast_2d(colours)[0]) if colours.size else ""


def _marker_path(marker: Any) -> str:
    from matplotlib.markers import MarkerStyle

    if marker in EMPTY_STYLES:
        return ""
    style = MarkerStyle(marker)
    return _svg_path(style.get_path().transformed(style.get_transform()))


def _svg_path(path: Any) -> str:
    """A marker's path as an SVG has it."""
    parts: Any = path.to_polygons(closed_only=False)
    return " ".join(f"M{'L'.join(f'{9 * x:.2f},{-9 * y:.2f}' for x, y in part)}Z" for part in parts)
