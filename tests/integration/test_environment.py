"""Under `uv run`, a worker runs in the driver's environment, not in one that Ray built for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

SCRIPT = """
import os, sys
from sparsetune.launch import launch  # sets what Ray must know before its first import
import ray, sparsetune
@ray.remote
def where():
    import sparsetune
    return sparsetune.__file__, sys.prefix
if __name__ == "__main__":
    ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR")
    assert ray.get(where.remote()) == (sparsetune.__file__, sys.prefix), ray.get(where.remote())
    print("the same environment")
"""


def test_worker_shares_the_drivers_environment_under_uv_run(tmp_path: Path) -> None:
    if shutil.which("uv") is None:
        pytest.skip("runs `uv`, which is not installed")
    (tmp_path / "where.py").write_text(SCRIPT)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    root = Path(__file__).parents[2]
    command = [
        "uv",
        "run",
        "--no-sync",
        "--project",
        str(root),
        "python",
        str(tmp_path / "where.py"),
    ]
    done = subprocess.run(
        command, cwd=root, env=inherited, capture_output=True, text=True, timeout=240
    )
    assert "the same environment" in done.stdout, done.stderr + done.stdout
    assert sys.prefix
