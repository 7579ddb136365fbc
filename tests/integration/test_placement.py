"""Trials hold the share of a machine that they asked for, no more run at once, and as many do.

Measured from the ledgers of real launches, see `tests.integration.placement`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.placement import ALLOWED, GPUS, REFUSED, Launch
from tests.ledger_records import plain_records

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(500)]

ROOT = Path(__file__).parents[2]
NAMES = [launch.name for launch in ALLOWED]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all the launches were."""
    place = tmp_path_factory.mktemp("placement")
    command = [sys.executable, "-m", "tests.integration.placement", str(place)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place


class Life(NamedTuple):
    """A trial, from its start to its end, in a worker that saw some GPUs; ``note`` is what the
    ledger says of it.
    """

    start: float
    end: float
    status: str
    pid: int
    device: str
    note: str
    visible: str | None
    torch_sees: bool


def lives(folder: Path, launch: Launch) -> list[Life]:
    """Every trial of a launch."""
    seen = {
        int(file.name): json.loads(file.read_text()) for file in (folder / launch.name).iterdir()
    }
    records = plain_records(folder / "runs" / launch.name / "ledger")
    ends = {record["trial_id"]: record for record in records if record["type"] == "ended"}
    return [
        _life(start, ends[start["trial_id"]], seen)
        for start in records
        if start["type"] == "started"
    ]


def _life(start: dict[str, Any], end: dict[str, Any], seen: dict[int, dict[str, Any]]) -> Life:
    worker = seen[start["pid"]]
    told = (end["status"], start["pid"], start["device"], start.get("note", ""))
    return Life(start["time"], end["time"], *told, worker["visible"], worker["torch"])


def together(of_launch: list[Life]) -> list[list[Life]]:
    """The trials that ran at the start of each: their number grows only then."""
    return [[life for life in of_launch if life.start <= now.start < life.end] for now in of_launch]


@pytest.mark.parametrize("launch", ALLOWED, ids=NAMES)
def test_as_many_trials_run_at_once_as_the_share_allows(folder: Path, launch: Launch) -> None:
    of_launch = lives(folder, launch)
    assert Counter(life.status for life in of_launch) == {"COMPLETE": launch.at_once + 2}
    assert max(map(len, together(of_launch))) == launch.at_once
    assert len({life.pid for life in of_launch}) == launch.at_once, (
        "workers are kept for the next trial"
    )


@pytest.mark.parametrize(
    "launch", [launch for launch in ALLOWED if launch.gpus], ids=lambda launch: launch.name
)
def test_no_gpu_is_given_more_than_once(folder: Path, launch: Launch) -> None:
    of_launch = lives(folder, launch)
    for running in together(of_launch):
        shares: dict[str, float] = {}
        for life in running:
            gpus = (life.visible or "none").split(",")
            assert len(gpus) == max(1, launch.gpus)
            shares |= {gpu: shares.get(gpu, 0) + min(1, launch.gpus) for gpu in gpus}
        assert shares.keys() <= {str(gpu) for gpu in range(GPUS)} and max(shares.values()) <= 1


@pytest.mark.parametrize(
    "launch", [launch for launch in ALLOWED if launch.gpus], ids=lambda launch: launch.name
)
def test_a_share_is_of_a_gpu_where_torch_sees_one(folder: Path, launch: Launch) -> None:
    for life in lives(folder, launch):
        assert (life.device, bool(life.note)) == (
            ("cuda", False) if life.torch_sees else ("cpu", True)
        )


def test_cpu_trials_stay_on_the_cpu(folder: Path) -> None:
    (launch,) = (launch for launch in ALLOWED if not launch.gpus)
    told = {
        (life.device, life.note, life.visible, life.torch_sees) for life in lives(folder, launch)
    }
    assert told == {("cpu", "", "", False)}


def test_what_no_node_can_give_is_refused_at_once(folder: Path) -> None:
    outcomes = json.loads((folder / "outcomes.json").read_text())
    assert {name for name, message in outcomes.items() if message} == {
        launch.name for launch in REFUSED
    }
    assert outcomes["fractions"].endswith("give 1 or less, got 1.5")
    assert outcomes["pairs"].endswith("give 1 or less, got 2")
    assert outcomes["too-many-cpus"].endswith(
        "`cpus_per_trial`: no node has more than 4 CPUs; give at most that, got 8"
    )
    assert not (folder / "runs" / "fractions").exists()
