"""A study with a method in a file of the user's own is killed, and goes on as if never stopped."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

import analysis
from tests.integration.runs import assert_equal_to_training_alone, start, trials, wait_for

STUDY = """
from sparsetune import Arm, DigitsTask, LogUniform, OptimSpec, ScheduleSpec, Study, TrialSpec

LATE = {
    "sparsity.method": "late_rigl:LATE_RIGL",
    "sparsity.allocation": "erk",
    "sparsity.reset": "grown",
}
STUDY = Study(
    name="late",
    base=TrialSpec(
        task=DigitsTask(batch_size=100), optim=OptimSpec(lr=0.1), schedule=ScheduleSpec(epochs=24)
    ),
    arms={"late": Arm(LATE)},
    sweep={"sparsity.target": [0.9]},
    search={"sparsity.regrow.fraction": LogUniform(0.1, 0.5)},
    configurations_per_cell=2,
    report_seeds=1,
)
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_method_of_ones_own_survives_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(Path(__file__).parents[1] / "contracts" / "own_rigl.py", tmp_path / "late_rigl.py")
    (tmp_path / "late.py").write_text(STUDY)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.syspath_prepend(tmp_path)
    home = tmp_path / "runs" / "late"

    def is_half_done() -> bool:
        if not (home / "ledger").exists():
            return False
        running = [trial for trial in trials(home).values() if trial.reports and not trial.ended]
        saved = [path for path in home.glob("trials/*/attempt-1/*") if "checkpoint" in path.name]
        return bool(saved) and any(len(trial.reports) >= 6 for trial in running)

    options = ("--storage", tmp_path / "runs", "--checkpoint-seconds", "0", "--no-report")
    first = start("run", tmp_path / "late.py", *options, cwd=tmp_path)
    assert wait_for(is_half_done, first), first.communicate()[0]
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()

    resumed = start("resume", home, "--checkpoint-seconds", "0", cwd=tmp_path)
    said, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, said
    found = trials(home)
    assert {trial.status for trial in found.values()} == {"COMPLETE"}
    starts = [start for trial in found.values() for start in trial.starts]
    assert any(one.attempt == 2 and one.resumed_from_step > 0 for one in starts)
    for trial in found.values():
        assert_equal_to_training_alone(trial)
        if trial.use.spec.get("sparsity"):
            assert trial.own_code and trial.own_code[0].startswith("late_rigl=")
    shown = start("status", home, cwd=tmp_path)
    assert "late" in shown.communicate(timeout=100)[0]
    assert shown.returncode == 0

    # What it was is read without its file.
    (tmp_path / "late_rigl.py").unlink()
    table = analysis.load(home).trials()
    own = table[table["sparsity.method"] == "late_rigl:LATE_RIGL"]
    assert len(own) >= 3 and own["certified"].all()
    assert (home / "report" / "index.html").exists()
