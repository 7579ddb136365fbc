"""Figure of replayed searches: regret against epochs, each search labelled beside its mark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
CHARACTER_WIDTH = 0.56
"""Mean width of a character, as a part of the size of its font."""
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
        on_front = rows[rows["front"]].sort_values(["x", "regret"], ascending=[True, False])
        panel.plot(on_front["x"], on_front["regret"], color=DENSE_COLOUR, linewidth=1.2, zorder=2)
        for row in rows.to_dict("records"):
            _draw_search(panel, row)
        panel.set_xlabel("Epochs (% of training all to their end)")
        panel.set_ylabel(found.y.difference_heading("Regret on fresh seeds"))
        panel.margins(x=0.06, y=0.08)
        _label_marks(cast("Figure", figure), panel, rows)
        return cast("Figure", figure)


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

    Those of the front are placed first, then those that have least room.
    """
    engine = figure.get_layout_engine()
    if engine:
        engine.execute(figure)
    in_points = 72 / figure.dpi
    points = in_points * panel.transData.transform(rows[["x", "regret"]].to_numpy(np.float64))
    frame = panel.get_window_extent()
    room = Box(*(in_points * float(end) for end in (frame.x0, frame.y0, frame.x1, frame.y1)))
    radius = MARK_RADIUS
    taken = [Box(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    crowding = np.exp(-distances / 30).sum(axis=1)
    order = sorted(range(len(rows)), key=lambda one: (not rows["front"][one], -crowding[one]))
    for place in order:
        words = str(rows["words"][place])
        box, offset = _best_place(words, points[place], taken, room)
        taken.append(box)
        _write_label(panel, rows.iloc[place].to_dict(), words, offset)


def _best_place(
    words: str, point: Any, taken: Sequence[Box], room: Box
) -> tuple[Box, tuple[float, float]]:
    """Box of a label and its lower left corner from the mark: the nearest that covers least."""
    width = CHARACTER_WIDTH * LABEL_SIZE * len(words)
    height = 1.25 * LABEL_SIZE
    best: tuple[float, Box, tuple[float, float]] | None = None
    for distance, dx, dy in _offsets(width, height):
        left = point[0] + dx
        bottom = point[1] + dy
        box = Box(left, bottom, left + width, bottom + height)
        covered = sum(box.overlap(other) for other in taken)
        outside = width * height - box.overlap(room)
        cost = 20 * (covered + outside) + distance
        if best is None or cost < best[0]:
            best = (cost, box, (dx, dy))
    assert best is not None
    return best[1], best[2]


def _offsets(width: float, height: float) -> Iterator[tuple[float, float, float]]:
    """Distances and lower left corners of labels around a mark, in points."""
    for ring in (0, 9, 18, 30, 44, 60, 80):
        out = MARK_RADIUS + 2 + ring
        for angle in np.linspace(0, 2 * np.pi, 16 if ring else 8, endpoint=False):
            across, up = float(np.cos(angle)), float(np.sin(angle))
            dx = out * across - width * (1 - across) / 2
            dy = out * up - height * (1 - up) / 2
            # Beside a mark is easier to read than above it.
            yield ring + 2 * abs(up), dx, dy


def _write_label(panel: Axes, row: dict[Any, Any], words: str, offset: tuple[float, float]) -> None:
    from matplotlib.patheffects import withStroke

    width = CHARACTER_WIDTH * LABEL_SIZE * len(words)
    is_left = offset[0] + width <= 0
    is_beside = is_left or offset[0] >= 0
    # The end of the words that is next to the mark stays there, however wide they are.
    align = ("right" if is_left else "left") if is_beside else "center"
    across = {"left": offset[0], "right": offset[0] + width, "center": offset[0] + width / 2}[align]
    far = max(abs(across), abs(offset[1] + LABEL_SIZE * 0.6)) > 18
    colour = _colour(row["method"])
    arrow = {"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 3}
    text = panel.annotate(
        words,
        (row["x"], row["regret"]),
        (across, offset[1] + 0.625 * LABEL_SIZE),
        textcoords="offset points",
        fontsize=LABEL_SIZE,
        fontweight="bold" if row["front"] else "normal",
        color=colour,
        ha=align,
        va="center",
        arrowprops=arrow if far else None,
        zorder=5,
        path_effects=[withStroke(linewidth=2, foreground="white")],
    )
    text.set_in_layout(False)
