"""The built wheel, in an empty folder, runs a user's study file to its report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.wheel import install_wheel

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]
STUDY = """
from sparsetune import Arm, ScheduleSpec, Study, TrialSpec

STUDY = Study(
    name="mine",
    base=TrialSpec(schedule=ScheduleSpec(epochs=2)),
    arms={"gmp": Arm({"sparsity.method": "gmp"})},
    sweep={"sparsity.target": [0, 0.9]},
    report_seeds=2,
)
"""


def test_installed_wheel_runs_a_study_file_in_an_empty_folder(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    installed, environment = install_wheel(tmp_path)
    (folder / "analysis").mkdir(parents=True)
    (folder / "analysis" / "__init__.py").write_text(
        "raise RuntimeError('a namesake of the user: not to be imported')"
    )
    (folder / "mine.py").write_text(STUDY)

    where = "import analysis, sparsetune; print(sparsetune.__file__, analysis.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", where], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert found.stdout.count(str(installed)) == 2, found.stdout + found.stderr
    command = [sys.executable, "-m", "sparsetune", "run", "mine.py", "--json"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["trials"] == {"COMPLETE": 4}
    page = Path(facts["report"])
    assert (installed / "analysis" / "references" / "references.csv").is_file()
    masks = list((folder / "runs" / "mine" / "trials").rglob("masks.safetensors"))
    assert len(masks) == 2, "of the sparse report trials, not of their dense twins"
    assert page == folder / "runs" / "mine" / "report" / "index.html" and "<svg" in page.read_text()
