"""Other versions of Python than this one: dependencies exist for them, and they read the code."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTED = ("3.11", "3.12", "3.13")
"""Versions that run the tests, where they are found."""
RESOLVED = (*TESTED, "3.14")
"""Versions for which every dependency must have a release."""
COMPILE = """
import pathlib, sys
for folder in ("sparsetune", "analysis", "studies", "tests"):
    for path in pathlib.Path(folder).rglob("*.py"):
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
print(sys.version_info[:2])
"""

pytestmark = [
    pytest.mark.slow,  # asks the package index
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("uv") is None, reason="asks uv, which is missing"),
]


@pytest.mark.parametrize("version", RESOLVED)
def test_dependencies_resolve(version: str) -> None:
    compiling = ["uv", "pip", "compile", "--quiet", "--all-extras", "--python-version", version]
    done = subprocess.run(
        [*compiling, "--no-header", "pyproject.toml"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    resolved = {line.partition("==")[0] for line in done.stdout.splitlines() if "==" in line}
    named = {line.split(">")[0].split("[")[0] for line in project["dependencies"]}
    assert named <= resolved


def find_python(version: str) -> str | None:
    """Path of a Python of this version, as uv or pyenv have it; None where neither does."""
    # Without this project: else uv would find the project's own environment.
    asking = ["uv", "python", "find", "--no-project", "--system", "--no-python-downloads", version]
    found = subprocess.run(asking, cwd="/", capture_output=True, text=True)
    if found.returncode == 0:
        return found.stdout.strip()
    # uv gives up at a shim of pyenv that stands for a version which is not the global one.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted((pyenv / "versions").glob(f"{version}.*/bin/python"))
    return str(installed[-1]) if installed else None


@pytest.mark.parametrize("version", TESTED)
def test_the_code_compiles(version: str) -> None:
    found = find_python(version)
    if found is None:
        pytest.skip(f"Python {version} is not found here")
    done = subprocess.run([found, "-c", COMPILE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    major, _, minor = version.partition(".")
    assert done.stdout.strip() == f"({major}, {minor})"
