"""Exhibits of published results, which a report shows on request: they are not a study's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..catalogue import paragraph, write
from ..exhibit import Exhibit
from .figures import length_figure, paper_figure, stretch_figure
from .published import length_points, paper_points, stretch_points


def reference_exhibits() -> Iterator[Exhibit]:
    """Published figures: arXiv 2308.02060, longer training, and stretched training."""
    names: tuple[str, ...] = ("paper_source", "paper_lines", "paper_large", "paper_no_intervals")
    caption = paragraph(write(name) for name in names)
    title = "The figure of arXiv 2308.02060"
    yield Exhibit("paper", title, paper_points(), caption, paper_figure)
    length = length_points()
    names = ("published_length", "published_lines", "published_length_bars")
    caption = paragraph(write(name) for name in names)
    title = "Published: training for longer"
    yield Exhibit("published-length", title, length, caption, partial(length_figure, length))
    stretch = stretch_points()
    names = ("published_stretch", "published_stretch_gain", "published_stretch_bars")
    caption = paragraph(write(name) for name in names)
    title = "Published: what stretching buys"
    yield Exhibit("published-stretch", title, stretch, caption, partial(stretch_figure, stretch))
