"""The built wheel, installed into a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def install_wheel(folder: Path) -> tuple[Path, dict[str, str]]:
    """Build the wheel and install it without its dependencies, which this environment has.

    Args:
        folder: A folder for what is built and installed.

    Returns:
        The folder that it is installed in, and an environment in which Python imports it from
        there.
    """
    if shutil.which("uv") is None:
        pytest.skip("builds the wheel with `uv`, which is not installed")
    built = folder / "built"
    installed = folder / "installed"
    build = ["uv", "build", "--wheel", "--out-dir", str(built), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    target = ["--no-deps", "--target", str(installed), "--python", sys.executable, str(wheel)]
    subprocess.run(["uv", "pip", "install", *target], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    return installed, environment
