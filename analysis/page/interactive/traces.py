"""Artists of a drawn panel as Plotly's traces: every mark lies where it was drawn."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.page.interactive.marks import (
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Trace = dict[str, Any]


class UnreadableError(Exception):
    """An artist that has no counterpart: the figure can only be shown as drawn."""


class Panel:
    """One Axes, laid out. Both of Plotly's axes are linear, in the coordinates to which the scales map the data."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.sides = (axes.xaxis, axes.yaxis)
        self.ends = [
            axis.get_transform().transform(np.asarray(axis.get_view_interval()))
            for axis in self.sides
        ]

    def positions(self, points: Any, transform: Any) -> tuple[np.ndarray, np.ndarray]:
        """Points, shape [n, 2], that an artist draws through ``transform``, on Plotly's axes."""
        points = fill_masked(np.ma.masked_invalid(fill_masked(points).reshape(-1, 2)))
        if not len(points):
            return np.empty(0), np.empty(0)
        with np.errstate(all="ignore"):
            shares = self.axes.transAxes.inverted().transform(
                fill_masked(transform.transform(points))
            )
        x, y = (
            ends[0] + share * (ends[1] - ends[0])
            for ends, share in zip(self.ends, shares.T, strict=True)
        )
        return x, y

    def label(self, which: str) -> str:
        """The label of the ``x`` or ``y`` axis, its lines apart, or a neighbour's: a grid is labelled at its edge."""
        axes = self.axes
        place = axes.get_subplotspec()
        shared = getattr(axes, f"get_shared_{which}_axes")().get_siblings(axes)
        span = "colspan" if which == "x" else "rowspan"
        for other in [axes, *axes.figure.axes]:
            spec = other.get_subplotspec()
            beside = place and spec and getattr(place, span) == getattr(spec, span)
            if (other in shared or beside) and (
                text := getattr(other, f"{which}axis").get_label_text()
            ):
                return "\n".join(" ".join(line.split()) for line in str(text).splitlines())
        return ""

    def hover_texts(self, artist: Any, name: str, points: np.ndarray) -> Trace:
        """What each point says when pointed at: what its artist was described with, else where it lies."""
        x_label, y_label = (
            self.label(which).replace("\n", " ").partition(", ")[0] for which in "xy"
        )
        given = getattr(artist, "told", None)
        if given is None and self._is_linear():
            lines = [name, f"{x_label}: %(x)", f"{y_label}: %(y)"]
            said = "<br>".join(html.escape(line).replace("%{", "%&#123;") for line in lines if line)
            said = said.replace("%(x)", "%{x:.4~g}").replace("%(y)", "%{y:.4~g}")
            return {"hovertemplate": f"{said}<extra></extra>"}
        if given is None:
            told = [
                [name, f"{x_label}: {self._words(0, x)}", f"{y_label}: {self._words(1, y)}"]
                for x, y in points
            ]
        else:
            parts = [text.split("\n") for text in given]
            told = [
                [name, *part[:-1], f"{y_label}: {part[-1]}" if y_label else part[-1]]
                for part in parts
            ]
        lines = ["<br>".join(html.escape(line) for line in parts if line) for parts in told]
        return {"hoverinfo": "text", "hovertext": lines}

    def _is_linear(self) -> bool:
        """Whether coordinates of the page are those of the data."""
        plain = all(axis.get_scale() == "linear" for axis in self.sides)
        return plain and not (self.axes.fmt_xdata or self.axes.fmt_ydata)

    def _words(self, side: int, value: float) -> str:
        """A coordinate as its axis would say it."""
        say = (self.axes.fmt_xdata, self.axes.fmt_ydata)[side]
        return str(say(value)) if say else f"{value:.4g}"

    def traces(self) -> list[Trace]:
        """All that the panel shows but text, from the back to the front.

        Raises:
            UnreadableError: if there is something that has no counterpart.
        """
        axes = self.axes
        known: list[Any] = list(axes.containers)
        bars = [part for part in known if hasattr(part, "has_yerr") and part.lines[0] is not None]
        own = {id(part) for bar in bars for part in _error_bar_parts(bar)}
        artists = [*axes.patches, *axes.collections, *axes.images, *axes.lines]
        drawn = [
            (artist.get_zorder(), list(artist_traces(self, artist)))
            for artist in artists
            if id(artist) not in own and artist.get_visible()
        ]
        drawn += [
            (
                min(part.get_zorder() for part in _error_bar_parts(bar)),
                [error_bar_traces(self, bar)],
            )
            for bar in bars
        ]
        return [trace for _, found in sorted(drawn, key=lambda pair: pair[0]) for trace in found]


