"""Files of a figure: laid out once, then rendered as PDF, PNG and SVG."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from sparsetune.paths import Place
from sparsetune.storage import translating_write_errors, write_durably

from ..tables.csv import csv_text
from .style import project_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG_DPI = 150


def save_figure(figure: Figure, frame: pd.DataFrame, stem: Place) -> None:
    """Write a figure as .pdf, .png and .svg, and the frame that it was drawn from as .csv.

    Args:
        figure: The figure.
        frame: Its numbers.
        stem: Path of the files without a suffix.

    Raises:
        StorageError: if a file cannot be written.
    """
    files = render_files(figure)
    with translating_write_errors(stem.parent):
        write_durably(stem.with_suffix(".csv"), csv_text(frame))
        for kind, contents in files.items():
            write_durably(stem.with_suffix(f".{kind}"), contents)


def render_files(figure: Figure) -> dict[str, bytes]:
    """Contents of a figure's files by kind: ``pdf``, ``png``, ``svg``; equal for equal figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    pdf = io.BytesIO()
    png = io.BytesIO()
    svg = io.BytesIO()
    with project_style():
        freeze_layout(figure)
        # `savefig` would lay the figure out again for each kind.
        FigureCanvasPdf(figure).print_pdf(pdf, metadata={"CreationDate": None})
        # A PDF leaves its own 72 dpi behind.
        figure.dpi = PNG_DPI
        FigureCanvasAgg(figure).print_png(png)
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})
    return {"pdf": pdf.getvalue(), "png": png.getvalue(), "svg": svg.getvalue()}


def freeze_layout(figure: Figure) -> None:
    """Lay a figure out and fix its ticks and labels, since each drawing would do all that again."""
    freeze_ticks(figure)
    engine = figure.get_layout_engine()
    if engine:
        engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        # A colour bar gets its position only when its box is asked for.
        if axes.get_axes_locator() is not None:
            axes.get_tightbbox()
    # Labels follow their ticks' sizes, which would be measured again at every drawing.
    for axis in _every_axis(figure):
        label = axis.label
        pixels = label.get_transform().transform(label.get_position())
        x, y = figure.transFigure.inverted().transform(pixels)
        axis.set_label_coords(x, y, transform=figure.transFigure)


def freeze_ticks(figure: Figure) -> None:
    """Fix the ticks of every axis and their labels; minor ticks are removed."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    for axis in _every_axis(figure):
        low, high = sorted(axis.get_view_interval())
        ticks = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
        formatter = axis.get_major_formatter()
        fixed = FixedFormatter(formatter.format_ticks(ticks))
        fixed.set_offset_string(formatter.get_offset())
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(fixed)
        axis.set_minor_locator(NullLocator())


def _every_axis(figure: Figure) -> Iterator[Any]:
    """The x axis and the y axis of every panel."""
    for axes in figure.axes:
        yield axes.xaxis
        yield axes.yaxis
