"""What a trial does to its worker stays its own, and one that does not go on is ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sparsetune import DigitsTask, ScheduleSpec, Study, TrialSpec
from sparsetune.launch.launch import Options, launch
from sparsetune.storage.trial_state import TrialState
from tests.integration.runs import assert_equal_to_training_alone, rows, trials

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("ray_session"),
]

UNRULY = "tests.integration.unruly:"
SCALED = "tests.integration.unruly_import:Scaled"


def run(folder: Path, seeds: int, *models: str, silence: float = 15) -> dict[str, list[TrialState]]:
    """The trials of one study by their model, in one worker, one after the other."""
    study = Study(
        name="unruly",
        base=TrialSpec(task=DigitsTask(model="mlp"), schedule=ScheduleSpec(epochs=2)),
        sweep={"task.model": list(models)},
        report_seeds=seeds,
    )
    options = Options(
        storage=folder, cpus_per_trial=2, checkpoint_seconds=0, silence_minutes=silence, quiet=True
    )
    outcome = launch(study, options)
    found: dict[str, list[TrialState]] = {}
    for state in trials(outcome.directory).values():
        model = TrialSpec.model_validate(state.use.spec).task.model
        found.setdefault(model.rpartition(":")[2], []).append(state)
    return found


def test_what_a_trial_does_to_its_worker_stays_its_own(tmp_path: Path) -> None:
    models = [f"{UNRULY}Untidy", f"{UNRULY}Doubling", SCALED, f"{UNRULY}Plain"]
    found = run(tmp_path, 2, *models)
    for state in found["Plain"]:
        assert (state.status, state.attempts) == ("COMPLETE", 1)
        assert_equal_to_training_alone(state, threads=2)
    assert [state.status for state in found["Untidy"]] == ["COMPLETE", "COMPLETE"]
    for state in found["Doubling"]:
        assert (state.status, state.attempts) == ("FAILED", 1), "that model alone"
        assert "Float" in state.ended.error or "Double" in state.ended.error
    # What a module changes at its import reaches all of its trials.
    for state in found["Scaled"]:
        assert state.status == "COMPLETE"
        assert rows(state) == in_a_new_process(state)
    workers = [state.starts[0].pid for state in (*found["Untidy"], *found["Doubling"])]
    assert len(set(workers)) == 1, "what can be undone costs no worker"


def test_a_trial_that_does_not_go_on_is_ended_with_its_reason(tmp_path: Path) -> None:
    minutes = patience(tmp_path / "plain")
    models = ("mlp", f"{UNRULY}Quitting", f"{UNRULY}Sleepy")
    found = run(tmp_path / "unruly", 1, *models, silence=minutes)
    (quitting,) = found["Quitting"]
    assert (quitting.status, quitting.attempts) == ("FAILED", 1)
    assert quitting.ended.error.startswith("SystemExit: 3 (unruly.py:")
    (sleepy,) = found["Sleepy"]
    assert (sleepy.status, sleepy.attempts) == ("COMPLETE", 2), "tried from its checkpoint"
    assert sleepy.starts[1].resumed_from_step == 20
    said = f"no step for {minutes:g} minutes after step 29 of this attempt"
    assert said in sleepy.starts[1].reason
    assert "in unruly.py:" in sleepy.starts[1].reason
    assert_equal_to_training_alone(sleepy, threads=2)


def patience(folder: Path) -> float:
    """Minutes that no silence of a trial lasts here and now: longer than a whole one takes.

    A busy machine lets a trial wait for its turn, however short its steps are.
    """
    ((trial,),) = run(folder, 1, "mlp").values()
    seconds = trial.ended.time - trial.proposed[0].time  # the start of its worker included
    return round(max(15, 1.5 * seconds) / 60, 2)


def in_a_new_process(state: TrialState) -> list[dict[str, Any]]:
    """History of the trial, trained alone in a process of its own."""
    program = (
        "import json, sys; from tests.integration.runs import alone;"
        "print(json.dumps(alone(json.loads(sys.argv[1]), read_test=True, threads=2)[0]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(state.use.spec)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    history: list[dict[str, Any]] = json.loads(done.stdout)
    return history