def artist_traces(panel: Panel, artist: Any) -> Iterator[Trace]:
    """Those of one artist."""
    from matplotlib.collections import LineCollection, PathCollection, QuadMesh
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.transforms import IdentityTransform

    if isinstance(artist, Line2D):
        yield line_trace(panel, artist)
    elif isinstance(artist, PathCollection):
        yield scatter_traces(panel, artist)
    elif isinstance(artist, LineCollection):
        yield from segment_traces(panel, artist)
    elif isinstance(artist, Patch):
        yield area_trace(panel, artist, artist.get_path(), artist.get_facecolor())
    elif isinstance(artist, QuadMesh | AxesImage):
        yield raster_traces(panel, artist)
    elif hasattr(artist, "get_paths") and isinstance(
        artist.get_offset_transform(), IdentityTransform
    ):
        yield from shape_traces(panel, artist)
    else:
        raise UnreadableError(type(artist).__name__)


def line_trace(panel: Panel, drawn: Any) -> Trace:
    """A line, its markers, or both."""
    points = np.column_stack(
        [np.atleast_1d(part) for part in np.broadcast_arrays(*drawn.get_data(orig=False))]
    )
    name = _legend_name(drawn)
    style = drawn.get_linestyle()
    trace = _trace(
        *panel.positions(points, drawn.get_transform()),
        name,
        panel.hover_texts(drawn, name, points),
    )
    lines = style not in EMPTY_STYLES
    markers = drawn.get_marker() not in EMPTY_STYLES
    stroke = {
        "color": css_colour(drawn.get_color()),
        "width": round_significant(PIXELS_PER_POINT * drawn.get_linewidth()),
    }
    trace["line"] = stroke | ({"dash": PLOTLY_DASHES.get(style, "dash")} if lines else {})
    trace["mode"] = "+".join(["lines"] * lines + ["markers"] * markers) or "none"
    return (
        trace
        | {"opacity": drawn.get_alpha() or 1}
        | ({"marker": plotly_marker(drawn)} if markers else {})
    )


def error_bar_traces(panel: Panel, bars: Any) -> Trace:
    """Means with error bars."""
    drawn, _, spans = bars.lines
    name = _legend_name(bars)
    points = np.column_stack(drawn.get_data(orig=False))
    drawn_line = {
        key: value for key, value in line_trace(panel, drawn).items() if not key.startswith("hover")
    }
    trace = drawn_line | {"name": name} | panel.hover_texts(bars, name, points)
    sides = [side for side, has in (("x", bars.has_xerr), ("y", bars.has_yerr)) if has]
    for side, span in zip(sides, spans, strict=True):
        rank = "xy".index(side)
        pairs = [part if len(part) else np.full((2, 2), np.nan) for part in span.get_segments()]
        ends = panel.positions(pairs, span.get_transform())[rank].reshape(-1, 2)
        middle = panel.positions(points, drawn.get_transform())[rank]
        over = np.nan_to_num(ends.max(axis=1) - middle)
        under = np.nan_to_num(middle - ends.min(axis=1))
        trace[f"error_{side}"] = {
            **{
                "type": "data",
                "symmetric": False,
                "array": json_numbers(over),
                "arrayminus": json_numbers(under),
            },
            **{"color": css_colour(span.get_color()[0]), "thickness": 1.3, "width": 3},
        }
    return trace


def scatter_traces(panel: Panel, dots: Any) -> Trace:
    """Points of one marker, coloured alike, each for itself, or by a map that a colour bar explains."""
    points = fill_masked(dots.get_offsets())
    name = _legend_name(dots)
    faces = dots.get_facecolor()
    edges = dots.get_edgecolor()
    sizes = PIXELS_PER_POINT * np.sqrt(dots.get_sizes())
    hollow = not len(faces)
    colours = faces if len(faces) else edges
    symbol = plotly_symbol(dots.get_paths()[0])
    marker: dict[str, Any] = {
        "symbol": f"{symbol}-open" if hollow and not symbol.endswith("-open") else symbol
    }
    marker["size"] = json_numbers(sizes) if len(sizes) > 1 else round_significant(sizes[0])
    marker["color"] = (
        [css_colour(colour) for colour in colours] if len(colours) > 1 else css_colour(colours[0])
    )
    if not hollow and len(edges) == 1:
        marker["line"] = {"color": css_colour(edges[0]), "width": 0.8}
    if dots.colorbar:
        marker |= {
            "color": json_numbers(fill_masked(dots.norm(dots.get_array()))),
            "cmin": 0,
            "cmax": 1,
            "showscale": True,
        }
        marker |= {"colorscale": colour_scale(dots.cmap), "colorbar": colour_bar(dots.colorbar)}
    trace = _trace(
        *panel.positions(points, dots.get_offset_transform()),
        name,
        panel.hover_texts(dots, name, points),
    )
    return trace | {"mode": "markers", "marker": marker}


