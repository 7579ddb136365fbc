"""Drawing functions by type of result, so that numbers never import their figures.

A theme's figure module registers how a type of result is drawn, and ``result.plot()`` looks it up
here. `analysis/__init__.py` imports every figure module, so that every result can be drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Drawer = TypeVar("Drawer", bound="Callable[..., Figure]")

_DRAWERS: dict[tuple[type, str], Callable[..., Figure]] = {}


def draws(kind: type, figure: str = "plot") -> Callable[[Drawer], Drawer]:
    """Register the decorated function as the one that draws a type of result.

    Args:
        kind: Class of the result, which the function takes as its first argument.
        figure: Name of the figure if the result has several, such as ``plot_layers``.

    Raises:
        ValueError: if the type has a function for this figure already.
    """

    def register(drawer: Drawer) -> Drawer:
        if (kind, figure) in _DRAWERS:
            raise ValueError(f"`{kind.__name__}` has a drawing function for `{figure}` already")
        _DRAWERS[kind, figure] = drawer
        return drawer

    return register


def draw(result: object, figure: str = "plot", **options: Any) -> Figure:
    """Draw a result with the function that was registered for its type.

    Args:
        result: Numbers of one analysis.
        figure: Name of the figure if the result has several.
        options: Arguments for the drawing function.

    Raises:
        TypeError: if no function draws this figure of such a result.
    """
    drawer = _DRAWERS.get((type(result), figure))
    if drawer is None:
        raise TypeError(f"nothing draws `{figure}` of a `{type(result).__name__}`")
    return drawer(result, **options)
