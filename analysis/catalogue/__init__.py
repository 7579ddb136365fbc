"""Catalogue of the sentences under More, in captions, notes and tables, and of `sparsetune diff`.

One rule: a sentence stands in the file that is named after the folder whose code writes it, with
the condition on which it is printed, and is written by `write`, which fills in its values. What is
open on the page has a catalogue of its own, in `analysis.answers`: `sentences`, `page_sentences`.
"""

from __future__ import annotations

from collections.abc import Iterable

from .checks import CHECK_SENTENCES
from .curves import CURVE_SENTENCES
from .diff import DIFF_SENTENCES
from .estimates import ESTIMATE_SENTENCES
from .frontiers import FRONTIER_SENTENCES
from .lengths import LENGTH_SENTENCES
from .page import PAGE_SENTENCES
from .ramps import RAMP_SENTENCES
from .recipes import RECIPE_SENTENCES
from .references import REFERENCE_SENTENCES
from .structure import STRUCTURE_SENTENCES
from .tables import TABLE_SENTENCES
from .template import Sentence, Template, capitalised

__all__ = ["PARTS", "SENTENCES", "paragraph", "write"]

PARTS = (
    CHECK_SENTENCES,
    CURVE_SENTENCES,
    DIFF_SENTENCES,
    ESTIMATE_SENTENCES,
    FRONTIER_SENTENCES,
    LENGTH_SENTENCES,
    PAGE_SENTENCES,
    RAMP_SENTENCES,
    RECIPE_SENTENCES,
    REFERENCE_SENTENCES,
    STRUCTURE_SENTENCES,
    TABLE_SENTENCES,
)
"""The sentences of each file by their names, which no two files share."""
SENTENCES: dict[str, Template] = {name: part[name] for part in PARTS for name in part}
"""Every sentence by its name."""


def write(name: str, /, **values: object) -> Sentence:
    """A sentence of the catalogue with its values; it begins with a capital letter.

    Args:
        name: Its name in `SENTENCES`.
        values: A text for each name in braces.
    """
    return Sentence(name, capitalised(SENTENCES[name].text.format(**values)), values)


def paragraph(sentences: Iterable[Sentence]) -> str:
    """Sentences one after another, as a caption has them."""
    return " ".join(map(str, sentences))
