"""Drawings in the page."""

from __future__ import annotations

from analysis.page.parts import compact_svg

DRAWING = """<?xml version="1.0"?>
<svg width="10pt">
 <metadata><a/></metadata>
 <path d="M 1.23456 2
L 3.5 0.999 " style="fill: none"/>
 <text style="font-size: 10px; font-family: 'A', sans-serif; fill: red" x="0.12345">0.12345</text>
</svg>
"""


def test_a_drawing_loses_what_nobody_sees_and_keeps_its_text() -> None:
    assert compact_svg(DRAWING) == (
        '<svg width="10pt"><path d="M 1.23 2 L 3.5 0.99 " style="fill: none"/>'
        '<text style="font-size: 10px; fill: red" x="0.12">0.12345</text></svg>'
    )
