"""Arms and cells of the page's tables in words; the CSV files keep their ids."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from sparsetune.study.questions.words import arm_words

from ..tables.results import Results
from ..tables.selection import cell_phrases

CELL_COLUMNS = ("cell", "other_cell")
TEXT_COLUMNS = ("verdict", "reason")
"""Columns of sentences that may name cells."""


class NetworkNames:
    """Names of a study's arms and cells, as tables of the page show them.

    Args:
        results: The study.
    """

    def __init__(self, results: Results) -> None:
        phrases = cell_phrases(results)
        self._names = {cell: phrase.removeprefix("the ") for cell, phrase in phrases.items()}
        # An id without a slash may be a word of the text.
        ids = sorted((cell for cell in phrases if "/" in cell), key=len, reverse=True)
        self._pattern = re.compile(rf"(?<![\w/])(?:{'|'.join(map(re.escape, ids))})(?![\w/])")
        self._has_ids = bool(ids)

    def in_words(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame with arms, cells, and cells within sentences in words."""
        words = {
            name: frame[name].map(self._cell, "ignore") for name in CELL_COLUMNS if name in frame
        }
        words |= {
            name: frame[name].map(self._text, "ignore") for name in TEXT_COLUMNS if name in frame
        }
        if "arm" in frame:
            words["arm"] = frame["arm"].map(_arm, "ignore")
        return frame.assign(**words)

    def _cell(self, cell: Any) -> str:
        return self._names.get(str(cell), str(cell))

    def _text(self, text: Any) -> str:
        if not self._has_ids:
            return str(text)
        return self._pattern.sub(lambda found: self._cell(found[0]), str(text))


def _arm(arm: Any) -> str:
    """An arm as a column of arms has it: without an article."""
    return arm_words(str(arm)).removeprefix("the ")
