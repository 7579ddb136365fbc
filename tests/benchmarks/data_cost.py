"""What data cost: images a second of our pipelines against torchvision's usual ones.

In a round every pipeline reads an epoch of its images. The first batch, while worker processes
start, is not timed.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from sparsetune import ScheduleSpec, TrialSpec
from sparsetune.spec.task import FolderTask, ImageTask, TaskSpec
from sparsetune.tasks import kinds
from sparsetune.tasks.images import folder, sources
from sparsetune.tasks.images.folder import CHANNEL_DEVIATION, CHANNEL_MEAN
from sparsetune.tasks.images.small_sets import (
    CIFAR10_DATASET,
    FASHION_MNIST_DATASET,
    TorchvisionDataset,
)
from sparsetune.tasks.task import Batch, Examples
from tests.benchmarks.rows import Row, interleaved, now
from tests.benchmarks.step_cost import HELD_OUT, random_images

OURS = "sparsetune"
SETS: dict[str, TorchvisionDataset] = {
    "fashion_mnist": FASHION_MNIST_DATASET,
    "cifar10": CIFAR10_DATASET,
}
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "no augmentation": {},
    "crop 4, flip": {"crop": 4, "flip": True},
    "crop 4, flip, cutout 8": {"crop": 4, "flip": True, "cutout": 8},
}
IMAGES = 50_000
PEER_IMAGES = 2_560
"""Of an epoch of ours, and of torchvision's, which takes a second for fewer."""
BATCH = 128
WORKERS = (0, 2)
FILES = 240
FILE_SIZE = (400, 350)
SIDE = 224
FOLDER_BATCH = 16
"""Of the folder: JPEG files, their width and height as in ImageNet, the side of a training image.
"""
FOLDER_WORKERS = {"cpu": (0, 1), "cuda": (1, 8)}
PER = 1_000
"""Images that a row's seconds are of."""
Batches = Callable[[], Iterator[Batch]]


def resident_rows(rounds: int, device: str = "cpu") -> list[Row]:
    """Random images of two sets' shapes, by augmentation, and torchvision's own data sets in a
    `DataLoader`.
    """
    return [
        row
        for name in SETS
        for kind in AUGMENTATIONS
        for row in _resident(name, kind, rounds, device)
    ]


def _resident(name: str, kind: str, rounds: int, device: str) -> list[Row]:
    given = {"dataset": name, "validation": HELD_OUT, "train_examples": IMAGES, "batch_size": BATCH}
    task = ImageTask.model_validate(given | AUGMENTATIONS[kind])
    with random_images(SETS[name].input_shape, IMAGES + HELD_OUT, name):
        source = sources.SOURCES[name]
        split, (pixels, targets) = (
            source.splits(task, None, device, IMAGES).train,
            source.read(None)["train"],
        )
        peer = published_images(
            SETS[name], pixels[:PEER_IMAGES], targets[:PEER_IMAGES], AUGMENTATIONS[kind]
        )
        works = {f"{OURS}, on the device": partial(one_epoch, split, task)}
        for workers in WORKERS:
            loader = DataLoader(
                peer, BATCH, shuffle=True, num_workers=workers, pin_memory=device != "cpu"
            )
            works[f"torchvision, DataLoader, {workers} workers"] = partial(_moved, loader, device)
        clock = partial(wall_clock, device)
        taken = interleaved(
            {name: partial(seconds_of, work, clock) for name, work in works.items()}, rounds
        )
    title = f"{PER:,} images of {name}, {kind}"
    return [
        _row(title, row, taken[row], None if row.startswith(OURS) else next(iter(works)))
        for row in works
    ]


def published_images(
    published: TorchvisionDataset,
    pixels: torch.Tensor,
    targets: torch.Tensor,
    augmentation: Mapping[str, Any],
) -> Dataset[Any]:
    """The set's class in torchvision with other pixels (n, channels, height, width), and the same
    augmentation.
    """
    images = object.__new__(published.dataset())  # without its files
    grey = published.input_shape[0] == 1
    images.data = pixels[:, 0] if grey else pixels.permute(0, 2, 3, 1).contiguous().numpy()
    images.targets = targets if grey else targets.tolist()
    images.transform, images.target_transform = (
        v2.Compose(list(_transforms(published, **augmentation))),
        None,
    )
    dataset: Dataset[Any] = images
    return dataset


def _transforms(
    published: TorchvisionDataset, crop: int = 0, flip: bool = False, cutout: int = 0
) -> Iterator[Any]:
    side = published.input_shape[1]
    if crop:
        yield v2.RandomCrop(side, padding=crop)
    if flip:
        yield v2.RandomHorizontalFlip()
    yield from _floats(published.mean, published.deviation)
    if cutout:  # torchvision has no other; this one stays inside the image
        area = (cutout / side) ** 2
        yield v2.RandomErasing(p=1, scale=(area, area), ratio=(1, 1))


