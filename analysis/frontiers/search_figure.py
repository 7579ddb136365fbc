"""Figure of replayed searches: regret against epochs, each search labelled beside its mark."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import pandas as pd

from .. import wording
from ..drawers import draws
from ..drawing.marks import attach_hover_texts
from ..drawing.style import ARM_COLOURS, DENSE_COLOUR, NEUTRAL_COLOUR, project_style
from .searches import SearchFront

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (6.2, 4.4)
"""Width and height in inches."""
LABEL_SIZE = 8.0
"""Size of labels in points."""
LABEL_HEIGHT = 1.25 * LABEL_SIZE
"""Height of labels in points."""
CHARACTER_WIDTH = 0.55
"""Mean width of a character, as a part of the size of its font."""
BOLD_WIDTH = 0.64
"""The same of bold characters."""
MAX_UNCONNECTED = 10.0
"""Distance of a label from its mark, in points, up to which no line joins them."""
MAX_BAR_ROOM = 0.8
"""Room for bars beyond the marks at each end, as a part of the marks' own range."""
MARK_RADIUS = 4.5
"""Half the width of a mark in points, with the room around it."""
RULE_COLOURS = {
    "epoch": ARM_COLOURS[1],
    "asha": ARM_COLOURS[4],
    "hyperband": ARM_COLOURS[7],
    "median": ARM_COLOURS[6],
    "halving": ARM_COLOURS[5],
    "early": ARM_COLOURS[3],
}
"""Colours by stopping rule; whole training is black."""


class Box(NamedTuple):
    """A rectangle in points."""

    left: float
    bottom: float
    right: float
    top: float

    def contains(self, x: float, y: float) -> bool:
        """True if a point lies in it."""
        return self.left <= x <= self.right and self.bottom <= y <= self.top

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The point of it that is nearest to another."""
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)

    def overlap(self, other: Box) -> float:
        """Area that two rectangles share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)


@draws(SearchFront)
def draw_search_front(found: SearchFront) -> Figure:
    """Draw regret against epochs with intervals: filled on the front, which a line joins."""
    from ..drawing.shown_figure import ShownFigure

    rows = found.over_cells().sort_values("epochs_fraction", ignore_index=True)
    factor = found.y.factor
    rows = rows.assign(x=100 * rows["epochs_fraction"])
    for name in ("regret", "low", "high"):
        rows[name] = factor * rows[name].astype("float64")
    with project_style():
        figure = ShownFigure(figsize=SIZE, layout="constrained")
        panel = figure.subplots()
        panel.axhline(0, color=NEUTRAL_COLOUR, linewidth=0.8, zorder=1)
        on_front = _front(rows)
        panel.plot(on_front["x"], on_front["regret"], color=DENSE_COLOUR, linewidth=1.2, zorder=2)
        for row in rows.to_dict("records"):
            _draw_search(panel, row)
        panel.set_xlabel("Epochs (% of training all to their end)")
        panel.set_ylabel(found.y.difference_heading("Regret on fresh seeds"))
        panel.margins(x=0.06)
        panel.set_ylim(*_limits(rows))
        _label_marks(cast("Figure", figure), panel, rows)
        return cast("Figure", figure)


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis of regret: the bars', but so that the marks keep a part of its height."""
    low, high = min(0.0, float(rows["regret"].min())), max(0.0, float(rows["regret"].max()))
    room = MAX_BAR_ROOM * (high - low)
    least = max(float(rows["low"].min()), low - room)
    most = min(float(rows["high"].max()), high + room)
    margin = 0.08 * (most - least) or 1.0
    return least - margin, most + margin


def _colour(method: str) -> str:
    for rule, colour in RULE_COLOURS.items():
        if rule in method:
            return colour
    return DENSE_COLOUR


def _draw_search(panel: Axes, row: dict[Any, Any]) -> None:
    """Draw a mark with its interval; squares are searches of a Gaussian process."""
    colour = _colour(row["method"])
    style: dict[str, Any] = {
        "color": colour,
        "marker": "s" if row["method"].startswith("gp") else "o",
        "markersize": 5.5,
        "markerfacecolor": colour if row["front"] else "white",
        "elinewidth": 0.9,
        "linestyle": "none",
        "zorder": 4 if row["front"] else 3,
    }
    ends = [[row["regret"] - row["low"]], [row["high"] - row["regret"]]]
    drawn = panel.errorbar([row["x"]], [row["regret"]], yerr=ends, **style)
    for bar in drawn.lines[2]:
        bar.set_alpha(0.35)
    text = wording.format_interval(row["regret"], row["low"], row["high"], 1.0)
    attach_hover_texts(drawn, [f"{row['words']}\n{text}\n{row['x']:.0f} % of the epochs"])


