"""How long training steps wait for their data: `train` itself, with a clock around the `next` of
its batches.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from sparsetune import ScheduleSpec, TrialSpec
from sparsetune.spec.task import FolderTask, ImageTask, TaskSpec
from sparsetune.tasks.images.folder import FolderSplit
from sparsetune.tasks.images.resident import ResidentSplit
from sparsetune.tasks.images.small_sets import CIFAR10_DATASET, FASHION_MNIST_DATASET
from sparsetune.tasks.task import TrainingBatch
from sparsetune.train import train
from tests.benchmarks.data_cost import BATCH, folder_task, photographs, wall_clock
from tests.benchmarks.rows import Enough, Row
from tests.benchmarks.step_cost import HELD_OUT, random_images

EXAMPLES = 20_000
"""Of the sets that lie on the device."""


@dataclass(frozen=True)
class Training:
    """A trial whose waits are timed: in ``steps`` steps of a round, which must be fewer than those
    of an epoch.
    """

    title: str
    task: TaskSpec
    steps: int


def waiting_rows(rounds: int, device: str = "cpu") -> list[Row]:
    """Mean seconds of a training's step, and of those that it waits for its batch, whose ratio is
    the share.
    """
    lenet = ImageTask(validation=HELD_OUT, train_examples=EXAMPLES, batch_size=BATCH)
    resnet = lenet.model_copy(
        update={"dataset": "cifar10", "model": "resnet8", "crop": 4, "flip": True}
    )
    with (
        photographs() as folder,
        random_images(FASHION_MNIST_DATASET.input_shape, EXAMPLES + HELD_OUT, "fashion_mnist"),
        random_images(CIFAR10_DATASET.input_shape, EXAMPLES + HELD_OUT, "cifar10"),
    ):
        trainings = [
            Training("lenet_300_100, fashion_mnist", lenet, 150),
            Training("resnet8, cifar10, crop 4, flip", resnet, 12),
            Training("resnet18, folder at 64 px", folder_task(folder, "resnet18", 64), 12),
        ]
        return [row for training in trainings for row in _waits(training, rounds, device)]


def _waits(training: Training, rounds: int, device: str) -> list[Row]:
    spec = TrialSpec(task=training.task, schedule=ScheduleSpec(epochs=2))
    taken = [waits(spec, training.steps, device) for _ in range(rounds)]
    steps, waiting = (list(seconds) for seconds in zip(*taken, strict=True))
    title = "a step, and its wait for data"
    base = f"{training.title}, batch {spec.task.batch_size}"
    notes = {"per_second": spec.task.batch_size / statistics.median(steps)}
    return [
        Row(title, base, steps, notes=notes),
        Row(title, f"waits of {training.title}", waiting, base),
    ]


def waits(spec: TrialSpec, steps: int, device: str = "cpu") -> tuple[float, float]:
    """Mean seconds of a step of `train` by the clock, and of its wait for the next batch, after the
    first step.
    """
    kind = FolderSplit if isinstance(spec.task, FolderTask) else ResidentSplit
    original = kind.training
    marks = list[float]()

    def training(split: Any, spec: TrialSpec, first: int) -> Iterator[TrainingBatch]:
        batches = original(split, spec, first)
        for step in range(steps + 1):
            marks.append(wall_clock(device) if step == 1 else time.perf_counter())
            batch = next(batches)
            marks.append(time.perf_counter())
            yield batch
        marks.append(wall_clock(device))  # on a GPU, when all steps are done
        raise Enough

    with patch.object(kind, "training", training), suppress(Enough):
        train(spec, device=device)
    asked = marks[2::2]
    given = marks[3::2]
    waiting = sum(later - earlier for earlier, later in zip(asked, given, strict=False))
    return (asked[-1] - asked[0]) / steps, waiting / steps
