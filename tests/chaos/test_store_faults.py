"""Hundreds of faults at what writes the ledger, the declaration and checkpoints: nothing
acknowledged is ever lost.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def injected(folder: Path, *faults: str) -> dict[str, int]:
    """How many of each fault were injected, in a process of their own; each asserts what must
    hold.
    """
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "tests.chaos.store_faults",
        str(folder),
        *faults,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    counts = {name: int(number) for name, number in map(str.split, done.stdout.splitlines())}
    print(f"faults injected: {counts}, losses: 0")
    return counts


@pytest.mark.parametrize(
    ("fault", "at_least"),
    [
        ("ledger_killed", 30),
        ("ledger_killed_any_time", 100),
        ("ledger_torn", 150),
        ("ledger_full", 150),
        ("declaration_killed", 50),
        ("declaration_full", 60),
    ],
)
def test_a_fault_loses_nothing_that_was_acknowledged(
    tmp_path: Path, fault: str, at_least: int
) -> None:
    assert injected(tmp_path, fault)[fault] >= at_least


def test_a_disk_that_fills_again_and_again_loses_nothing(small_disk: Path) -> None:
    assert injected(small_disk, "disk_full") == {"disk_full": 50}


@pytest.mark.cluster
def test_a_fault_at_a_checkpoint_leaves_the_one_before(tmp_path: Path) -> None:
    names = ("checkpoints_killed", "checkpoints_damaged", "checkpoints_flipped", "checkpoints_full")
    counts = injected(tmp_path, *names)
    assert all(count >= 50 for count in counts.values())
