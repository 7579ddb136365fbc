"""Interactive figures, read off the drawn ones so that the two cannot disagree."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.page.interactive.marks import (
    PIXELS_PER_POINT,
    css_colour,
    json_numbers,
    legend_swatch,
    round_significant,
)
from analysis.page.interactive.traces import Panel, UnreadableError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 36
"""Panels of a figure that still becomes interactive: each costs a browser some 40 ms."""
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
}
AXIS_LAYOUT |= {"ticks": "outside", "tickcolor": "#bbb"}


@dataclass(frozen=True)
class PlotlyFigure:
    """A figure for Plotly.

    Args:
        panels: ``data``, ``layout`` and ``heading`` of each Axes, rows first; plain lists, numbers, text and None.
        columns: Panels side by side where there is room.
        title: Of the legend.
        legend: Of each line ``name``, ``line`` (whether a panel has one of that name), and `legend_swatch`.
    """

    panels: Sequence[dict[str, Any]]
    columns: int
    title: str
    legend: Sequence[dict[str, Any]]


def to_plotly(figure: Figure) -> PlotlyFigure | None:
    """What a figure shows, once it is laid out (`drawing.files.settle`); None where it can only be shown as drawn."""
    axes = [part for part in figure.axes if part.get_visible() and part.get_label() != "<colorbar>"]
    if not 0 < len(axes) <= MAX_PANELS:
        return None
    try:
        panels = [_panel(Panel(part)) for part in axes]
    except UnreadableError:
        return None
    place = axes[0].get_subplotspec()
    names = {trace["name"] for panel in panels for trace in panel["data"]}
    return PlotlyFigure(
        panels, place.get_gridspec().ncols if place else 1, *_legend_entries(figure, axes, names)
    )


def _panel(panel: Panel) -> dict[str, Any]:
    heading = panel.axes.get_title()
    title = {
        "text": html.escape(heading),
        "font": {"size": 13, "color": "#222"},
        "x": 0.5,
        "y": 0.98,
    }
    layout = {
        **{**PLAIN_LAYOUT, "margin": {"l": 58, "r": 14, "t": 32 if heading else 12, "b": 46}},
        **{
            "xaxis": _plotly_axis(panel, 0),
            "yaxis": _plotly_axis(panel, 1),
            "annotations": _notes(panel),
        },
        **({"title": title} if heading else {}),
    }
    return {"data": panel.traces(), "layout": layout, "heading": heading}


def _plotly_axis(panel: Panel, side: int) -> dict[str, Any]:
    """One axis: where ticks say their own values more appear as a reader zooms in, elsewhere those drawn stay."""
    axis = panel.sides[side]
    ticks = np.asarray(axis.get_majorticklocs(), dtype=np.float64)
    words = [str(text) for text in axis.get_major_formatter().format_ticks(list(ticks))]
    free = axis.get_scale() == "linear" and all(
        _says_own_value(word, tick) for word, tick in zip(words, ticks, strict=True)
    )
    held = {
        "tickvals": json_numbers(axis.get_transform().transform(ticks)),
        "ticktext": [html.escape(w) for w in words],
    }
    title = {"text": html.escape(panel.label("xy"[side])).replace("\n", "<br>"), "standoff": 6}
    return {
        **AXIS_LAYOUT,
        "range": json_numbers(panel.ends[side]),
        "title": title,
        **({} if free else held),
    }


def _notes(panel: Panel) -> list[dict[str, Any]]:
    """Text in the panel, where its own box has its middle."""
    from matplotlib.transforms import IdentityTransform

    notes = []
    for text in (text for text in panel.axes.texts if text.get_visible() and text.get_text()):
        box = text.get_window_extent()
        (x,), (y,) = panel.positions(
            [(box.x0 + box.width / 2, box.y0 + box.height / 2)], IdentityTransform()
        )
        font = {
            "size": round_significant(PIXELS_PER_POINT * float(text.get_fontsize())),
            "color": css_colour(text.get_color()),
        }
        words = html.escape(text.get_text()).replace("\n", "<br>")
        notes.append(
            {
                "x": round_significant(x),
                "y": round_significant(y),
                "text": words,
                "showarrow": False,
                "font": font,
            }
        )
    return notes


def _legend_entries(
    figure: Figure, axes: Sequence[Axes], names: set[str]
) -> tuple[str, list[dict[str, Any]]]:
    """The title and entries of the figure's legends, or of its panels'."""
    legends = figure.legends or [legend for part in axes if (legend := part.get_legend())]
    children: list[Any] = [
        artist for part in axes for artist in [*part.get_children(), *part.containers]
    ]
    artists = {artist.get_label(): artist for artist in children}
    found: dict[str, dict[str, Any]] = {}
    for legend in legends:
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
            name = text.get_text()
            found.setdefault(
                name,
                {"name": name, "line": name in names, **legend_swatch(artists.get(name, handle))},
            )
    title = legends[0].get_title().get_text() if legends else ""
    return ("" if title == "None" else title), list(found.values())


def _says_own_value(word: str, tick: float) -> bool:
    """Whether a tick says its own value and nothing more."""
    try:
        return bool(np.isclose(float(word.replace("\N{MINUS SIGN}", "-")), tick))
    except ValueError:
        return False
