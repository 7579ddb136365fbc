"""What data cost: images a second of our pipelines against torchvision's usual ones, and how long a step waits.

Seconds are of the clock where worker processes read, otherwise of the processor. Every round reads an epoch of each;
its first batch, with which worker processes start, is not timed.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets
from torchvision.transforms import v2

from sparsetune import ScheduleSpec, TrialSpec, tasks
from sparsetune.task_spec import FolderTask, ImageTask, TaskSpec
from sparsetune.tasks import Batch
from sparsetune.tasks.folder import MEAN, STANDARD_DEVIATION, FolderSplit
from sparsetune.tasks.image import CIFAR10, FASHION_MNIST, Published
from sparsetune.train import train
from tests.benchmarks.rows import Enough, Row, interleaved, now
from tests.benchmarks.step_cost import CLASSES, HELD_OUT, random_images

SETS: dict[str, Published] = {"fashion_mnist": FASHION_MNIST, "cifar10": CIFAR10}
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "no augmentation": {},
    "crop 4, flip": {"crop": 4, "flip": True},
    "crop 4, flip, cutout 8": {"crop": 4, "flip": True, "cutout": 8},
}
RESIDENT, FOLDER = "sparsetune, on the device", "sparsetune, folder"
BATCH, FOLDER_BATCH = 128, 16
IMAGES, PEER_IMAGES = 50_000, 2_560
"""Of an epoch of ours, and of torchvision's, which takes a second for fewer."""
WORKERS = (0, 2)
FILES, FILE_SIZE, SIDE = 240, (400, 350), 224
"""Of the folder: JPEG files, their width and height, and the side of a training image."""
FOLDER_WORKERS = (0, 1)
PER = 1_000
"""Images that a row's seconds are of."""
STEPS = 40
"""Of a training, in a round."""


def resident_rows(rounds: int, device: str = "cpu") -> list[Row]:
    """Random images of two sets' shapes, by augmentation, and torchvision's own classes in a `DataLoader`."""
    return [row for name in SETS for kind in AUGMENTATIONS for row in _resident(name, kind, rounds, device)]


def _resident(name: str, kind: str, rounds: int, device: str) -> list[Row]:
    published, augmentation = SETS[name], AUGMENTATIONS[kind]
    task = ImageTask.model_validate(
        {"dataset": name, "validation": HELD_OUT, "batch_size": BATCH, "train_examples": IMAGES} | augmentation
    )
    with random_images(published.input_shape, IMAGES + HELD_OUT, name):
        split = tasks.source_of(task).splits(task, None, device).train
        peer = peer_images(published, tasks.SOURCES[name].read(None)["train"], augmentation)
    clock = partial(now, device) if device != "cpu" else time.perf_counter
    works = {RESIDENT: partial(seconds_of, partial(one_epoch, split, task), clock)}
    for workers in WORKERS:
        loader = DataLoader(peer, BATCH, shuffle=True, num_workers=workers)
        works[_named("DataLoader", workers)] = partial(seconds_of, partial(_moved, loader, device), clock)
    return _rows(f"{PER:,} images of {name}, {kind}", works, rounds, RESIDENT)
