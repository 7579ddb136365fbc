"""A whole study in an object store over the wire: killed, resumed from its prefix alone, read and
reported.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import analysis
from sparsetune.paths import list_names, resolve_place
from sparsetune.search.status import study_status
from sparsetune.storage import StudyDirectory, ledger
from tests.integration.runs import HERE, assert_equal_to_training_alone, start, trials, wait_for
from tests.ledger_records import plain_records
from tests.object_store import KEYS, keys

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
LAUNCH = ("--checkpoint-seconds", "0.2")


def is_in_the_middle(directory: Any) -> bool:
    """Whether some trials have ended, and one that has not has a checkpoint."""
    if len(list_names(directory / "ledger")) < 6:
        return False
    ended = {trial_id for trial_id, trial in trials(directory).items() if trial.finished}
    return bool(ended) and any(
        path.parent.parent.name not in ended
        for path in directory.glob("trials/*/*/checkpoint-*.pt")
    )


def kill_in_the_middle(driver: subprocess.Popen[str], directory: Any) -> None:
    """Kill a driver while a trial runs that has a checkpoint.

    The driver is stopped while the store is listed, which is slow: it records no end meanwhile, and
    a worker deletes no checkpoint before the driver has recorded the trial's end.
    """

    def is_interrupted() -> bool:
        time.sleep(0.5)
        os.kill(driver.pid, signal.SIGSTOP)
        if is_in_the_middle(directory):
            return True
        os.kill(driver.pid, signal.SIGCONT)
        return False

    wait_for(is_interrupted, driver, 400)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert driver.stdout
    driver.stdout.close()  # its workers, which outlive it by seconds, hold the other end


def test_a_killed_study_goes_on_from_the_store_alone(
    tmp_path: Path, bucket: str, object_store: dict[str, str]
) -> None:
    directory = resolve_place(f"{bucket}/runs/small")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    short = (
        "--set",
        "task.batch_size=64",
        "--set",
        "schedule.epochs=90",
        "--storage",
        f"{bucket}/runs",
    )
    driver = start("run", HERE / "small_study.py", *short, *LAUNCH, "--no-report", cwd=tmp_path)
    kill_in_the_middle(driver, directory)
    acknowledged = list(ledger.read_lines(directory / "ledger"))
    assert StudyDirectory(directory).driver() is None

    with start("resume", str(directory), *LAUNCH, cwd=folder) as last:
        output, _ = last.communicate(timeout=400)
    assert last.returncode == 0, output
    assert list(ledger.read_lines(directory / "ledger"))[: len(acknowledged)] == acknowledged

    records = plain_records(directory / "ledger")
    ended = [record["trial_id"] for record in records if record["type"] == "ended"]
    states = trials(directory)
    assert len(ended) == len(set(ended)) and set(ended) == set(states)
    assert all(state.status == "COMPLETE" for state in states.values())
    assert any(record["resumed_from_step"] > 0 for record in records if record["type"] == "started")
    for state in states.values():
        assert_equal_to_training_alone(state)

    left = keys(str(directory))
    assert not any("checkpoint-" in key for key in left), "finished trials keep no checkpoint"
    assert {"study.json", "search.journal", "report/index.html", "tables/trials.csv"} <= set(left)
    assert any(key.startswith("figures/") and key.endswith(".png") for key in left)
    secrets = [*KEYS.values(), object_store["AWS_ENDPOINT_URL"].partition("://")[2]]
    assert [
        key for key, whole in left.items() if any(secret.encode() in whole for secret in secrets)
    ] == []
    assert not any(secret in output for secret in secrets)
    results = analysis.load(directory)
    assert len(results.trials()) == len(states)
    tested = [name for name, state in states.items() if state.use.role != "search"]
    assert results.outcomes(tested).shape == (len(tested), 360)
    facts = study_status(directory)
    assert (facts["driver"], facts["trials"], facts["progress"]) == (
        None,
        {"COMPLETE": len(states)},
        1.0,
    )
    assert list(folder.iterdir()) == [] and not (tmp_path / "runs").exists()
