"""One style for every figure, safe for colour-blind readers: colours, markers, settings."""

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
    "axes.titley": 1.0,  # else placed anew at every drawing, which costs a fifth of it
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
    *("#332288", "#ee7733", "#009988", "#cc3311", "#33aadd", "#aa3377"),
    *("#999933", "#0055aa", "#ee99aa", "#117733", "#882255", "#777777"),
)


@contextmanager
def project_style() -> Iterator[None]:
    """The project's style, for the figures made inside."""
    import matplotlib

    with matplotlib.rc_context(RC_PARAMS):
        yield


def line_colours(values: Iterable[Hashable], by: str | None) -> dict[Any, Any]:
    """A colour for each line, from a sequential map: sparsity and any other field have one each; dense is black."""
    from matplotlib import colormaps

    ordered = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    sparsity = by == "sparsity.target"
    coloured = [value for value in ordered if not (sparsity and value == 0)]
    ends = (0.88, 0.12) if sparsity else (0.78, 0.08)
    chosen = colormaps["viridis" if sparsity else "inferno"](
        np.linspace(*ends, len(coloured)) if len(coloured) > 1 else [ends[1]]
    )
    return {**dict.fromkeys(ordered, "black"), **dict(zip(coloured, chosen, strict=False))}


def arm_styles(arms: Iterable[str]) -> dict[str, dict[str, Any]]:
    """A colour and a marker for each arm, in order; a pair comes again after 132."""
    return {
        arm: {
            "color": ARM_COLOURS[i % len(ARM_COLOURS)],
            "marker": ARM_MARKERS[i % len(ARM_MARKERS)],
            "linestyle": "-",
        }
        for i, arm in enumerate(dict.fromkeys(arms))
    }