def _label_marks(figure: Figure, panel: Axes, rows: pd.DataFrame) -> None:
    """Write each search's words where they cover neither a mark nor other words.

    Those that have least room are placed first.
    """
    engine = figure.get_layout_engine()
    if engine:
        engine.execute(figure)
    in_points = 72 / figure.dpi

    def points_of(part: pd.DataFrame, column: str) -> Any:
        places = part[["x", column]].to_numpy(np.float64)
        return in_points * panel.transData.transform(places)

    frame = panel.get_window_extent()
    room = Box(*(in_points * float(end) for end in (frame.x0, frame.y0, frame.x1, frame.y1)))
    points = points_of(rows, "regret")
    ends = zip(points_of(rows, "low"), points_of(rows, "high"), strict=True)
    bars = [Box(low[0] - 1, low[1], low[0] + 1, high[1]) for low, high in ends]
    corners = points_of(_front(rows), "regret")
    labels = _Labels(room, [_around(point) for point in points], bars + _line_boxes(corners))
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    crowding = np.exp(-distances / 30).sum(axis=1)
    for place in np.argsort(-crowding, kind="stable"):
        row = rows.iloc[int(place)].to_dict()
        _write_label(panel, row, labels.place(_label_width(row), points[place]))


def _front(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the front from left to right."""
    return rows[rows["front"]].sort_values(["x", "regret"], ascending=[True, False])


def _around(point: Any) -> Box:
    x, y = map(float, point)
    return Box(x - MARK_RADIUS, y - MARK_RADIUS, x + MARK_RADIUS, y + MARK_RADIUS)


def _line_boxes(corners: Any) -> list[Box]:
    """Small rectangles along a line through points."""
    found = []
    for (x, y), (next_x, next_y) in itertools.pairwise(corners):
        for part in np.linspace(0, 1, 40):
            across = x + part * (next_x - x)
            up = y + part * (next_y - y)
            found.append(Box(across - 1, up - 1, across + 1, up + 1))
    return found


def _label_width(row: Mapping[Any, Any]) -> float:
    """Width of a label in points."""
    width = BOLD_WIDTH if row["front"] else CHARACTER_WIDTH
    return width * LABEL_SIZE * (len(row["words"]) + 1)


@dataclass
class _Labels:
    """Labels that were placed so far, and what they should not cover.

    Args:
        room: The panel.
        solid: Marks and labels.
        faint: Bars and pieces of lines, which a label covers if it must.
    """

    room: Box
    solid: list[Box]
    faint: list[Box]

    def place(self, width: float, point: Any) -> Box:
        """Rectangle of a label beside a mark, where it covers least; relative to the mark."""
        x, y = map(float, point)
        best = (np.inf, Box(0, 0, 0, 0))
        for distance, dx, dy in _offsets(width, LABEL_HEIGHT):
            box = Box(x + dx, y + dy, x + dx + width, y + dy + LABEL_HEIGHT)
            cost = distance + self._cost(box) + self._leader_cost(box, x, y)
            best = min(best, (cost, box))
        box = best[1]
        self.solid.append(box)
        return Box(box.left - x, box.bottom - y, box.right - x, box.top - y)

    def _cost(self, box: Box) -> float:
        covered = sum(box.overlap(other) for other in self.solid)
        crossed = sum(box.overlap(other) for other in self.faint)
        outside = (box.right - box.left) * LABEL_HEIGHT - box.overlap(self.room)
        return 20 * (covered + outside) + 0.25 * crossed

    def _leader_cost(self, box: Box, x: float, y: float) -> float:
        """Cost of marks and labels that lie between a mark and its label."""
        across, up = box.nearest(x, y)
        crossed = 0
        for part in np.linspace(0, 1, 12):
            at = (x + part * (across - x), y + part * (up - y))
            crossed += sum(other.contains(*at) for other in self.solid if not other.contains(x, y))
        return 40.0 * crossed


def _offsets(width: float, height: float) -> Iterator[tuple[float, float, float]]:
    """Distances and lower left corners of labels around a mark, in points."""
    for ring in (0, 6, 12, 18, 26, 36, 48, 64):
        out = MARK_RADIUS + 2 + ring
        for angle in np.linspace(0, 2 * np.pi, 16 if ring else 8, endpoint=False):
            across, up = float(np.cos(angle)), float(np.sin(angle))
            dx = out * across - width * (1 - across) / 2
            dy = out * up - height * (1 - up) / 2
            # Beside a mark is easier to read than above it.
            yield 1.5 * ring + 2 * abs(up), dx, dy


def _write_label(panel: Axes, row: Mapping[Any, Any], box: Box) -> None:
    """Write the words of a search, with a line to its mark where they stand apart.

    Args:
        panel: Where to draw.
        row: The search.
        box: Rectangle of the words, relative to the mark.
    """
    from matplotlib.patheffects import withStroke

    # The end of the words that is next to the mark stays there, however wide they are.
    align, across = "center", (box.left + box.right) / 2
    if box.left >= 0:
        align, across = "left", box.left
    elif box.right <= 0:
        align, across = "right", box.right
    near_x, near_y = box.nearest(0, 0)
    colour = _colour(row["method"])
    line = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
    is_apart = float(np.hypot(near_x, near_y)) > MAX_UNCONNECTED
    # A line that begins at the words' end nearest to the mark.
    line["relpos"] = (
        (near_x - box.left) / (box.right - box.left),
        (near_y - box.bottom) / (box.top - box.bottom),
    )
    text = panel.annotate(
        row["words"],
        (row["x"], row["regret"]),
        (across, (box.bottom + box.top) / 2),
        textcoords="offset points",
        fontsize=LABEL_SIZE,
        fontweight="bold" if row["front"] else "normal",
        color=colour,
        ha=align,
        va="center",
        arrowprops=line if is_apart else None,
        zorder=5,
        path_effects=[withStroke(linewidth=2, foreground="white")],
    )
    text.set_in_layout(False)
