"""Ray ends a worker whose node runs out of memory, and Tune with it: the study goes on by
itself.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.runs import HERE, assert_equal_to_training_alone, start, trials
from tests.ledger_records import plain_records

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
]  # it needs a machine with memory that others leave alone


def test_a_worker_killed_for_memory_costs_an_attempt_and_no_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, free = (1024 * memory()[name] for name in ("MemTotal", "MemAvailable"))
    if free < 10e9:
        pytest.skip("needs 10 GB of free memory")
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{(total - free + 4e9) / total:.4f}")
    monkeypatch.setenv("SWELLING", str(tmp_path / "mark"))
    swelling = (
        "--set",
        "task.model=tests.integration.models:Swelling",
        "--checkpoint-seconds",
        "0.1",
    )
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    )
    with start(
        "run",
        HERE / "small_study.py",
        *swelling,
        "--no-report",
        "--storage",
        tmp_path,
        cwd=tmp_path,
    ) as driver:
        output, _ = driver.communicate(timeout=500)
    assert driver.returncode == 0, output
    assert (tmp_path / "mark").exists()
    assert "killed a worker because memory ran out" in output and "Traceback" not in output
    states = trials(tmp_path / "small")
    assert all(state.status == "COMPLETE" for state in states.values())
    retried = [
        r
        for r in plain_records(tmp_path / "small" / "ledger")
        if r["type"] == "started" and r["attempt"] > 1
    ]
    assert retried and any("memory" in record.get("reason", "") for record in retried)
    for state in states.values():
        if state.attempts > 1:
            assert_equal_to_training_alone(state)


def memory() -> dict[str, int]:
    """KiB by name."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    return {name.rstrip(":"): int(number) for name, number, *_ in lines}
