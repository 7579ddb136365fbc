"""Exhibits of published results, which a report shows on request: they are not a study's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..exhibit import Exhibit
from .figures import PAPER_CAPTION, length_figure, paper_figure, stretch_figure
from .published import length_points, paper_points, stretch_points


def reference_exhibits() -> Iterator[Exhibit]:
    """Published figures: arXiv 2308.02060, longer training, and stretched training."""
    caption = (
        f"{PAPER_CAPTION}. Top-1 accuracy over training epochs, a line per sparsity; large: the"
        " best budget of each line, at its right end where the line still rises. n is not known, so"
        " there are no intervals."
    )
    title = "The figure of arXiv 2308.02060"
    yield Exhibit("paper", title, paper_points(), caption, paper_figure)
    length = length_points()
    caption = (
        "Published networks trained for longer, schedule stretched, each from its source's own"
        " recipe: only points of one line may be compared. Bars: standard deviation over 3 seeds,"
        " where published; else single runs."
    )
    title = "Published: training for longer"
    yield Exhibit("published-length", title, length, caption, partial(length_figure, length))
    stretch = stretch_points()
    caption = (
        "Networks trained from scratch under a fixed mask for one or two times the steps (Gale et"
        " al. 2019), top-1 gained over 1x; means of 9 seeds, bars: two standard errors of the"
        " difference."
    )
    title = "Published: what stretching buys"
    yield Exhibit("published-stretch", title, stretch, caption, partial(stretch_figure, stretch))