def segment_traces(panel: Panel, drawn: Any) -> Iterator[Trace]:
    """Lines that stand alone, a trace per colour."""
    colours = drawn.get_color()
    width = round_significant(PIXELS_PER_POINT * float(drawn.get_linewidth()[0]))
    groups: dict[str, list[np.ndarray]] = {}
    for number, segment in enumerate(drawn.get_segments()):
        groups.setdefault(css_colour(colours[number % len(colours)]), []).append(
            np.asarray(segment)
        )
    for colour, own in groups.items():
        trace = _trace(
            *panel.positions(_with_gaps(own), drawn.get_transform()), _legend_name(drawn)
        )
        yield trace | {"mode": "lines", "line": {"color": colour, "width": width}}


def shape_traces(panel: Panel, drawn: Any) -> Iterator[Trace]:
    """Bands and contours, filled or not."""
    faces = drawn.get_facecolor()
    edges = drawn.get_edgecolor()
    for number, path in enumerate(drawn.get_paths()):
        if not len(path.vertices):
            continue
        trace = area_trace(panel, drawn, path, faces[number % len(faces)] if len(faces) else "none")
        if not len(faces) and len(edges):
            trace["line"] = {"color": css_colour(edges[number % len(edges)]), "width": 1}
            del trace["fill"]
        yield trace


def area_trace(panel: Panel, artist: Any, path: Any, colour: Any) -> Trace:
    """One filled shape."""
    points = _with_gaps(path.to_polygons(closed_only=False))[:-1]
    trace = _trace(*panel.positions(points, artist.get_transform()), _legend_name(artist))
    return trace | {
        "mode": "lines",
        "fill": "toself",
        "fillcolor": css_colour(colour),
        "line": {"width": 0},
    }


def raster_traces(panel: Panel, image: Any) -> Trace:
    """A map of coloured cells, with its colour bar."""
    if hasattr(image, "get_coordinates"):
        corners = np.asarray(image.get_coordinates())
        x = corners[0, :, 0]
        y = corners[:, 0, 1]
    else:
        left, right, bottom, top = image.get_extent()
        rows, columns = np.asarray(image.get_array()).shape[:2]
        x = np.linspace(left, right, columns + 1)
        y = np.linspace(bottom, top, rows + 1)
        y = y[::-1] if image.origin == "upper" else y
    values = fill_masked(image.get_array()).reshape(len(y) - 1, len(x) - 1)
    told = getattr(image, "told", None) or [f"{value:.4g}" for value in values.ravel()]
    said = ["<br>".join(map(html.escape, text.split("\n"))) for text in told]
    across = panel.positions(np.column_stack([x, np.full(len(x), y[0])]), panel.axes.transData)[0]
    up = panel.positions(np.column_stack([np.full(len(y), x[0]), y]), panel.axes.transData)[1]
    scale = {
        "zmin": 0,
        "zmax": 1,
        "colorscale": colour_scale(image.cmap),
        "showscale": bool(image.colorbar),
    }
    return {
        **{
            "type": "heatmap",
            "name": _legend_name(image),
            "x": json_numbers(across),
            "y": json_numbers(up),
            **scale,
        },
        **{
            "z": [json_numbers(row) for row in fill_masked(image.norm(values))],
            "hoverinfo": "text",
        },
        **{"text": np.reshape(said, values.shape).tolist()},
        **({"colorbar": colour_bar(image.colorbar)} if image.colorbar else {}),
    }


def _error_bar_parts(bars: Any) -> list[Any]:
    drawn, caps, spans = bars.lines
    return [part for part in (drawn, *caps, *spans) if part is not None]


def _with_gaps(parts: Iterable[Any]) -> np.ndarray:
    """Lines one after the other, a missing point behind each; those of missing values have no point at all."""
    known = [part for part in map(np.asarray, parts) if len(part)]
    return np.concatenate(
        [np.empty((0, 2)), *(np.vstack([part, [[np.nan, np.nan]]]) for part in known)]
    )


def _trace(x: np.ndarray, y: np.ndarray, name: str, hover: Trace | None = None) -> Trace:
    return {
        "type": "scatter",
        "x": json_numbers(x),
        "y": json_numbers(y),
        "name": name,
        **(hover or {"hoverinfo": "skip"}),
    }


def _legend_name(artist: Any) -> str:
    """What the legend calls it; empty where it is in none."""
    label = str(artist.get_label() or "")
    return "" if label.startswith("_") else label
