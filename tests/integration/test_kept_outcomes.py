"""Outcomes on test examples of a killed study: those of `train` run alone, and no others."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

import analysis
from sparsetune.cli.main import main
from sparsetune.spec import TrialSpec
from sparsetune.storage.trial_files import OUTCOMES_FILE
from sparsetune.storage.trial_files.outcomes import encode_outcomes
from sparsetune.train import train
from tests.integration.runs import HERE, start, trials, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
SHORT = ("--set", "task.batch_size=64", "--set", "schedule.epochs=90")
LAUNCH = ("--checkpoint-seconds", "0.2", "--no-report")


def test_a_killed_study_keeps_the_outcomes_of_training_alone(tmp_path: Path) -> None:
    directory = tmp_path / "runs/small"

    def tests_in_the_middle() -> bool:
        """Whether a trial that will read the test set has a checkpoint."""
        if not (directory / "ledger").exists():
            return False
        running = [
            name
            for name, state in trials(directory).items()
            if state.use.role != "search" and state.reports and not state.finished
        ]
        return any([*(directory / "trials" / name).glob("*/checkpoint-*.pt")] for name in running)

    driver = start("run", HERE / "small_study.py", *SHORT, *LAUNCH, cwd=tmp_path)
    wait_for(tests_in_the_middle, driver, 300)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert driver.stdout
    driver.stdout.close()
    with start("resume", directory, *LAUNCH, cwd=tmp_path) as last:
        output, _ = last.communicate(timeout=400)
    assert last.returncode == 0, output
    assert main(["clean", str(directory), "--checkpoints", "--models", "--yes"]) == 0

    states = trials(directory)
    assert any(len(state.starts) > 1 and state.use.role != "search" for state in states.values())
    results = analysis.load(directory)
    learned = results.trials().set_index("trial_id")["learned_nothing"]
    torch.set_num_threads(1)
    for name, state in states.items():
        assert state.ended is not None and state.status == "COMPLETE"
        found = [*(directory / "trials" / name).rglob(OUTCOMES_FILE)]
        if state.use.role == "search":
            assert found == [] and OUTCOMES_FILE not in state.ended.files
            continue
        (file,) = found
        alone = train(TrialSpec.model_validate(state.use.spec), read_test=True).outcomes
        assert alone is not None
        assert file.read_bytes() == encode_outcomes(alone)
        assert results.trial_outcomes(name) == alone
        assert learned[name] == alone.learned_nothing
        assert state.ended.value("chance_loss") == alone.chance_loss
