"""`docs/foreign.md`: every example runs, and prints what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "foreign.md").read_text()
EXAMPLES = re.findall(
    r"^## ([^\n]*)\n(?:(?!^## ).*\n)*?```python\n((?:.*\n)*?)```\n```text\n((?:.*\n)*?)```",
    PAGE,
    re.MULTILINE,
)


def output(code: str, folder: Path) -> str:
    """What the code prints, run by itself in ``folder``."""
    # the package's own names are public once they are exported; the page shows those
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("title, code, text", EXAMPLES, ids=[title for title, _, _ in EXAMPLES])
def test_an_example_prints_what_the_page_says(
    title: str, code: str, text: str, tmp_path: Path
) -> None:
    assert [line.rstrip() for line in output(code, tmp_path).splitlines()] == text.splitlines()


def test_every_tool_has_its_example() -> None:
    assert [title for title, _, _ in EXAMPLES] == [
        "Means that are given", "Ray Tune", "Optuna", "Weights & Biases",
    ]  # fmt: skip
