"""Renders the page's template, with its style and scripts inline: the page needs no network."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from .opening.glossary import Glossary

if TYPE_CHECKING:
    from jinja2 import Environment

CODE_PATTERN = re.compile("`([^`\n]+)`")


@dataclass(frozen=True)
class PageAssets:
    """Style and scripts of the page.

    Args:
        style: The style sheet.
        script: The page's own script.
        library: Plotly's script, compressed by gzip and in base64: the page's script runs it when
            the first figure comes near the window.
        policy: Content security policy that allows these two scripts, no others, and no network.
    """

    style: str
    script: str
    library: str
    policy: str


def render_page(figures: Mapping[str, Any], **context: Any) -> str:
    """The page as HTML, in which all text of the context is escaped.

    Args:
        figures: Panels of each interactive figure, by its name.
        context: The template's other variables.
    """
    assets = page_assets()
    glossary = Glossary()
    environment = _environment()
    # Terms are linked as they are rendered; the glossary at the end lists those that were.
    environment.filters["link"] = glossary.link
    template = environment.get_template("page.html.jinja")
    page: str = template.render(
        **context,
        glossary=glossary,
        style=assets.style,
        script=assets.script,
        library=assets.library,
        policy=assets.policy,
        panels=packed_json(figures),
    )
    return page


@cache
def page_assets() -> PageAssets:
    """The page's style and scripts."""
    from plotly.offline import get_plotlyjs

    # As package resources, they are found inside a zipped package too.
    folder = files(__package__) / "assets"
    plotly_script = get_plotlyjs()
    script = (folder / "page.js").read_text()
    allowed = " ".join(f"'sha256-{_base64_digest(each)}'" for each in (plotly_script, script))
    # A script that a name in a study smuggles in has another digest, and does not run.
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src {allowed}"
    )
    return PageAssets((folder / "page.css").read_text(), script, packed(plotly_script), policy)


def packed(text: str) -> str:
    """A text compressed by gzip, in base64, as the page's script unpacks it."""
    # Without its time, equal texts give equal pages.
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def _base64_digest(script: str) -> str:
    """SHA-256 digest of a script, as a content security policy names it."""
    digest = hashlib.sha256(script.encode()).digest()
    return base64.b64encode(digest).decode()


def packed_json(value: Any) -> str:
    """A value as JSON, as the page's script unpacks it.

    Raises:
        ValueError: if there is a NaN or an infinity in it.
    """
    return packed(json.dumps(value, allow_nan=False, separators=(",", ":")))


def code_html(text: Any) -> Markup:
    """Text as escaped HTML, in which words between backticks are code."""
    return Markup(CODE_PATTERN.sub(r"<code>\1</code>", str(escape(text))))


def _environment() -> Environment:
    """Jinja's environment, with the filters that the template uses."""
    from jinja2 import Environment, PackageLoader

    from sparsetune.units import format_bytes

    environment = Environment(
        loader=PackageLoader(__package__, "assets"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["html"] = Markup
    environment.filters["bytes"] = format_bytes
    environment.filters["words"] = code_html
    return environment
