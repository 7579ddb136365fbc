"""What a trial costs beyond its training: many short ones through a launch, and through the
plainest Ray Tune script.

Each way in a process with a Ray of its own and two workers; training alone is two processes at
once, as they are.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sparsetune import LogUniform, ScheduleSpec, Sobol, Study, TrialSpec
from sparsetune.train import train
from tests.benchmarks.rows import Row
from tests.ledger_records import plain_records

WORKERS = 2
BEYOND_SECONDS = 0.3
"""What a warm worker may spend on a trial beside its training."""
OURS = "sparsetune"
PLAIN = "Ray Tune, default workers"
REUSED = "Ray Tune, reuse_actors=True"
ROOT = Path(__file__).parents[2]


class Life(NamedTuple):
    """A trial in a worker; times in seconds since 1970."""

    pid: int
    start: float
    end: float


def trial_rows(trials: int) -> list[Row]:
    """Seconds of a worker's time for one of so many one-epoch digits trials, and the share that is
    not training.
    """
    title = f"{trials} one-epoch digits trials, {WORKERS} workers: seconds of a worker for each"
    alone = training_alone(trials)
    rows = [Row(title, "`train` alone, two processes", alone)]
    worker_seconds(OURS, 2 * WORKERS)  # the first to start reads all libraries from the disk
    starts = []
    for name in WAYS:
        startup, seconds = worker_seconds(name, trials)
        beyond = [taken - statistics.median(alone) for taken in seconds]
        rows.append(Row(title, name, seconds))
        rows.append(
            Row(
                title,
                f"{name}: beyond training",
                beyond,
                at_most=BEYOND_SECONDS if name == OURS else None,
            )
        )
        starts.append(Row("start-up: Ray, and until every worker has trained", name, [startup]))
    return rows + starts


def worker_seconds(name: str, trials: int) -> tuple[float, list[float]]:
    """Seconds of start-up, and for each trial after it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.benchmarks.trial_cost", name, str(trials), folder]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
        began = time.time()
        subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        lives = [Life(*life) for life in json.loads((Path(folder) / "lives.json").read_text())]
    warm = warm_since(lives)
    return warm - began, slot_seconds([life.end for life in lives if life.end > warm])


def warm_since(lives: Sequence[Life], workers: int = WORKERS) -> float:
    """When the last worker ended its first trial, in which it imports what training needs; where
    none is used again, when as many had ended.
    """
    first: dict[int, float] = {}
    for life in sorted(lives, key=lambda life: life.end):
        first.setdefault(life.pid, life.end)
    return sorted(first.values())[:workers][-1]


def slot_seconds(ends: Sequence[float], workers: int = WORKERS) -> list[float]:
    """Seconds between an end and the one that is ``workers`` later: what one trial takes of one
    worker's time.
    """
    ordered = sorted(ends)
    return [later - earlier for earlier, later in zip(ordered, ordered[workers:], strict=False)]


def training_alone(trials: int) -> list[float]:
    """Seconds of each plain call of `train`, in as many processes at once as there are workers."""
    with get_context("spawn").Pool(WORKERS) as pool:
        taken = pool.map(
            _train_some, [specs(trials)[worker::WORKERS] for worker in range(WORKERS)], chunksize=1
        )
    return [seconds for some in taken for seconds in some]


def _train_some(some: list[TrialSpec]) -> list[float]:
    torch.set_num_threads(1)
    train(some[0])
    marks = [time.perf_counter()]
    for spec in some:
        train(spec)
        marks.append(time.perf_counter())
    return [later - earlier for earlier, later in pairwise(marks)]


def study(trials: int, epochs: int = 1) -> Study:
    """One dense cell: all but one trial search, and one is a report."""
    return Study(
        name="short",
        base=TrialSpec(schedule=ScheduleSpec(epochs=epochs)),
        search={"optim.lr": LogUniform(0.01, 0.5)},
        sampler=Sobol(),  # suggestions are timed by themselves
        configurations_per_cell=trials - 1,
        report_seeds=1,
    )


def specs(trials: int) -> list[TrialSpec]:
    """As many trials of the study's base, each with a seed of its own."""
    return [study(trials).base.with_values({"seed": seed}) for seed in range(trials)]


def through_launch(trials: int, folder: Path, _reuse: bool) -> list[Life]:
    """What `sparsetune run` does, whose workers are always used again."""
    from sparsetune.launch.launch import Options, launch

    outcome = launch(study(trials), Options(storage=folder, quiet=True))
    records = plain_records(outcome.directory / "ledger")
    ends = {record["trial_id"]: record["time"] for record in records if record["type"] == "ended"}
    starts = [record for record in records if record["type"] == "started"]
    return [Life(record["pid"], record["time"], ends[record["trial_id"]]) for record in starts]


def train_and_tell(config: dict[str, Any]) -> None:
    """The plainest trainable: it trains, and reports each evaluation."""
    from ray import tune

    torch.set_num_threads(1)
    start = time.time()
    train(
        TrialSpec.model_validate(config["spec"]),
        report=lambda row: tune.report({**row, "life": (os.getpid(), start, time.time())}),
    )


def through_tune(trials: int, folder: Path, reuse: bool) -> list[Life]:
    """A script of a few lines, which keeps nothing but what Tune keeps."""
    from ray import tune

    logging.getLogger("ray.tune").setLevel(
        logging.CRITICAL
    )  # it misses files that it was told not to write
    results = tune.Tuner(
        tune.with_resources(train_and_tell, {"cpu": 1}),
        param_space={"spec": tune.grid_search([spec.given() for spec in specs(trials)])},
        tune_config=tune.TuneConfig(reuse_actors=reuse),
        run_config=tune.RunConfig(storage_path=str(folder), verbose=0),
    ).fit()
    return [Life(*result.metrics["life"]) for result in results]


WAYS: dict[str, tuple[Callable[[int, Path, bool], list[Life]], bool]] = {
    OURS: (through_launch, True),
    REUSED: (through_tune, True),
    PLAIN: (through_tune, False),
}


def main() -> None:
    """Run trials one way, and write their lives."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.trial_cost")
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("trials", type=int)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    import ray

    environment = {"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}}
    ray.init(
        address="local",
        num_cpus=WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env=environment,
    )
    way, reuse = WAYS[given.way]
    lives = way(given.trials, given.folder / "runs", reuse)
    (given.folder / "lives.json").write_text(json.dumps(lives))
    ray.shutdown()


if __name__ == "__main__":
    main()
