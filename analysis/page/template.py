"""The page's template, with its style and scripts in it: it asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

from markupsafe import Markup, escape

CODE_PATTERN = re.compile("`([^`\n]+)`")


def render_page(**shown: Any) -> str:
    """The page as HTML; whatever somebody may have named is escaped."""
    page: str = _environment().get_template("page.html.jinja").render(**shown, **page_scripts())
    return page


def page_scripts() -> dict[str, Any]:
    """The page's style and scripts, and the policy that lets these run and nothing else, nor ask any network."""
    from importlib.resources import files

    from plotly.offline import get_plotlyjs

    own = {
        name: (files("analysis") / "page" / "assets" / name).read_text()
        for name in ("page.css", "page.js")
    }
    # Never written into the page as they are: what a parser of HTML, or a reader who looks for links, could act on.
    code = [get_plotlyjs().replace("</script", "<\\/script"), own["page.js"]]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src {allowed}"
    )
    return {"style": own["page.css"], "scripts": code, "policy": policy}


def script_json(value: Any) -> str:
    """JSON that may stand in a script of a page, whatever text is in it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def code_html(text: Any) -> Markup:
    """Text as HTML, escaped, with what stands between backticks as code."""
    return Markup(CODE_PATTERN.sub(r"<code>\1</code>", str(escape(text))))


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader

    from sparsetune.units import format_bytes

    environment = Environment(
        loader=PackageLoader("analysis", "page/assets"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "html": Markup,
        "json": lambda given: Markup(script_json(given)),
        "bytes": format_bytes,
    }
    environment.filters["words"] = code_html
    return environment
