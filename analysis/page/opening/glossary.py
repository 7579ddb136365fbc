"""Glossary of the page: terms that stand in its open text, and links from their first uses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from markupsafe import Markup, escape

from ...wording import TWIN_LABELS

CODE_PATTERN = re.compile("`([^`\n]+)`")


@dataclass(frozen=True)
class Term:
    """One entry of the glossary.

    Args:
        name: The term.
        meaning: What it means, in a sentence or two.
        forms: Further spellings that are linked to it.
    """

    name: str
    meaning: str
    forms: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        """Its anchor on the page."""
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


TERMS = (
    Term("sparsity", "Share of the prunable weights that are set to zero."),
    Term("dense network", "The same network without pruning."),
    Term(
        "dense twin",
        "A dense network trained with the same recipe, seed and length as a sparse one; with the"
        " same FLOPs, where a study asks for these.",
        tuple(TWIN_LABELS.values()),
    ),
    Term(
        "dense recipe",
        "The best hyperparameters found for the dense network, used unchanged in a sparse one.",
    ),
    Term("re-tuning", "Searching the hyperparameters again for a sparse network."),
    Term(
        "configuration",
        "One choice of all hyperparameters that a search tries.",
        ("configurations",),
    ),
    Term(
        "under-trained",
        "Longer training raises the score by more than chance explains.",
    ),
    Term("over-trained", "Longer training lowers the score by more than chance explains."),
    Term("enough", "Longer training is shown to change the score by less than the margin."),
    Term(
        "not settled",
        "The interval includes both no effect and effects that matter.",
    ),
    Term(
        "margin", "Largest effect that counts as none: 0.2 points, unless the study says another."
    ),
    Term("points", "Percentage points: the difference of two percentages."),
    Term(
        "interval",
        "Range that holds the true value in 95 % of repetitions. Intervals that hold together"
        " all do so in 95 %, and are wider.",
        ("95 % interval", "95 % intervals", "intervals", "interval of each mean alone"),
    ),
    Term("seed", "A random start: initial weights and the order of the data.", ("seeds",)),
    Term("test examples", "Examples used neither for training nor for choosing a recipe."),
    Term("epoch", "One pass over the training data.", ("epochs",)),
    Term("collapsed", "Ended near the loss of guessing."),
    Term("diverged", "Ended with a loss that is no finite number."),
    Term("GMP", "Gradual magnitude pruning: the smallest weights are set to zero step by step."),
    Term("AC/DC", "Alternates between training the network sparse and dense."),
    Term("RigL", "Keeps the sparsity and moves weights to where gradients are large."),
    Term("SET", "Keeps the sparsity and moves weights at random."),
    Term("FLOPs", "Arithmetic operations, the cost of training or of one prediction."),
)
"""Every term, in the order of the glossary."""


def _form_pattern(form: str) -> str:
    """Pattern of a spelling, which may begin with a capital letter."""
    first = form[0]
    start = f"[{first}{first.upper()}]" if first.islower() else re.escape(first)
    return start + re.escape(form[1:])


class Glossary:
    """Links terms of a page to its glossary, each at its first use.

    Args:
        terms: The terms that may be linked.
    """

    def __init__(self, terms: Iterable[Term] = TERMS) -> None:
        self._terms: Mapping[str, Term] = {
            form: term for term in terms for form in (term.name, *term.forms)
        }
        longest_first = sorted(self._terms, key=len, reverse=True)
        names = "|".join(map(_form_pattern, longest_first))
        self._pattern = re.compile(rf"(?<![\w/-])({names})(?![\w/-])")
        self._used: dict[str, Term] = {}

    def link(self, text: object) -> Markup:
        """A text as escaped HTML: words between backticks are code, new terms are links."""
        parts = CODE_PATTERN.split(str(text))
        shown = [
            Markup("<code>{}</code>").format(part) if index % 2 else self._link_terms(part)
            for index, part in enumerate(parts)
        ]
        return Markup("").join(shown)

    def _link_terms(self, text: str) -> Markup:
        shown = []
        end = 0
        for match in self._pattern.finditer(text):
            # A term may begin a sentence; names of methods are as they are.
            term = self._terms.get(match[1]) or self._terms[match[1][0].lower() + match[1][1:]]
            if term.name in self._used:
                continue
            self._used[term.name] = term
            shown.append(escape(text[end : match.start()]))
            link = Markup('<a class="term" href="#{}">{}</a>')
            shown.append(link.format(term.anchor, match[1]))
            end = match.end()
        shown.append(escape(text[end:]))
        return Markup("").join(shown)

    @property
    def used(self) -> list[Term]:
        """Terms that were linked, in the order of the glossary."""
        every = dict.fromkeys(self._terms.values())
        return [term for term in every if term.name in self._used]
