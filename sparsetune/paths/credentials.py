"""Texts without the credentials in them, so that they may be recorded or shown."""

from __future__ import annotations

import re

MASK = "***"
_NAMES = (
    r"(?:token(?!s)|secret|passw(?:or)?d|api[_-]?key|access[_-]?key|credential|signature|\bsig)"
)
_PATTERNS = (
    # A user and a password before the host of a URL; the password may hold slashes.
    (re.compile(r"(\w://)(?:[^\s/@]+|[^\s/@:]*:(?!\d+(?:/|\s|$))[^\s@]*)@"), rf"\1{MASK}@"),
    # Values of options, of variables and of parts of a URL's query, by their names.
    (
        re.compile(rf"((?:^|[\s?&;'\"-])[\w.-]*{_NAMES}[\w.-]*\s*[=\s]\s*)(?!-)[^\s&]+", re.I),
        rf"\1{MASK}",
    ),
    # Keys that tell by their form what they are: of AWS, GitHub, Hugging Face.
    (re.compile(r"\b(?:A[KS]IA[0-9A-Z]{16}|gh[pousr]_\w{20,}|hf_\w{20,})\b"), MASK),
)


def without_credentials(text: str) -> str:
    """A text in which passwords and keys are ``***``, by the form of URLs, options and keys.

    What has none of these forms is not known to be one, and stays.
    """
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text
