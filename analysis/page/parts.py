"""What stands on the page: exhibits with their drawings and tables, under headings, and what could not be shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pandas as pd

from analysis.page.interactive.figure import PlotlyFigure
from analysis.page.printer import FigureJob
from analysis.page.sections import fault_message
from analysis.page.table import PageTable


@dataclass(frozen=True)
class ShownExhibit:
    """An exhibit on the page: the drawing and what makes it interactive, or a table."""

    name: str
    title: str
    caption: str
    order: FigureJob | None = None
    table: PageTable | None = None

    @property
    def svg(self) -> str:
        """As it goes into a page; empty for a table."""
        whole = self.order.result().files["svg"].decode() if self.order else ""
        return whole[whole.find("<svg") :]

    @property
    def interactive(self) -> PlotlyFigure | None:
        """What makes it interactive, where it can be."""
        return self.order.result().interactive if self.order else None

    @property
    def width(self) -> int:
        """In pixels."""
        return self.order.result().width if self.order else 0

    @property
    def height(self) -> int:
        """Of a panel, in pixels."""
        found = self.order.result() if self.order else None
        live = found.interactive if found else None
        rows = -(-len(live.panels) // live.columns) if live else 1
        return max(260, min(420, found.height // rows)) if found else 0


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it, and why something does not."""

    title: str
    shown: Sequence[ShownExhibit] = ()
    lacking: Sequence[str] = ()


@dataclass(frozen=True)
class CombinationPart:
    """What one combination showed, in a table; a comparison of arms comes before it."""

    title: str
    measure: str = ""
    numbers: pd.DataFrame = field(default_factory=pd.DataFrame)
    table: PageTable | None = None
    shown: Sequence[ShownExhibit] = ()
    lacking: Sequence[str] = ()
    lines: Sequence[str] = ()


Part = TypeVar("Part", Section, CombinationPart)


def drop_failed_figures(part: Part) -> Part:
    """What can be shown of a part, and why the rest cannot: days of training must not end without a page."""
    shown = []
    lacking = list(part.lacking)
    for one in part.shown:
        try:
            if one.order:
                one.order.result()
            shown.append(one)
        except Exception as error:
            lacking.append(str(fault_message(one.title, error)))
    return replace(part, shown=shown, lacking=lacking)
