"""Doctor, run and report without the calls that only Linux has, as on macOS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
SITECUSTOMIZE = """
import os
import pathlib

del os.sched_getaffinity

def hide(method):
    real = getattr(pathlib.Path, method)

    def hidden(self, *arguments, **options):
        if str(self).startswith(("/proc", "/sys")):
            raise FileNotFoundError(2, "there is no such folder on macOS", str(self))
        return real(self, *arguments, **options)

    setattr(pathlib.Path, method, hidden)

hide("read_text")
hide("write_text")
pathlib.Path.exists = lambda self, **options: os.path.exists(self) and str(self)[:5] != "/proc"
"""


def test_every_command_works_without_what_only_linux_has(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def output_of(*arguments: str) -> str:
        command = [sys.executable, "-m", "sparsetune", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        return done.stdout

    storage = str(tmp_path / "runs")
    checks = {
        check["name"]: check
        for check in json.loads(output_of("doctor", "--json", "--storage", storage))["checks"]
    }
    assert checks["CPUs"]["found"].startswith(f"{os.cpu_count()} of {os.cpu_count()}")
    assert "GiB in all" in checks["memory"]["found"]
    ran = output_of("run", "studies.digits", "--quick", "--json", "--storage", storage)
    facts = json.loads(ran)
    assert set(facts["trials"]) == {"COMPLETE"}
    reported = json.loads(output_of("report", "--json", facts["directory"]))
    assert reported["report"] == facts["report"]
    assert len(reported["answer"]["sentences"]) >= 1
    assert output_of("status", facts["directory"])
