"""Ctrl-C and a scheduler's signals stop a launch cleanly; a full or read-only disk ends it with one message."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from sparsetune.__main__ import main
from sparsetune.find import find_study
from sparsetune.tune.launch import Options, launch
from tests.integration.runs import HERE, start, trials, wait_for

FULL = """
from tests.integration.test_outcomes import study

STUDY = study("full", rates=(0.1, 0.05, 0.02, 0.01)).pinned({"schedule.epochs": 40})
"""
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGUSR1])
def test_signal_stops_cleanly_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    driver = start("run", HERE / "small_study.py", cwd=tmp_path)
    directory = tmp_path / "runs" / "small"
    wait_for(lambda: directory.exists() and any(s.reports for s in trials(directory).values()), driver)
    driver.send_signal(number)
    before = time.monotonic()
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130, output
    assert f"sparsetune resume {directory}" in output and "Traceback" not in output
    assert time.monotonic() - before < 30


@pytest.mark.usefixtures("ray_session")
def test_full_disk_ends_the_study_with_one_message_and_keeps_what_was_reported(
    tmp_path: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full.py").write_text(FULL)
    assert main(["run", str(tmp_path / "full.py"), "--storage", str(small_disk), "--no-report"]) == 2
    said = capsys.readouterr()
    assert "No space left on device" in said.err and "Traceback" not in said.err
    kept = trials(small_disk / "full")
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    outcome = launch(
        find_study(str(tmp_path / "full.py"))[0],
        Options(storage=small_disk, quiet=True),
    )
    after = trials(outcome.directory)
    for trial_id, state in kept.items():
        assert state.reports.items() <= after[trial_id].reports.items() or not state.finished
        assert not state.finished or after[trial_id].attempts == state.attempts
