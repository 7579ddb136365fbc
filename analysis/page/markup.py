"""Tables as files: Markdown and LaTeX with the rules of booktabs, whatever stands in a cell escaped; CSV."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pandas as pd

from analysis.page.table import PageTable

LATEX_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
}
LATEX_ESCAPES |= {
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    '"': r"\textquotedbl{}",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
}
LATEX_ESCAPES |= {mark: f"\\{mark}" for mark in "&%$#_{}"}


def to_markdown(table: PageTable) -> str:
    """A table in GitHub's Markdown; numbers stand at the right."""
    rule = ["---:" if column.right else ":---" for column in table.columns]
    lines = [_row((column.heading for column in table.columns), _escape_markdown), rule]
    lines += [_row((cell.text for cell in row.cells), _escape_markdown) for row in table.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_latex(table: PageTable) -> str:
    r"""A ``tabular`` that needs ``\usepackage{booktabs}`` and no more; rows of a group are set apart."""
    kinds = "".join("r" if column.right else "l" for column in table.columns)
    head = " & ".join(_row((column.heading for column in table.columns), _escape_latex))
    lines = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", rf"{head} \\", r"\midrule"]
    for number, row in enumerate(table.rows):
        lines += [r"\addlinespace"] if row.first and number else []
        lines.append(rf"{' & '.join(_row((cell.text for cell in row.cells), _escape_latex))} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _row(texts: Iterable[str], escaped: Callable[[str], str]) -> list[str]:
    return [escaped(" ".join(text.split())) for text in texts]


def _escape_markdown(text: str) -> str:
    """Every mark that Markdown or the HTML in it could act on stands for itself."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$!#])", r"\\\1", text)


def _escape_latex(text: str) -> str:
    """Every mark that LaTeX could act on stands for itself; control characters are left out."""
    return "".join(LATEX_ESCAPES.get(mark, mark) for mark in text if mark.isprintable())


def to_csv(frame: pd.DataFrame) -> bytes:
    """A frame as CSV, by the fast writer; frames that it cannot write, by the slow one."""
    import pyarrow as pa
    import pyarrow.csv

    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        sink = pa.BufferOutputStream()
        pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(quoting_style="needed"))
        return bytes(sink.getvalue())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return frame.to_csv(index=False).encode()
