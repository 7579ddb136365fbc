"""What is committed: clean for ruff and mypy, and nothing of one machine or of one lock of
versions.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def output_of(*command: str) -> str:
    """Standard output and error of a command that must succeed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


def committed() -> list[Path]:
    """Files that git tracks or would add."""
    names = output_of("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(
        "\0"
    )
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_has_nothing_to_say(arguments: list[str]) -> None:
    output_of(sys.executable, "-m", "ruff", *arguments, ".")


@pytest.mark.timeout(600)
def test_mypy_has_nothing_to_say() -> None:
    output_of(sys.executable, "-m", "mypy")


def test_no_lock_file_is_committed() -> None:
    locks = re.compile(
        r"uv\.lock|poetry\.lock|pylock.*\.toml|Pipfile\.lock|package-lock\.json|conda-lock.*"
    )
    assert [path for path in committed() if locks.fullmatch(path.name)] == []


FOREIGN = re.compile(rb"/(work|root|home)/[a-z.]|python(hosted)\.org|pypi\.(org|python)")


def test_no_committed_file_names_a_path_of_one_machine_or_a_registry() -> None:
    found = {
        str(path.relative_to(ROOT)): match[0]
        for path in committed()
        if (match := FOREIGN.search(path.read_bytes()))
    }
    assert found == {}


@pytest.mark.parametrize(
    "text", [b"/" + b"work/main", b"/" + b"root/.cache", b"https://files.python" + b"hosted.org"]
)
def test_the_pattern_finds_what_it_should(text: bytes) -> None:
    assert FOREIGN.search(text)


@pytest.mark.parametrize(
    "path",
    ["runs/digits/study.json", ".venv/bin/python", "uv.lock", "dist/a.whl", "a/__pycache__/b"],
)
def test_what_is_made_by_running_is_ignored(path: str) -> None:
    assert output_of("git", "check-ignore", "--no-index", path).strip() == path


def test_the_license_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert text.rstrip().endswith("limitations under the License.")
