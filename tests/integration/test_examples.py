"""The examples of tasks of one's own: each runs, is killed, goes on, and equals training alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import analysis
from sparsetune.storage import StudyDirectory
from tests.integration.runs import assert_equal_to_training_alone, start, trials, wait_for

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
LINES_AT_MOST = 60

pytestmark = [pytest.mark.docs, pytest.mark.timeout(600)]


def examples() -> list[Path]:
    return sorted(EXAMPLES.glob("*.py"))


def test_examples_are_short() -> None:
    assert len(examples()) >= 5
    for path in examples():
        assert len(path.read_text().splitlines()) <= LINES_AT_MOST, path.name


@pytest.mark.parametrize("path", examples(), ids=lambda path: path.stem)
def test_an_example_killed_and_resumed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    directory = tmp_path / "runs" / f"{path.stem}-quick"

    def one_has_ended() -> bool:
        if not (directory / "ledger").exists():
            return False
        return any(state.finished for state in trials(directory).values())

    driver = start("run", path, "--quick", "--no-report", cwd=tmp_path)
    wait_for(one_has_ended, driver, 200)
    os.kill(driver.pid, signal.SIGKILL)
    output, _ = driver.communicate()
    assert (directory / "ledger").exists(), output
    # The study as it is stored knows its data; the folder of its code is found again.
    with start("resume", directory, cwd=tmp_path) as last:
        output, _ = last.communicate(timeout=300)
    assert last.returncode == 0, output

    states = trials(directory)
    assert states
    assert all(state.status == "COMPLETE" for state in states.values())
    for state in states.values():
        assert_equal_to_training_alone(state)
    results = analysis.load(directory)
    assert results.trials()["val_score"].notna().all()
    for name in StudyDirectory(directory).study().base.task.metric_names():
        assert results.history()[f"val_{name}"].notna().all()
    assert (directory / "report" / "index.html").is_file()