def _floats(mean: Sequence[float], deviation: Sequence[float]) -> tuple[Any, ...]:
    return v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, deviation)


def folder_rows(rounds: int, device: str = "cpu") -> list[Row]:
    """Photographs in an `ImageFolder`, read by as many worker processes as in the loops beside
    it.
    """
    with photographs() as folder:
        counts = FOLDER_WORKERS[torch.device(device).type]
        return [row for workers in counts for row in _folder(folder, workers, rounds, device)]


def _folder(folder: Path, workers: int, rounds: int, device: str) -> list[Row]:
    task = folder_task(folder, "resnet50", SIDE)
    changes = [v2.RandomResizedCrop(SIDE, antialias=True), v2.RandomHorizontalFlip()]
    to_image, *to_floats = _floats(CHANNEL_MEAN, CHANNEL_DEVIATION)
    peers = {
        "v2 on tensors": [to_image, *changes, *to_floats],
        "v2 on PIL images": [*changes, to_image, *to_floats],
    }
    works: dict[str, Batches] = {}
    for name, transforms in peers.items():
        dataset = ImageFolder(folder / "train", v2.Compose(transforms))
        pinned = device != "cpu"
        loader = DataLoader(
            dataset, FOLDER_BATCH, shuffle=True, num_workers=workers, pin_memory=pinned
        )
        works[f"torchvision, {name}"] = partial(_moved, loader, device)
    works[OURS] = partial(one_epoch, kinds.kind_of(task).splits(None, device, IMAGES).train, task)
    clock = partial(wall_clock if workers else now, device)
    with reading(workers):
        taken = interleaved(
            {name: partial(seconds_of, work, clock) for name, work in works.items()}, rounds
        )
    title = f"{PER:,} photographs of a folder at {SIDE} px, {workers} workers"
    base = next(iter(works))
    return [_row(title, name, taken[name], base if name == OURS else None) for name in works]


def _row(title: str, name: str, seconds: list[float], against: str | None) -> Row:
    return Row(
        title, name, seconds, against, notes={"per_second": PER / statistics.median(seconds)}
    )


def _moved(loader: DataLoader[Any], device: str) -> Iterator[Batch]:
    """A bare loop over it."""
    for inputs, targets in loader:
        yield inputs.to(device, non_blocking=True), targets.to(device, non_blocking=True)


def one_epoch(split: Examples, task: TaskSpec) -> Iterator[Batch]:
    """The last batch of an epoch, then those of the next: a trial's own, with what begins an
    epoch.
    """
    spec = TrialSpec(task=task, schedule=ScheduleSpec(epochs=2))
    return (
        (inputs, targets) for inputs, targets, _ in split.training(spec, spec.steps_per_epoch() - 1)
    )


def seconds_of(batches: Batches, clock: Callable[[], float]) -> float:
    """Seconds of `PER` images, after the first batch."""
    iterator = batches()
    images = 0
    next(iterator)
    start = clock()
    for _, targets in iterator:
        images += len(targets)
    return PER * (clock() - start) / images


def wall_clock(device: str) -> float:
    """Seconds, once a GPU has done what it was given: for what other processes take part in."""
    return time.perf_counter() if device == "cpu" else now(device)


@contextmanager
def reading(workers: int) -> Iterator[None]:
    """While open, a trial reads folders with so many worker processes, and computes on one
    thread.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with patch.object(folder, "count_workers", lambda _: workers):
        yield
    torch.set_num_threads(before)


@contextmanager
def photographs() -> Iterator[Path]:
    """A folder of two classes: random cuts of scikit-learn's two photographs, as JPEG files; gone
    at the end.
    """
    generator, (width, height) = torch.Generator().manual_seed(0), FILE_SIZE
    with tempfile.TemporaryDirectory() as made:
        for label, pixels in enumerate(load_sample_images().images):
            for part, files in (("train", FILES // 2), ("val", 1)):
                folder = Path(made) / part / str(label)
                folder.mkdir(parents=True)
                for number in range(files):
                    spare = torch.tensor(pixels.shape[:2]) - torch.tensor([height, width])
                    top, left = (torch.rand(2, generator=generator) * (spare + 1)).long().tolist()
                    cut = Image.fromarray(pixels[top : top + height, left : left + width])
                    cut.save(folder / f"{number:04}.jpg", quality=90)
        yield Path(made)


def folder_task(folder: Path, model: str, side: int) -> FolderTask:
    """Training on all of `photographs`."""
    return FolderTask(
        folder=str(folder),
        examples=FILES // 2 * 2,
        classes=2,
        model=model,
        batch_size=FOLDER_BATCH,
        validation=0,
        resolution=side,
        eval_resolution=side,
    )
