"""The page's template: what becomes markup, scripts, style."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

from analysis.page import template
from analysis.page.template import code_html, packed_json

HOSTILE = "<b> </script> $x_ | % \\input{a} & # ^ ~ \" ' `"


def test_backticks_become_code_and_nothing_else_becomes_markup() -> None:
    assert (
        code_html("give `optim.lr` or `where`")
        == "give <code>optim.lr</code> or <code>where</code>"
    )
    assert code_html("`<b>` & <i>") == "<code>&lt;b&gt;</code> &amp; <i>".replace(
        "<i>", "&lt;i&gt;"
    )
    assert code_html("one ` alone") == "one ` alone"


def test_only_drawings_appear_when_the_page_is_printed() -> None:
    style = (Path(template.__file__).parent / "assets" / "page.css").read_text()
    assert ".drawn[hidden] { display: block !important; }" in style
    assert style.count("[hidden] {") == 2 and style.count("{") == style.count("}")


def test_json_in_a_page_cannot_end_its_script() -> None:
    text = packed_json({"name": HOSTILE})
    assert not set("<>&") & set(text)
    assert json.loads(gzip.decompress(base64.b64decode(text))) == {"name": HOSTILE}
