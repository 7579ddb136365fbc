"""A study with a model, data, a score and an `analysis` package of the user's own.

It is launched from its folder, and gone on with from the printed command, there and elsewhere.
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

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
STUDY = """
from sparsetune import CustomTask, ScheduleSpec, SparsitySpec, Study, TrialSpec

STUDY = Study(
    name="own",
    base=TrialSpec(
        task=CustomTask(data="rows:load", model="nets:build", validation=20, batch_size=20),
        sparsity=SparsitySpec(method="one_shot", target=0.5, score="nets:magnitude"),
        schedule=ScheduleSpec(epochs=2),
    ),
    report_seeds=1,
)
"""
NETS = """
import math
from torch import nn
from analysis import HIDDEN
from sparsetune.sparsity.scores import ScoreResult

def build(input_shape, n_outputs):
    layers = [nn.Linear(math.prod(input_shape), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, n_outputs)]
    return nn.Sequential(nn.Flatten(), *layers)

def magnitude(context):
    return ScoreResult({name: weight.abs() for name, weight in context.weights.items()})
"""
ROWS = """
import numpy as np

def load(data_root):
    table = np.loadtxt(data_root / "table.csv", delimiter=",", dtype=np.float32)
    inputs, targets = table[:, :-1], table[:, -1].astype(np.int64)
    return {"train": (inputs[:80], targets[:80]), "test": (inputs[80:], targets[80:])}
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
    (code / "rows.py").write_text(ROWS)
    data = tmp_path / "data"
    data.mkdir()
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((100, 5))
    np.savetxt(data / "table.csv", np.c_[inputs, inputs[:, 0] > 0], delimiter=",")
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
    data.rename(elsewhere / "data")
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
