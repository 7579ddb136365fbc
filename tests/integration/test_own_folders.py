"""A study with a model, data and an `analysis` package of the user's own: launched from its folder,
and gone on with from the printed command, there and elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from tests.pictures import write_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
STUDY = """
from sparsetune import FolderTask, ScheduleSpec, SparsitySpec, Study, TrialSpec

STUDY = Study(
    name="own",
    base=TrialSpec(
        task=FolderTask(
            folder="photos", examples=36, classes=3, validation=6, batch_size=10,
            resolution=32, eval_resolution=32, eval_resize=36, model="nets:build",
        ),
        sparsity=SparsitySpec(method="one_shot", target=0.5),
        schedule=ScheduleSpec(epochs=2),
    ),
    report_seeds=1,
)
"""
NETS = """
import math
from torch import nn
from analysis import HIDDEN

def build(input_shape, n_classes):
    layers = [nn.Linear(math.prod(input_shape), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, n_classes)]
    return nn.Sequential(nn.Flatten(), *layers)
"""


def sparsetune(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command as the installed script runs it: the current folder is not on the import path."""
    code = "import sys; from sparsetune.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", code, *arguments]
    hidden = ("PYTHONPATH", "SPARSETUNE_DATA")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def trials(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stdout + done.stderr
    found: dict[str, int] = json.loads(done.stdout)["trials"]
    return found


def test_a_study_of_ones_own_goes_on_from_the_printed_command_and_from_elsewhere(
    tmp_path: Path,
) -> None:
    project = tmp_path / "my project"
    code = project / "code"
    (code / "analysis").mkdir(parents=True)
    (code / "analysis" / "__init__.py").write_text("HIDDEN = 12\n")
    (code / "nets.py").write_text(NETS)
    (code / "own.py").write_text(STUDY)
    write_folder(tmp_path / "data" / "photos")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    run = sparsetune("run", "code/own.py", "--data-root", "../data", "--json", cwd=project)
    before = trials(run)
    page = project / "runs" / "own" / "report" / "index.html"
    printed = re.search(r"sparsetune (resume runs/own --add-report-seeds \d)", page.read_text())
    assert printed, "the page names the study as its own folder does"
    more = sparsetune(*shlex.split(printed[1]), "--json", cwd=project)
    assert trials(more)["COMPLETE"] > before["COMPLETE"]

    directory = str(project / "runs" / "own")
    assert sparsetune("report", directory, cwd=elsewhere).returncode == 0
    assert f"sparsetune report '{directory}'" in unescape(page.read_text())
    assert "own" in sparsetune("status", directory, cwd=elsewhere).stdout

    code.rename(elsewhere / "code")
    (tmp_path / "data").rename(elsewhere / "data")
    add = ("resume", directory, "--add-report-seeds", "1", "--json")
    lost = sparsetune(*add, cwd=tmp_path)
    assert (lost.returncode, "Traceback" in lost.stderr) == (2, False)
    assert "No module named 'nets'" in lost.stderr
    there = ("--path", "elsewhere/code", "--data-root", "elsewhere/data")
    again = sparsetune(*add, *there, cwd=tmp_path)
    assert trials(again)["COMPLETE"] > trials(more)["COMPLETE"]
    for command in ("status", "report"):
        done = sparsetune(command, directory, *there, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
