"""Text of a page as a reader meets it, and patterns of the sentences in the catalogues."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path

from analysis.answers.page_sentences import PAGE_CATALOGUE
from analysis.answers.sentences import CATALOGUE
from analysis.catalogue.template import Template
from analysis.page.opening.glossary import TERMS

VOID = {"meta", "br", "img", "link", "input"}
HIDDEN = {"script", "style", "svg", "title"}
UNSAID = {"files", "command", "downloads", "live"}
"""Classes of elements whose text is no sentence: names of files, commands, legends."""
CONTAINERS = {"p", "li", "figcaption", "dd"}
"""Elements whose text is sentences."""


class PageText(HTMLParser):
    """Text of a page.

    Args:
        html: The page.
        is_whole: True reads what closed details hold too.
    """

    def __init__(self, html: str, *, is_whole: bool = False) -> None:
        super().__init__()
        self.words: list[str] = []
        self.blocks: list[str] = []
        self._is_whole = is_whole
        self._open: list[tuple[str, bool]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            return
        names = dict(attrs)
        closed = tag == "details" and "open" not in names and not self._is_whole
        unsaid = bool(UNSAID & set((names.get("class") or "").split()))
        self._open.append((tag, closed or unsaid or tag in HIDDEN))
        if tag in CONTAINERS:
            self.blocks.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        hidden = [place for place, (_, is_hidden) in enumerate(self._open) if is_hidden]
        tags = [tag for tag, _ in self._open]
        if hidden:
            first = hidden[0]
            is_summary = tags[first] == "details" and tags[first + 1 : first + 2] == ["summary"]
            if len(hidden) > 1 or not is_summary:
                return
        self.words += data.split()
        if self.blocks and CONTAINERS & set(tags):
            self.blocks[-1] += data


def page_text(path: Path, *, is_whole: bool = False) -> PageText:
    return PageText(path.read_text(), is_whole=is_whole)


def pattern(template: Template) -> str:
    """A pattern of a template's sentences, whatever their first letter."""
    # Code is shown without its backticks.
    parts = [
        re.escape(text.replace("`", "")) + (".*" if name is not None else "")
        for text, name, _, _ in string.Formatter().parse(template.text)
    ]
    return "(?i:" + "".join(parts) + ")"


def pattern_of_all(templates: Iterable[Template], others: Iterable[str] = ()) -> re.Pattern[str]:
    """A pattern of the sentences of all templates, and of others as they are."""
    texts = [pattern(template) for template in templates]
    return re.compile("|".join([*texts, *(re.escape(other) for other in others)]))


def known() -> re.Pattern[str]:
    """A pattern of everything in the catalogues of the open part."""
    meanings = [sentence for term in TERMS for sentence in sentences_of(term.meaning)]
    return pattern_of_all((CATALOGUE | PAGE_CATALOGUE).values(), meanings)


def sentences_of(text: str) -> list[str]:
    flat = " ".join(text.split())
    return [each for each in re.split(r"(?<=[.?]) (?=[A-Z\d])", flat) if each]
