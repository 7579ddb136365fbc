"""`docs/foreign.md`: every example runs, and prints what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "foreign.md").read_text()


@dataclass(frozen=True)
class Example:
    """An example under its heading, and what it prints; None where the page does not say."""

    title: str
    code: str
    text: str | None


PART = re.compile(
    r"^#+ (?P<title>.*)$"
    r"|^```python\n(?P<code>(?:.*\n)*?)```\n(?:```text\n(?P<text>(?:.*\n)*?)```)?",
    re.MULTILINE,
)
"""A heading, or an example with what it prints."""


def examples(page: str) -> Iterator[Example]:
    title = ""
    for part in PART.finditer(page):
        if part["code"] is None:
            title = part["title"]
        else:
            yield Example(title, part["code"], part["text"])


PROCESSES = ("Its experiment folder", "Its run folders")
"""Examples whose tool starts processes of its own; Ray prints more than the page shows."""
EXAMPLES = [
    pytest.param(
        example,
        id=example.title,
        marks=[pytest.mark.cluster] if example.title in PROCESSES else [],
    )
    for example in examples(PAGE)
]


def output(example: Example, folder: Path) -> list[str]:
    """Lines that an example prints, run by itself in ``folder``."""
    # the package's own names are public once they are exported; the page shows those
    path, strict = ("", ["-W", "error"])
    if example.title in PROCESSES:
        path, strict = (os.environ["PATH"], [])
    done = subprocess.run(
        [sys.executable, *strict, "-c", example.code],
        cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [line.rstrip() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_prints_what_the_page_says(example: Example, tmp_path: Path) -> None:
    printed = output(example, tmp_path)
    if example.text is None:
        return
    expected = example.text.splitlines()
    assert (printed[-len(expected) :] if example.title in PROCESSES else printed) == expected


def test_every_tool_has_its_example() -> None:
    assert [example.title for example in examples(PAGE)] == [
        "Runs that sparsetune did not make",
        "Files and folders",
        "Means that are given",
        "Ray Tune",
        "Its experiment folder",
        "Optuna",
        "Its storage",
        "Weights & Biases",
        "Its run folders",
        "MLflow",
        "Syne Tune",
        "The trainer of transformers",
        "TensorBoard",
        "SparseML",
    ]
