"""Colours and markers of lines: the hue tells the arm, lightness and marker tell the rest.

The rule holds for every figure of a report: an arm has one hue, dense networks are black, and what
varies within an arm (sparsity, length, budget) is darker the more there is of it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..quantities import line_name
from .marks import draw_key
from .style import ARM_COLOURS, ARM_MARKERS, DENSE_COLOUR, LINE_MARKERS, NEUTRAL_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SPARSITY_FIELD = "sparsity.target"
SHADE_ENDS = (74.0, 34.0)
"""Lightness of the lowest and of the highest value of an arm: 0 is black, 100 is white."""
MIX_STEPS = 101
"""Mixtures of a colour with black, and with white, among which a lightness is looked up."""

_numbered_arms: ContextVar[tuple[str, ...]] = ContextVar("numbered_arms", default=())


@contextmanager
def numbered_arms(arms: Iterable[str]) -> Iterator[None]:
    """Give these arms the same hues in every figure that is drawn inside the ``with`` block.

    Outside of such a block, the arms of a figure are numbered as they come in it.

    Args:
        arms: Arms with sparse networks, in the order of the study.
    """
    token = _numbered_arms.set(tuple(arms))
    try:
        yield
    finally:
        _numbered_arms.reset(token)


def sparse_arms(frame: pd.DataFrame) -> list[str]:
    """Arms of a frame with sparse networks, in order.

    Args:
        frame: ``arm``, and ``sparsity`` or ``sparsity.target``; without these, all arms count.
    """
    for column in ("sparsity", SPARSITY_FIELD):
        if column in frame:
            frame = frame[frame[column] > 0]
            break
    return [str(arm) for arm in dict.fromkeys(frame["arm"])]


def arm_styles(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Colour, marker and line style of each arm, in order; they repeat after 132 arms.

    Args:
        frame: Columns of `sparse_arms`. Arms of dense networks alone are black.
    """
    sparse = sparse_arms(frame)
    numbers = {arm: n for n, arm in enumerate(dict.fromkeys([*_numbered_arms.get(), *sparse]))}
    styles = {}
    for arm in map(str, dict.fromkeys(frame["arm"])):
        number = numbers.get(arm, 0)
        colour = ARM_COLOURS[number % len(ARM_COLOURS)] if arm in sparse else DENSE_COLOUR
        marker = ARM_MARKERS[number % len(ARM_MARKERS)]
        styles[arm] = {"color": colour, "marker": marker, "linestyle": "-"}
    return styles


def row_colours(frame: pd.DataFrame) -> list[str]:
    """Colour of each row's arm; black for dense networks.

    Args:
        frame: ``arm sparsity``.
    """
    styles = arm_styles(frame)
    rows = zip(frame["arm"], frame["sparsity"], strict=True)
    return [styles[str(arm)]["color"] if sparsity else DENSE_COLOUR for arm, sparsity in rows]


def shades(colour: str, values: Iterable[Hashable], by: str | None) -> dict[Any, Any]:
    """Shades of a colour by value, the higher the darker; the colour itself for a single value.

    Args:
        colour: The colour of an arm.
        values: The values, sorted by number, then by name.
        by: Their field. A sparsity of 0 is dense, and black.
    """
    ordered = sorted(set(values), key=lambda value: (isinstance(value, str), value))
    coloured = [value for value in ordered if by != SPARSITY_FIELD or value != 0]
    found: dict[Any, Any] = dict.fromkeys(ordered, DENSE_COLOUR)
    if len(coloured) == 1:
        return found | {coloured[0]: colour}
    return found | dict(zip(coloured, _by_lightness(colour, len(coloured)), strict=True))


def _by_lightness(colour: str, count: int) -> Sequence[Any]:
    """Mixtures of a colour with white or black, in equal steps of lightness, the lightest first."""
    from matplotlib.colors import LinearSegmentedColormap

    mixtures = LinearSegmentedColormap.from_list("", ["black", colour, "white"])
    colours = mixtures(np.linspace(0, 1, 2 * MIX_STEPS))
    wanted = np.linspace(*SHADE_ENDS, count)
    nearest = np.abs(_lightness(colours[:, :3])[:, None] - wanted).argmin(axis=0)
    return [tuple(map(float, one)) for one in colours[nearest]]


def _lightness(rgb: Any) -> Any:
    """CIE lightness L* of colours, shape [n, 3] in [0, 1]; shape [n], in [0, 100]."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


class LineStyles:
    """Colour and marker of every line of a figure with a line per arm and value.

    Args:
        frame: The figure's rows, see `arm_styles`.
        values: The value of each row, such as its sparsity.
        by: Field of the values; None for one line per arm.
    """

    def __init__(self, frame: pd.DataFrame, values: Iterable[Hashable], by: str | None) -> None:
        self.arms = arm_styles(frame)
        self.by = by
        # In order; missing values have no line.
        known = pd.Series(list(values), dtype=object).dropna()
        self.values: list[Any] = list(shades(NEUTRAL_COLOUR, known, by))
        self._has_one_hue = len(self.arms) == 1

    def line(self, arm: str | None, value: Hashable) -> dict[str, Any]:
        """Colour and marker of a line; in grey if several arms share it, which None stands for."""
        colour = self.arms[arm]["color"] if arm is not None else NEUTRAL_COLOUR
        marker = LINE_MARKERS[self.values.index(value) % len(LINE_MARKERS)]
        return {"color": shades(colour, self.values, self.by)[value], "marker": marker}

    def title(self, arm: str) -> dict[str, Any]:
        """Style of a panel's title that names the arm."""
        return {} if self._has_one_hue else {"color": self.arms[arm]["color"]}

    def draw_keys(self, axis: Axes, names: Sequence[str] = (), **style: Any) -> list[str]:
        """Draw what stands for each value in a legend, in grey if there are several hues.

        Args:
            axis: The last panel.
            names: Name of each value; by default the field's own.
            style: What differs from colour and marker.

        Returns:
            Names in the legend's order.
        """
        only = next(iter(self.arms)) if self._has_one_hue else None
        names = list(names) or [line_name(self.by, value) for value in self.values]
        for value, name in zip(self.values, names, strict=True):
            if name:
                draw_key(axis, name, **{**self.line(only, value), **style})
        return [name for name in names if name]
