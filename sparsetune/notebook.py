"""HTML by which declarations and results show themselves in a notebook; no library is needed."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

MAX_TABLE_ROWS = 12
"""Rows of a table in a notebook; the frame holds them all."""


def html_title(text: str) -> str:
    """One line in bold."""
    return f"<p><b>{escape(text)}</b></p>"


def html_text(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def html_list(items: Iterable[str]) -> str:
    """A list with bullets."""
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that scrolls sideways where it is wide, cut after `MAX_TABLE_ROWS` rows.

    Args:
        head: Text of the column heads; none for a table without.
        rows: Text of the cells.
    """
    top = f"<thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr></thead>"
    lines = [
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        for row in rows[:MAX_TABLE_ROWS]
    ]
    body = f"<tbody>{''.join(lines)}</tbody>"
    inside = f'<table cellpadding="4">{top if head else ""}{body}</table>'
    table = f'<div style="overflow-x:auto">{inside}</div>'
    cut = len(rows) - MAX_TABLE_ROWS
    return table + (html_text(f"… and {cut} more rows.") if cut > 0 else "")


def html_picture(png: bytes, width: int) -> str:
    """A picture, at most as wide as the page.

    Args:
        png: Content of a PNG file.
        width: Width in pixels of the page.
    """
    data = b64encode(png).decode()
    style = "max-width:100%;height:auto"
    return f'<img src="data:image/png;base64,{data}" width="{width}" style="{style}">'
