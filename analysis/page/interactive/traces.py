"""Artists of a drawn panel as Plotly's traces: every mark lies where it was drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from ...drawing.marks import attached_hover_texts, is_key
from .marks import (
    EMPTY_STYLES,
    PIXELS_PER_POINT,
    PLOTLY_DASHES,
    colour_bar,
    colour_scale,
    css_colour,
    fill_masked,
    json_numbers,
    plotly_marker,
    plotly_symbol,
    round_significant,
)
from .panel import Panel, Trace, html_lines


class UnreadableError(Exception):
    """Raised for an artist that has no counterpart: the figure can only be shown as drawn."""


def panel_traces(panel: Panel) -> list[Trace]:
    """Everything that the panel shows except text, from the back to the front.

    Raises:
        UnreadableError: if there is an artist that has no counterpart.
    """
    axes = panel.axes
    bar_layers = []
    # A container of error bars becomes one trace, so its parts are none of their own.
    parts_of_bars: set[int] = set()
    for container in _error_bar_containers(axes):
        parts = _error_bar_parts(container)
        parts_of_bars.update(map(id, parts))
        order = min(part.get_zorder() for part in parts)
        bar_layers.append((order, [error_bar_trace(panel, container)]))
    artists = [*axes.patches, *axes.collections, *axes.images, *axes.lines]
    drawn = [one for one in artists if id(one) not in parts_of_bars and not is_key(one)]
    shown = [one for one in drawn if one.get_visible()]
    layers = [(artist.get_zorder(), artist_traces(panel, artist)) for artist in shown]
    # Bars come after artists of the same order, since sorting keeps the order of equal ones.
    layers += bar_layers
    layers.sort(key=lambda layer: layer[0])
    return list(chain.from_iterable(traces for _, traces in layers))


def _error_bar_containers(axes: Any) -> list[Any]:
    """Containers of error bars whose means are drawn."""
    bars = [container for container in axes.containers if hasattr(container, "has_yerr")]
    return [container for container in bars if container.lines[0] is not None]


def artist_traces(panel: Panel, artist: Any) -> list[Trace]:
    """The traces of one artist; none if it shows nothing.

    Raises:
        UnreadableError: if the artist has no counterpart.
    """
    from matplotlib.collections import LineCollection, PathCollection, QuadMesh
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.transforms import IdentityTransform

    if isinstance(artist, Line2D):
        return [line_trace(panel, artist)]
    if isinstance(artist, PathCollection):
        return [scatter_trace(panel, artist)]
    if isinstance(artist, LineCollection):
        return list(segment_traces(panel, artist))
    if isinstance(artist, Patch):
        return [area_trace(panel, artist, artist.get_path(), artist.get_facecolor())]
    if isinstance(artist, QuadMesh | AxesImage):
        return [raster_trace(panel, artist)]
    has_paths = hasattr(artist, "get_paths")
    # With another transform, each path is drawn once per offset, as the arrows of a quiver are.
    if has_paths and isinstance(artist.get_offset_transform(), IdentityTransform):
        return list(shape_traces(panel, artist))
    raise UnreadableError(type(artist).__name__)


def line_trace(panel: Panel, line: Any) -> Trace:
    """A line, its markers, or both."""
    x, y = np.broadcast_arrays(*line.get_data(orig=False))
    points = np.column_stack([np.atleast_1d(x), np.atleast_1d(y)])
    name = _legend_name(line)
    style = line.get_linestyle()
    has_line = style not in EMPTY_STYLES
    has_markers = line.get_marker() not in EMPTY_STYLES
    stroke = {
        "color": css_colour(line.get_color()),
        "width": round_significant(PIXELS_PER_POINT * line.get_linewidth()),
    }
    if has_line:
        stroke["dash"] = PLOTLY_DASHES.get(style, "dash")
    hover = panel.hover_texts(line, name, points)
    trace = _scatter(panel.positions(points, line.get_transform()), name, hover)
    trace["line"] = stroke
    trace["mode"] = "+".join(["lines"] * has_line + ["markers"] * has_markers) or "none"
    trace["opacity"] = line.get_alpha() or 1
    if has_markers:
        trace["marker"] = plotly_marker(line)
    return trace


def error_bar_trace(panel: Panel, bars: Any) -> Trace:
    """Means with error bars, from a container of Matplotlib's."""
    line, _, spans = bars.lines
    points = np.column_stack(line.get_data(orig=False))
    name = _legend_name(bars)
    trace = line_trace(panel, line)
    # The label and the hover texts are the container's; the line has none of its own.
    for key in ("hoverinfo", "hovertext", "hovertemplate"):
        trace.pop(key, None)
    trace |= {"name": name, **panel.hover_texts(bars, name, points)}
    middle = panel.positions(points, line.get_transform())
    # Matplotlib has the spans of the x axis first, and none for an axis without bars.
    sides = [0] * bool(bars.has_xerr) + [1] * bool(bars.has_yerr)
    for side, span in zip(sides, spans, strict=True):
        trace[f"error_{'xy'[side]}"] = _error_bars(panel, side, span, middle[side])
    return trace


