"""Tables as files: Markdown, and LaTeX with the rules of booktabs."""

from __future__ import annotations

import re
from collections.abc import Callable

from .table import PageTable

LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\textquotedbl{}",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
}
MARKDOWN_MARKS = re.compile(r"([\\`*_\[\]|~$!#])")


def to_markdown(table: PageTable) -> str:
    """A table in GitHub's Markdown, numbers right-aligned."""
    headings, *rows = _escaped_texts(table, _escape_markdown)
    alignments = ["---:" if column.right else ":---" for column in table.columns]
    lines = [headings, alignments, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_latex(table: PageTable) -> str:
    r"""A ``tabular`` that needs only ``\usepackage{booktabs}``; groups of rows are set apart."""
    headings, *rows = _escaped_texts(table, _escape_latex)
    alignments = "".join("r" if column.right else "l" for column in table.columns)
    lines = [
        rf"\begin{{tabular}}{{{alignments}}}",
        r"\toprule",
        _latex_line(headings),
        r"\midrule",
    ]
    for number, (row, texts) in enumerate(zip(table.rows, rows, strict=True)):
        # The rule above the first row sets it apart already.
        if row.first and number > 0:
            lines.append(r"\addlinespace")
        lines.append(_latex_line(texts))
    lines += [r"\bottomrule", r"\end{tabular}", ""]
    return "\n".join(lines)


def _latex_line(texts: list[str]) -> str:
    return rf"{' & '.join(texts)} \\"


def _escaped_texts(table: PageTable, escape: Callable[[str], str]) -> list[list[str]]:
    """The headings, then the cells of each row, each escaped and on one line."""
    lines = [[column.heading for column in table.columns]]
    lines += [[cell.text for cell in row.cells] for row in table.rows]
    # A line break would end the row of a table in Markdown.
    return [[escape(" ".join(text.split())) for text in line] for line in lines]


def _escape_markdown(text: str) -> str:
    """Text in which nothing acts as Markdown or as HTML in it."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return MARKDOWN_MARKS.sub(r"\\\1", text)


def _escape_latex(text: str) -> str:
    """Text in which nothing acts as LaTeX; control characters are left out."""
    return "".join(LATEX_ESCAPES.get(mark, mark) for mark in text if mark.isprintable())
