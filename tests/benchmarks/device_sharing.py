"""How many trials an hour one device finishes when processes share it: plain processes, without
Ray.

Every process trains one trial before the clock starts: what a new process costs is in ``trials``.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

import torch

from sparsetune import ScheduleSpec, TrialSpec
from sparsetune.spec.task import ImageTask
from sparsetune.train import train
from tests.benchmarks.rows import Row
from tests.benchmarks.step_cost import random_images

PROCESSES = (1, 4, 16)
TRIALS = 3
"""Of each process, in a round."""
START_SECONDS = 300.0
"""In which every process must have started."""
BASE = TrialSpec(
    task=ImageTask(model="lenet_300_100", train_examples=20_000, batch_size=256),
    schedule=ScheduleSpec(epochs=2),
)
"""One trial of a study like `fashion_mnist_recipe`."""


@dataclass(frozen=True)
class Sharer:
    """What a process is given: the trial, and where; it has random images for Fashion-MNIST as long
    as it lives.
    """

    spec: TrialSpec
    device: str

    def start(self, barrier: Barrier) -> None:
        """Get ready."""
        global _started
        torch.set_num_threads(1)
        _held.enter_context(random_images((1, 28, 28)))
        _started = barrier

    def warm_up(self, seed: int) -> None:
        """A trial that ends when every process has had one: none is given two."""
        self.trial(seed)
        _started.wait(START_SECONDS)

    def trial(self, seed: int) -> None:
        """Train with that seed."""
        train(self.spec.with_values({"seed": seed}), device=self.device)


_started: Barrier
_held = ExitStack()
"""What a process never leaves."""


def sharing_rows(rounds: int, device: str = "cpu") -> list[Row]:
    """Seconds of the clock from one finished trial to the next, by number of processes; on a CPU
    one a core at most.
    """
    sharer = Sharer(BASE, device)
    title = (
        f"a trial of {BASE.task.model}, {BASE.schedule.epochs:g} epochs, of processes on one device"
    )
    counts = [count for count in PROCESSES if device != "cpu" or count <= (os.cpu_count() or 1)]
    taken = {processes: seconds_a_trial(sharer, processes, rounds) for processes in counts}
    names = {processes: f"{processes} process{'es' * (processes > 1)}" for processes in counts}
    return [
        Row(
            title,
            names[processes],
            seconds,
            None if processes == PROCESSES[0] else names[PROCESSES[0]],
            notes={"per_hour": 3600 / statistics.median(seconds)},
        )
        for processes, seconds in taken.items()
    ]


def seconds_a_trial(sharer: Sharer, processes: int, rounds: int) -> list[float]:
    """Of every round; the processes are new."""
    context = multiprocessing.get_context("spawn")
    started = (context.Barrier(processes),)
    seconds = []
    trials = processes * TRIALS
    with ProcessPoolExecutor(processes, context, sharer.start, started) as pool:
        list(pool.map(sharer.warm_up, range(processes)))
        for number in range(rounds):
            start = time.perf_counter()
            list(pool.map(sharer.trial, range(number * trials, (number + 1) * trials)))
            seconds.append((time.perf_counter() - start) / trials)
    return seconds
