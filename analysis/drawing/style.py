"""Style of every figure, safe for colour-blind readers: colours, markers, settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

RC_PARAMS: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelcolor": "#333333",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": "#222222",
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
    "#ddaa33",
)
"""Hues of arms, in order."""
DENSE_COLOUR = "black"
NEUTRAL_COLOUR = "#808080"
"""Colour of what belongs to several arms, or to none."""
REGION_COLOUR = "#e4e4e4"
"""Colour of regions behind marks, such as a margin."""


@contextmanager
def project_style() -> Iterator[None]:
    """Apply the project's style to figures made inside the ``with`` block."""
    import matplotlib

    with matplotlib.rc_context(RC_PARAMS):
        yield
