"""Parts of the page: exhibits with their drawings and tables, in sections."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import pandas as pd

from ..answers.sentences import Sentence
from .captions import shared_sentences, split_sentences, without_sentences
from .figure_export import FigureJob
from .figure_process import RenderedFigure
from .interactive.figure import PlotlyFigure
from .sections import fault_sentence
from .table import PageTable

MIN_PANEL_PIXELS = 260
MAX_PANEL_PIXELS = 420


@dataclass(frozen=True)
class ShownExhibit:
    """An exhibit on the page: a figure, a table, or both.

    Args:
        name: Stem of its files, unlike any other on the page.
        title: Its heading.
        caption: What its marks and columns mean.
        job: Renders the figure; None for a table alone.
        table: The numbers; None if they are only in the CSV.
    """

    name: str
    title: str
    caption: str
    job: FigureJob | None = None
    table: PageTable | None = None

    @property
    def rendered(self) -> RenderedFigure | None:
        """The figure; None for a table alone."""
        return self.job.result() if self.job else None

    @cached_property
    def svg(self) -> str:
        """The drawing as an element of HTML; empty for a table alone."""
        if self.rendered is None:
            return ""
        return compact_svg(self.rendered.files["svg"].decode())

    @property
    def interactive(self) -> PlotlyFigure | None:
        """The figure for Plotly; None for a table alone, and if it can only be shown as drawn."""
        return self.rendered.interactive if self.rendered else None

    @property
    def width(self) -> int:
        """Width of the figure in CSS pixels; 0 for a table alone."""
        return self.rendered.width if self.rendered else 0

    @property
    def height(self) -> int:
        """Height of an interactive panel in CSS pixels; 0 for a table alone."""
        if self.rendered is None:
            return 0
        # The drawing has its panels in rows, while a page may show them in other ones.
        n_rows = 1
        if self.interactive:
            n_rows = -(-len(self.interactive.panels) // self.interactive.columns)
        height = self.rendered.height // n_rows
        return max(MIN_PANEL_PIXELS, min(MAX_PANEL_PIXELS, height))


METADATA = re.compile("<metadata>.*?</metadata>", re.DOTALL)
TAG = re.compile("<[^>]+>")
LONG_NUMBER = re.compile(r"(\d+\.\d\d)\d+")
SPACES = re.compile(r"\s+")
BETWEEN_TAGS = re.compile(r">\s+<")
FONT_FAMILY = re.compile(r"font-family: [^;\"]*;? ?")


def compact_svg(document: str) -> str:
    """A drawing as an element of HTML, in hundredths of a point and in the page's own font.

    Args:
        document: The drawing as a file.
    """
    # A page's parser does not know the XML declaration and the document type before it.
    drawing = METADATA.sub("", document[document.find("<svg") :])
    # Numbers within tags are positions; those between them are text.
    drawing = TAG.sub(lambda tag: LONG_NUMBER.sub(r"\1", SPACES.sub(" ", tag[0])), drawing)
    return FONT_FAMILY.sub("", BETWEEN_TAGS.sub("><", drawing)).strip()


@dataclass(frozen=True)
class Section:
    """A heading with exhibits.

    Args:
        title: The heading.
        shown: The exhibits.
        lacking: Sentences on what cannot be shown, and why.
        shared: Sentences that several captions would repeat.
    """

    title: str
    shown: Sequence[ShownExhibit] = ()
    lacking: Sequence[str] = ()
    shared: Sequence[str] = ()


@dataclass(frozen=True)
class QuestionPart:
    """Section on questions of one kind.

    Args:
        title: The question, or one that stands for all.
        meaning: What the answers mean.
        is_before: True if the questions were asked before the data.
        is_open: True if nothing is known yet.
        shown: Its figure and table, if something was measured.
        lacking: Sentences on what cannot be shown, and why.
    """

    title: str
    meaning: Sequence[Sentence]
    is_before: bool
    is_open: bool
    shown: Sequence[ShownExhibit] = ()
    lacking: Sequence[str] = ()


@dataclass(frozen=True)
class CombinationPart:
    """Means, gaps and costs of one combination in a table.

    Args:
        title: The combination; empty if it is the only one.
        measure: The headline measure.
        numbers: The frame of the main table; empty if the measure is unknown.
        table: The main table; None if the measure is unknown.
        shown: Exhibits before the table, which compare arms.
        lacking: Sentences on what cannot be shown, and why.
        tolerance: Distance from the dense network's best at which gains start; empty without gains.
    """

    title: str
    measure: str = ""
    numbers: pd.DataFrame = field(default_factory=pd.DataFrame)
    table: PageTable | None = None
    shown: Sequence[ShownExhibit] = ()
    lacking: Sequence[str] = ()
    tolerance: str = ""


Part = TypeVar("Part", Section, QuestionPart, CombinationPart)


def drop_failed_figures(part: Part) -> Part:
    """The part with a sentence in place of each figure that could not be drawn.

    Days of training must not end without a page.
    """
    shown = []
    lacking = list(part.lacking)
    for exhibit in part.shown:
        try:
            if exhibit.job:
                exhibit.job.result()
        except Exception as error:
            lacking.append(str(fault_sentence(exhibit.title, error)))
        else:
            shown.append(exhibit)
    return replace(part, shown=shown, lacking=lacking)


def share_sentences(section: Section) -> Section:
    """The section with what several of its captions say above them, once."""
    shared = shared_sentences([each.caption for each in section.shown])
    return without_shared(replace(section, shared=shared), shared)


def without_shared(part: Part, told: Sequence[str]) -> Part:
    """The part without sentences in its captions that are told elsewhere."""
    shown = [replace(each, caption=without_sentences(each.caption, told)) for each in part.shown]
    return replace(part, shown=shown)


def tell_once(parts: Sequence[Part]) -> list[Part]:
    """The parts, each sentence of a caption where it comes first."""
    told: list[str] = []
    found = []
    for part in parts:
        captions = [sentence for each in part.shown for sentence in split_sentences(each.caption)]
        found.append(without_shared(part, told))
        told += captions
    return found
