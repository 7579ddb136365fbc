"""Whole launches with followers that are slow, fail, or find no server and no room.

A launch's time is that from the start of its first trial to the end of its last, as its ledger
says. Every launch trains the same trials, and its ledger must hold the same numbers.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sparsetune import FollowedTrial, Follower
from sparsetune.launch.launch import Options, launch
from sparsetune.storage.records import Report
from tests.benchmarks.rows import Row, interleaved
from tests.benchmarks.trial_cost import WORKERS, study
from tests.integration.runs import rows, trials
from tests.ledger_records import plain_records

ALONE = "no follower"
MAX_RATIO = 1.05
CALL_SECONDS = 1.0
TRIALS = 24
EPOCHS = 8
DOWN_SERVER = {
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}


class Slow(Follower):
    """Takes a second for every evaluation."""

    def on_report(self, trial: FollowedTrial, row: Report) -> None:
        time.sleep(CALL_SECONDS)


class FullDisk(Follower):
    """Finds no room for any evaluation."""

    def on_report(self, trial: FollowedTrial, row: Report) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def follower_rows(rounds: int) -> list[Row]:
    """A row for each follower."""
    import ray

    os.environ.update(DOWN_SERVER)
    root = str(Path(__file__).parents[2])
    ray.init(
        address="local",
        num_cpus=WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}},
    )
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Callable[[Path], Options]] = {
            ALONE: lambda path: Options(storage=path, quiet=True),
            "1 s a call": lambda path: Options(storage=path, quiet=True, callbacks=[Slow()]),
            "disk full": lambda path: Options(storage=path, quiet=True, callbacks=[FullDisk()]),
            "MLflow, server down": lambda path: Options(storage=path, quiet=True, track=["mlflow"]),
        }
        launches = _Launches(Path(folder))
        launches.seconds(ways[ALONE])  # starts the workers
        measures = {name: partial(launches.seconds, options) for name, options in ways.items()}
        taken = interleaved(measures, rounds)
    ray.shutdown()
    table = f"a launch of {TRIALS} trials on {WORKERS} workers, by its followers"
    return [
        Row(
            table,
            name,
            seconds,
            None if name == ALONE else ALONE,
            None if name == ALONE else MAX_RATIO,
        )
        for name, seconds in taken.items()
    ]


class _Launches:
    """Launches of one study, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers: set[str] = set()

    def seconds(self, options: Callable[[Path], Options]) -> float:
        """Seconds from the start of the first trial to the end of the last."""
        path = Path(tempfile.mkdtemp(dir=self._folder))
        outcome = launch(study(TRIALS, EPOCHS), options(path))
        histories = {name: rows(state) for name, state in trials(outcome.directory).items()}
        self._numbers.add(repr(sorted(histories.items())))
        if len(self._numbers) > 1:
            raise AssertionError("a follower changed the numbers of the ledger")
        records = plain_records(outcome.directory / "ledger")
        starts = [record["time"] for record in records if record["type"] == "started"]
        ends = [record["time"] for record in records if record["type"] == "ended"]
        return float(max(ends) - min(starts))
