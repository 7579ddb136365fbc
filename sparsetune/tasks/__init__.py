"""Data, models, and what is optimised and measured, by the kind of task."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from sparsetune.errors import DeclarationError, Problem
from sparsetune.spec.task import FolderTask, ImageTask, TaskSpec
from sparsetune.tasks import digits, jpeg
from sparsetune.tasks.folder import FolderSource
from sparsetune.tasks.image import CIFAR10, CIFAR100, FASHION_MNIST, Published
from sparsetune.tasks.models import MODELS
from sparsetune.tasks.resident import Source, Split
from sparsetune.tasks.task import Batch, Examples, Splits, Task, epoch_order, parts, stratified

__all__ = [
    "MODELS",
    "SOURCES",
    "Batch",
    "Examples",
    "FolderSource",
    "Source",
    "Split",
    "Splits",
    "Task",
    "data_digest",
    "epoch_order",
    "load_task",
    "parts",
    "prepare",
    "source_of",
    "split_problems",
    "stratified",
]


def _published(images: Published) -> Source:
    return Source(images.input_shape, images.n_classes, images.prepare, images.read, images.normalised)


SOURCES = {
    "digits": Source(
        digits.INPUT_SHAPE, digits.N_CLASSES, lambda _: None, lambda _: digits.read_digits(), lambda inputs: inputs
    ),
    "fashion_mnist": _published(FASHION_MNIST),
    "cifar10": _published(CIFAR10),
    "cifar100": _published(CIFAR100),
    "cifar10_jpeg": Source(
        jpeg.INPUT_SHAPE, jpeg.N_CLASSES, jpeg.prepare_cifar10_jpeg, jpeg.read_cifar10_jpeg, jpeg.normalised_jpeg
    ),
}
"""Data sets that fit on a device, by name: an image task's ``dataset``, otherwise the task's kind."""


def source_of(spec: TaskSpec) -> Source | FolderSource:
    """The data set that a task reads."""
    return FolderSource(spec) if isinstance(spec, FolderTask) else SOURCES[name_of(spec)]


def name_of(spec: TaskSpec) -> str:
    """The data set's name."""
    if isinstance(spec, FolderTask):
        return Path(spec.folder).name
    return spec.dataset if isinstance(spec, ImageTask) else spec.kind


def prepare(spec: TaskSpec, data_root: Path | None) -> None:
    """Download, unpack or find what the task needs, so that trials only read.

    Raises:
        DataError: in one line, where it looked and what to set.
    """
    source_of(spec).prepare(data_root)


def data_digest(spec: TaskSpec, data_root: Path | None = None) -> str:
    """The data set's name and twelve hexadecimal digits: ``digits=0a1b…``.

    They name every byte read of it; of a folder of images, every path and size.

    Raises:
        DataError: if the data are missing.
    """
    return f"{name_of(spec)}={source_of(spec).digest(data_root)}"


def split_problems(task: TaskSpec) -> list[Problem]:
    """What is wrong with the sizes of a task's splits and batches."""
    found: list[Problem] = []
    classes, held_out = source_of(task).n_classes, task.held_out()
    if 0 < held_out < classes or held_out > task.pool() - classes:
        rule = f"must hold out 0, or {classes} (one a class) to {task.pool() - classes} examples of {task.pool()}"
        found.append(Problem("task.validation", rule, f"{held_out} examples"))
    elif isinstance(task, ImageTask) and (task.train_examples or 0) > task.pool() - held_out:
        rule = f"must be at most {task.pool() - held_out}, what validation leaves"
        found.append(Problem("task.train_examples", rule, str(task.train_examples)))
    elif task.batch_size > task.train_size():
        rule = f"must be at most the training set's {task.train_size()} examples"
        found.append(Problem("task.batch_size", rule, str(task.batch_size)))
    return found


def load_task(spec: TaskSpec, *, data_root: Path | None = None, device: str | torch.device = "cpu") -> Task:
    """The task with its splits for ``device``; tasks on equal data share them within a process.

    Raises:
        DataError: if the data are missing.
        DeclarationError: if the declared sizes do not fit the data.
    """
    if problems := split_problems(spec):
        raise DeclarationError(problems, "the task")
    source = source_of(spec)
    data = spec.model_copy(update={"model": "", "batch_size": 1, "label_smoothing": 0, "weights": None})
    splits = _splits(data, data_root, str(device))
    return Task(splits, spec.model, source.input_shape, source.n_classes, spec.label_smoothing, spec.weights, data_root)


@lru_cache(maxsize=2)
def _splits(spec: TaskSpec, data_root: Path | None, device: str) -> Splits:
    return source_of(spec).splits(spec, data_root, device)