def _error_bars(panel: Panel, side: int, span: Any, middle: np.ndarray) -> Trace:
    """Plotly's error bars along the x axis (``side`` 0) or the y axis (1).

    Args:
        panel: The panel.
        side: The axis.
        span: Lines of the bars, one per mean; those of missing means have no points.
        middle: Positions of the means along the axis, shape [n].
    """
    no_segment = np.full((2, 2), np.nan)
    segments = [part if len(part) else no_segment for part in span.get_segments()]
    ends = panel.positions(segments, span.get_transform())[side].reshape(-1, 2)
    return {
        "type": "data",
        "symmetric": False,
        "array": json_numbers(np.nan_to_num(ends.max(axis=1) - middle)),
        "arrayminus": json_numbers(np.nan_to_num(middle - ends.min(axis=1))),
        "color": css_colour(span.get_color()[0]),
        "thickness": 1.3,
        "width": 3,
    }


def scatter_trace(panel: Panel, dots: Any) -> Trace:
    """Points with one marker, of one colour, of one each, or by a colour map."""
    points = fill_masked(dots.get_offsets())
    name = _legend_name(dots)
    marker = _scatter_marker(dots)
    if dots.colorbar:
        marker |= {
            "color": json_numbers(fill_masked(dots.norm(dots.get_array()))),
            "cmin": 0,
            "cmax": 1,
            "showscale": True,
            "colorscale": colour_scale(dots.cmap),
            "colorbar": colour_bar(dots.colorbar),
        }
    hover = panel.hover_texts(dots, name, points)
    trace = _scatter(panel.positions(points, dots.get_offset_transform()), name, hover)
    trace["mode"] = "markers"
    trace["marker"] = marker
    return trace


def _scatter_marker(dots: Any) -> dict[str, Any]:
    """Plotly's marker of a scatter, without a colour map."""
    faces = dots.get_facecolor()
    edges = dots.get_edgecolor()
    is_hollow = not len(faces)
    colours = edges if is_hollow else faces
    # An area in square points, as Matplotlib has it, becomes a diameter in pixels.
    sizes = PIXELS_PER_POINT * np.sqrt(dots.get_sizes())
    symbol = plotly_symbol(dots.get_paths()[0])
    if is_hollow and not symbol.endswith("-open"):
        symbol = f"{symbol}-open"
    css_colours = [css_colour(colour) for colour in colours]
    marker: dict[str, Any] = {
        "symbol": symbol,
        "size": json_numbers(sizes) if len(sizes) > 1 else round_significant(sizes[0]),
        "color": css_colours if len(css_colours) > 1 else css_colours[0],
    }
    if not is_hollow and len(edges) == 1:
        marker["line"] = {"color": css_colour(edges[0]), "width": 0.8}
    return marker


def segment_traces(panel: Panel, segments: Any) -> Iterator[Trace]:
    """Lines that stand alone, a trace per colour."""
    colours = segments.get_color()
    width = round_significant(PIXELS_PER_POINT * float(segments.get_linewidth()[0]))
    by_colour: dict[str, list[np.ndarray]] = {}
    for number, segment in enumerate(segments.get_segments()):
        colour = css_colour(colours[number % len(colours)])
        by_colour.setdefault(colour, []).append(np.asarray(segment))
    name = _legend_name(segments)
    for colour, lines in by_colour.items():
        positions = panel.positions(_join_with_gaps(lines), segments.get_transform())
        trace = _scatter(positions, name)
        trace["mode"] = "lines"
        trace["line"] = {"color": colour, "width": width}
        yield trace


