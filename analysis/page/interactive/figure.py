"""Interactive figures for Plotly, read from the drawn ones so that the two cannot disagree."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...drawing.marks import is_key
from .marks import (
    PIXELS_PER_POINT,
    css_colour,
    json_numbers,
    legend_swatch,
    round_significant,
)
from .panel import Panel
from .traces import UnreadableError, panel_traces

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

MAX_PANELS = 36
"""Panels up to which a figure becomes interactive: each costs a browser some 40 ms."""
FONT_LAYOUT = {
    "family": "system-ui, -apple-system, Segoe UI, Helvetica Neue, Arial, sans-serif",
    "size": 12,
    "color": "#444",
}
PLAIN_LAYOUT = {
    "showlegend": False,
    "hovermode": "closest",
    "font": FONT_LAYOUT,
    "paper_bgcolor": "#fff",
    "plot_bgcolor": "#fff",
}
AXIS_LAYOUT = {
    "gridcolor": "#e9e9e9",
    "zeroline": False,
    "linecolor": "#888",
    "showline": True,
    "automargin": True,
    "ticks": "outside",
    "tickcolor": "#bbb",
}


@dataclass(frozen=True)
class PlotlyFigure:
    """A figure for Plotly, of plain lists, numbers, texts and None.

    Args:
        panels: ``data``, ``layout`` and ``heading`` of each Axes, row by row.
        columns: Panels side by side if there is room.
        title: Title of the legend; empty for none.
        legend: Entries of the legend: ``name``, ``line`` (True if a panel has a trace of that
            name) and the keys of `legend_swatch`.
    """

    panels: Sequence[dict[str, Any]]
    columns: int
    title: str
    legend: Sequence[dict[str, Any]]


def to_plotly(figure: Figure) -> PlotlyFigure | None:
    """A figure for Plotly; None if it can only be shown as drawn.

    Args:
        figure: The figure, laid out by `drawing.files.freeze_layout`.
    """
    # Matplotlib's label of a colour bar; it becomes a part of the trace that it belongs to.
    axes = [part for part in figure.axes if part.get_visible() and part.get_label() != "<colorbar>"]
    if not 0 < len(axes) <= MAX_PANELS:
        return None
    try:
        panels = [_plotly_panel(Panel(part)) for part in axes]
    except UnreadableError:
        return None
    # Axes that were placed by hand are in no grid.
    place = axes[0].get_subplotspec()
    columns = place.get_gridspec().ncols if place else 1
    trace_names: set[str] = set()
    for panel in panels:
        trace_names.update(trace["name"] for trace in panel["data"])
    title, entries = _legend(figure, axes, trace_names)
    return PlotlyFigure(panels, columns, title, entries)


def _plotly_panel(panel: Panel) -> dict[str, Any]:
    """The ``data``, ``layout`` and ``heading`` of one Axes."""
    heading = panel.axes.get_title()
    top_margin = 32 if heading else 12
    layout = {
        **PLAIN_LAYOUT,
        "margin": {"l": 58, "r": 14, "t": top_margin, "b": 46},
        "xaxis": _plotly_axis(panel, 0),
        "yaxis": _plotly_axis(panel, 1),
        "annotations": _annotations(panel),
    }
    if heading:
        layout["title"] = {
            "text": html.escape(heading),
            "font": {"size": 13, "color": css_colour(panel.axes.title.get_color())},
            "x": 0.5,
            "y": 0.98,
        }
    return {"data": panel_traces(panel), "layout": layout, "heading": heading}


def _plotly_axis(panel: Panel, side: int) -> dict[str, Any]:
    """Layout of the x axis (``side`` 0) or the y axis (1).

    If ticks show their own values, Plotly adds more as a reader zooms in; else those drawn stay.
    """
    axis = panel.sides[side]
    ticks = np.asarray(axis.get_majorticklocs(), dtype=np.float64)
    labels = [str(text) for text in axis.get_major_formatter().format_ticks(list(ticks))]
    title = html.escape(panel.label("xy"[side])).replace("\n", "<br>")
    layout: dict[str, Any] = {
        **AXIS_LAYOUT,
        "range": json_numbers(panel.ends[side]),
        "title": {"text": title, "standoff": 6},
    }
    show_own_values = all(map(_shows_own_value, labels, ticks))
    if axis.get_scale() != "linear" or not show_own_values:
        layout["tickvals"] = json_numbers(axis.get_transform().transform(ticks))
        layout["ticktext"] = [html.escape(label).replace("\n", "<br>") for label in labels]
    return layout


def _shows_own_value(label: str, tick: float) -> bool:
    """True if a tick's label is its value and nothing more."""
    try:
        value = float(label.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return False
    return bool(np.isclose(value, tick))


def _annotations(panel: Panel) -> list[dict[str, Any]]:
    """Texts in the panel, each where the middle of its box is."""
    texts = [text for text in panel.axes.texts if text.get_visible() and text.get_text()]
    return [_annotation(panel, text) for text in texts]


def _annotation(panel: Panel, text: Text) -> dict[str, Any]:
    from matplotlib.transforms import IdentityTransform

    box = text.get_window_extent()
    middle = (box.x0 + box.width / 2, box.y0 + box.height / 2)
    x, y = panel.positions([middle], IdentityTransform())
    size = PIXELS_PER_POINT * float(text.get_fontsize())
    return {
        "x": round_significant(x[0]),
        "y": round_significant(y[0]),
        "text": html.escape(text.get_text()).replace("\n", "<br>"),
        "showarrow": False,
        "font": {"size": round_significant(size), "color": css_colour(text.get_color())},
    }


def _legend(
    figure: Figure, axes: Sequence[Axes], trace_names: set[str]
) -> tuple[str, list[dict[str, Any]]]:
    """Title and entries of the figure's legends, or of its panels' if it has none itself."""
    panel_legends = [part.get_legend() for part in axes]
    legends = figure.legends or [legend for legend in panel_legends if legend]
    artists = _artists_by_label(axes)
    entries: dict[str, dict[str, Any]] = {}
    for legend in legends:
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
            name = text.get_text()
            if name not in entries:
                # A legend's handle lacks what only the artist has, such as error bars.
                swatch = legend_swatch(artists.get(name, handle))
                entries[name] = {"name": name, "line": name in trace_names, **swatch}
    title = legends[0].get_title().get_text() if legends else ""
    # Matplotlib writes a missing title as a word.
    return "" if title == "None" else title, list(entries.values())


def _artists_by_label(axes: Sequence[Axes]) -> dict[Any, Any]:
    """Every artist and container of the panels; of several with one label the key, or the last."""
    artists: dict[Any, Any] = {}
    for part in axes:
        known: list[Any] = [*part.get_children(), *part.containers]
        for artist in known:
            label = artist.get_label()
            if is_key(artist) or not is_key(artists.get(label)):
                artists[label] = artist
    return artists
