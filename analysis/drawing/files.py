"""A figure as files: laid out once, then printed as PDF, PNG and SVG; equal bytes for equal figures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pandas as pd

from analysis.drawing.style import project_style
from sparsetune.paths import Place
from sparsetune.storage import translating_write_errors, write_durably

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG_DPI = 150


def save_figure(figure: Figure, frame: pd.DataFrame, stem: Place) -> None:
    """Write ``stem`` as .pdf, .png, .svg and the .csv it was drawn from."""
    found = render_files(figure)
    with translating_write_errors(stem.parent):
        write_durably(stem.with_suffix(".csv"), frame.to_csv(index=False))
        for kind, whole in found.items():
            write_durably(stem.with_suffix(f".{kind}"), whole)


def render_files(figure: Figure) -> dict[str, bytes]:
    """A figure as ``pdf``, ``png`` and ``svg``, equal bytes for equal figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    found = {kind: io.BytesIO() for kind in ("pdf", "png", "svg")}
    with project_style():
        freeze_layout(figure)
        # Not `savefig`, which would lay the figure out anew for each.
        FigureCanvasPdf(figure).print_pdf(found["pdf"], metadata={"CreationDate": None})
        figure.dpi = PNG_DPI  # a PDF leaves its own 72
        FigureCanvasAgg(figure).print_png(found["png"])
        FigureCanvasSVG(figure).print_svg(found["svg"], metadata={"Date": None})
    return {kind: file.getvalue() for kind, file in found.items()}


def freeze_layout(figure: Figure) -> None:
    """Lay a figure out once and hold its ticks and labels there, since each drawing would do all that again."""
    freeze_ticks(figure)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        if axes.get_axes_locator() is not None:  # a colour bar takes its place only now
            axes.get_tightbbox()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        place = axis.label.get_transform().transform(axis.label.get_position())
        x, y = figure.transFigure.inverted().transform(place)
        axis.set_label_coords(x, y, transform=figure.transFigure)


def freeze_ticks(figure: Figure) -> None:
    """Let every axis keep the ticks and their texts that it has now, the minor ones none."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = [tick for tick in axis.get_majorticklocs() if low <= tick <= high]
        formatter = axis.get_major_formatter()
        held = FixedFormatter(formatter.format_ticks(ticks))
        held.set_offset_string(formatter.get_offset())
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(held)
        axis.set_minor_locator(NullLocator())