def shape_traces(panel: Panel, shapes: Any) -> Iterator[Trace]:
    """Bands and contours, filled or not, a trace per path."""
    faces = shapes.get_facecolor()
    edges = shapes.get_edgecolor()
    for number, path in enumerate(shapes.get_paths()):
        # Levels of a contour that no value reaches have empty paths.
        if not len(path.vertices):
            continue
        face = faces[number % len(faces)] if len(faces) else "none"
        trace = area_trace(panel, shapes, path, face)
        if not len(faces) and len(edges):
            trace["line"] = {"color": css_colour(edges[number % len(edges)]), "width": 1}
            del trace["fill"]
        yield trace


def area_trace(panel: Panel, artist: Any, path: Any, colour: Any) -> Trace:
    """One filled shape.

    Args:
        panel: The panel.
        artist: The artist that the shape belongs to.
        path: Its outline, a path of Matplotlib.
        colour: Its fill.
    """
    # Gaps are only between polygons, not behind the last.
    points = _join_with_gaps(path.to_polygons(closed_only=False))[:-1]
    trace = _scatter(panel.positions(points, artist.get_transform()), _legend_name(artist))
    trace["mode"] = "lines"
    trace["fill"] = "toself"
    trace["fillcolor"] = css_colour(colour)
    trace["line"] = {"width": 0}
    return trace


def raster_trace(panel: Panel, image: Any) -> Trace:
    """A map of coloured cells, with its colour bar if it has one."""
    x, y = _raster_edges(image)
    values = fill_masked(image.get_array()).reshape(len(y) - 1, len(x) - 1)
    texts = attached_hover_texts(image)
    if texts is None:
        texts = [f"{value:.4g}" for value in values.ravel()]
    hover_texts = [html_lines(text.split("\n")) for text in texts]
    bottom = np.column_stack([x, np.full(len(x), y[0])])
    left = np.column_stack([np.full(len(y), x[0]), y])
    x_positions, _ = panel.positions(bottom, panel.axes.transData)
    _, y_positions = panel.positions(left, panel.axes.transData)
    trace = {
        "type": "heatmap",
        "name": _legend_name(image),
        "x": json_numbers(x_positions),
        "y": json_numbers(y_positions),
        "zmin": 0,
        "zmax": 1,
        "colorscale": colour_scale(image.cmap),
        "showscale": bool(image.colorbar),
        "z": [json_numbers(row) for row in fill_masked(image.norm(values))],
        "hoverinfo": "text",
        "text": np.reshape(hover_texts, values.shape).tolist(),
    }
    if image.colorbar:
        trace["colorbar"] = colour_bar(image.colorbar)
    return trace


def _raster_edges(image: Any) -> tuple[np.ndarray, np.ndarray]:
    """Edges of a map's cells in data coordinates, shapes [columns + 1] and [rows + 1]."""
    if hasattr(image, "get_coordinates"):
        corners = np.asarray(image.get_coordinates())
        return corners[0, :, 0], corners[:, 0, 1]
    left, right, bottom, top = image.get_extent()
    rows, columns = np.asarray(image.get_array()).shape[:2]
    x = np.linspace(left, right, columns + 1)
    y = np.linspace(bottom, top, rows + 1)
    return x, y[::-1] if image.origin == "upper" else y


def _error_bar_parts(bars: Any) -> list[Any]:
    """The artists of a container of error bars: its line if there is one, caps, bars."""
    line, caps, spans = bars.lines
    return [part for part in (line, *caps, *spans) if part is not None]


def _join_with_gaps(lines: Iterable[Any]) -> np.ndarray:
    """Lines one after the other with a missing point behind each, shape [n, 2].

    Empty lines are left out. Plotly does not connect points on two sides of a missing one.
    """
    gap = [[np.nan, np.nan]]
    parts = [np.empty((0, 2))]
    for line in map(np.asarray, lines):
        if len(line):
            parts += [line, np.asarray(gap)]
    return np.concatenate(parts)


def _scatter(
    positions: tuple[np.ndarray, np.ndarray], name: str, hover: Trace | None = None
) -> Trace:
    """A trace of points.

    Args:
        positions: Positions on Plotly's x and y axis.
        name: Name in the legend; empty for none.
        hover: Keys of `Panel.hover_texts`; None for points that show nothing when pointed at.
    """
    x, y = positions
    return {
        "type": "scatter",
        "x": json_numbers(x),
        "y": json_numbers(y),
        "name": name,
        **(hover or {"hoverinfo": "skip"}),
    }


def _legend_name(artist: Any) -> str:
    """The artist's name in the legend; empty for none."""
    label = str(artist.get_label() or "")
    # Matplotlib's own names begin with an underscore, and are in no legend.
    return "" if label.startswith("_") else label
