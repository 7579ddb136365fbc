"""Style of every figure, safe for colour-blind readers: colours, markers, settings."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

RC_PARAMS: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelcolor": "#333333",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    # By default a title is placed again at every drawing, which takes a fifth of its time.
    "axes.titley": 1.0,
    "axes.edgecolor": "#888888",
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "sparsetune",
    "text.parse_math": False,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
}
LINE_MARKERS = "osD^vPX*"
ARM_MARKERS = "osD^vPX<>ph"
ARM_COLOURS = (
    "#332288",
    "#ee7733",
    "#009988",
    "#cc3311",
    "#33aadd",
    "#aa3377",
    "#999933",
    "#0055aa",
    "#ee99aa",
    "#117733",
    "#882255",
    "#777777",
)


@contextmanager
def project_style() -> Iterator[None]:
    """Apply the project's style to figures made inside the ``with`` block."""
    import matplotlib

    with matplotlib.rc_context(RC_PARAMS):
        yield


def line_colours(values: Iterable[Hashable], by: str | None) -> dict[Any, Any]:
    """Colour of each line, from a sequential map; black for dense.

    Args:
        values: Values that tell the lines apart.
        by: Their field. Sparsity has one map, all other fields another.
    """
    from matplotlib import colormaps

    ordered = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    if by == "sparsity.target":
        coloured = [value for value in ordered if value != 0]
        colour_map = colormaps["viridis"]
        first, last = 0.88, 0.12
    else:
        coloured = ordered
        colour_map = colormaps["inferno"]
        first, last = 0.78, 0.08
    shares = np.linspace(first, last, len(coloured)) if len(coloured) > 1 else [last]
    colours = dict.fromkeys(ordered, "black")
    # A study of dense networks alone leaves the only colour unused.
    colours.update(zip(coloured, colour_map(shares), strict=False))
    return colours


def arm_styles(arms: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and line style of each arm, in order; they repeat after 132 arms."""
    styles = {}
    for number, arm in enumerate(dict.fromkeys(arms)):
        styles[arm] = {
            "color": ARM_COLOURS[number % len(ARM_COLOURS)],
            "marker": ARM_MARKERS[number % len(ARM_MARKERS)],
            "linestyle": "-",
        }
    return styles
