"""What the integration tests share: real command lines, and a study's histories against `train` run
alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sparsetune.spec import TrialSpec
from sparsetune.storage.ledger import read_records
from sparsetune.storage.records import null_non_finite
from sparsetune.storage.trial_state import TrialState, fold_records
from sparsetune.train import train

HERE = Path(__file__).parent
CLOCKS = {"seconds", "time", "type", "trial_id", "attempt"}


def start(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """The command line in a process group of its own."""
    command = [sys.executable, "-m", "sparsetune", *map(str, arguments)]
    output = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=cwd, text=True, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )


def wait_for(
    condition: Callable[[], Any],
    process: subprocess.Popen[str],
    seconds: float = 150,
    pause: float = 0.02,
) -> Any:
    """Poll until the condition is truthy; fails when the process ends or the time is over
    before.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (value := condition()) or process.poll() is not None:
            return value
        time.sleep(pause)
    raise TimeoutError("the condition did not come true")


def trials(directory: Path) -> dict[str, TrialState]:
    """What the ledger says of every trial."""
    return fold_records(read_records(directory / "ledger"))


def rows(trial: TrialState) -> list[dict[str, Any]]:
    """The history of a trial without its clocks."""
    return [
        {k: v for k, v in report.row.items() if k not in CLOCKS}
        for _, report in sorted(trial.reports.items())
    ]


def alone(
    spec: dict[str, Any], *, read_test: bool, data_root: Path | None = None, threads: int = 1
) -> tuple[list[dict[str, Any]], dict]:
    """History and test values of `train(spec)` on some threads, as the ledger would hold them."""
    reported: list[dict[str, Any]] = []
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        final = train(
            TrialSpec.model_validate(spec),
            report=reported.append,
            read_test=read_test,
            data_root=data_root,
        )
    finally:
        torch.set_num_threads(before)
    plain = [null_non_finite({k: v for k, v in row.items() if k not in CLOCKS}) for row in reported]
    return plain, {"status": final.status, **final.test}


def assert_equal_to_training_alone(state: TrialState, threads: int = 1) -> None:
    """Every number of the trial's history and end, bit for bit."""
    read_test = state.use.role != "search"
    expected, final = alone(state.use.spec, read_test=read_test, threads=threads)
    assert rows(state) == expected
    # The ledger holds null for NaN.
    assert {name: state.ended.value(name) for name in final} == null_non_finite(final)


def environment() -> dict[str, str]:
    """The current environment with this folder importable."""
    return {**os.environ, "PYTHONPATH": str(HERE)}
