"""Kinds of task: data set, network and splits that belong to a task's declaration."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from sparsetune.errors import DeclarationError, Problem
from sparsetune.spec.task import FolderTask, ImageTask, TaskSpec, TextTask
from sparsetune.tasks.images import digits, jpeg
from sparsetune.tasks.images.folder import FolderSource
from sparsetune.tasks.images.resident import ResidentSource
from sparsetune.tasks.images.small_sets import (
    CIFAR10_DATASET,
    CIFAR100_DATASET,
    FASHION_MNIST_DATASET,
    TorchvisionDataset,
)
from sparsetune.tasks.network import ImageNetwork, Network
from sparsetune.tasks.task import Splits, Task
from sparsetune.tasks.text import encoders, glue
from sparsetune.tasks.text.sentences import EncoderNetwork, TextSource


def _torchvision_source(images: TorchvisionDataset) -> ResidentSource:
    return ResidentSource(
        images.input_shape, images.n_classes, images.prepare, images.read, images.normalised
    )


SOURCES = {
    "digits": ResidentSource(
        input_shape=digits.INPUT_SHAPE,
        n_classes=digits.N_CLASSES,
        prepare=lambda _: None,
        read=lambda _: digits.read_digits(),
        normalised=lambda inputs: inputs,
    ),
    "fashion_mnist": _torchvision_source(FASHION_MNIST_DATASET),
    "cifar10": _torchvision_source(CIFAR10_DATASET),
    "cifar100": _torchvision_source(CIFAR100_DATASET),
    "cifar10_jpeg": ResidentSource(
        input_shape=jpeg.INPUT_SHAPE,
        n_classes=jpeg.N_CLASSES,
        prepare=jpeg.prepare_cifar10_jpeg,
        read=jpeg.read_cifar10_jpeg,
        normalised=jpeg.normalise_jpeg,
    ),
}
"""Data sets that fit on a device, by an image task's ``dataset``, or another task's ``kind``."""

AnySource = ResidentSource | FolderSource | TextSource


def source_of(spec: TaskSpec) -> AnySource:
    """Data set that a task reads."""
    match spec:
        case FolderTask():
            return FolderSource(spec)
        case TextTask():
            return TextSource(spec)
        case _:
            return SOURCES[dataset_name(spec)]


def dataset_name(spec: TaskSpec) -> str:
    """Name of the task's data set."""
    if isinstance(spec, FolderTask):
        return Path(spec.folder).name
    return spec.dataset if isinstance(spec, ImageTask | TextTask) else spec.kind


def network_of(
    task: TaskSpec, data_root: Path | None = None, checkpoint: str | None = None
) -> Network:
    """Network of a task before training.

    Args:
        task: The declaration.
        data_root: Folder that data sets and models lie in.
        checkpoint: Sparse model that a text task starts from; ignored for images.
    """
    if isinstance(task, TextTask):
        return EncoderNetwork(
            checkpoint or task.model, glue.output_count(task), task.max_length, data_root
        )
    source = source_of(task)
    assert not isinstance(source, TextSource)
    return ImageNetwork(task.model, source.input_shape, source.n_classes)


def prepare_data(spec: TaskSpec, data_root: Path | None) -> None:
    """Download, unpack or find what the task needs, so that trials only read.

    Raises:
        DataError: in one line, where it looked and what to set.
    """
    source_of(spec).prepare(data_root)


def data_digest(spec: TaskSpec, data_root: Path | None = None) -> str:
    """Data set's name and twelve hexadecimal digits: ``digits=0a1b…``.

    The digits name every byte that is read; for a folder of images, every path and size. A text
    task adds its model in the same form, after a space.

    Raises:
        DataError: if the data are missing.
    """
    data = f"{dataset_name(spec)}={source_of(spec).digest(data_root)}"
    if isinstance(spec, TextTask):
        return f"{data} {spec.model}={encoders.model_digest(spec.model, data_root)}"
    return data


def split_problems(task: TaskSpec) -> list[Problem]:
    """First problem with the sizes of a task's splits and batches; an empty list if they fit."""
    pool = task.pool()
    held_out = task.held_out()
    classes = source_of(task).n_classes
    declared_size = task.train_examples if isinstance(task, ImageTask | TextTask) else None
    if 0 < held_out < classes or held_out > pool - classes:
        choices = f"0, or {classes} (one a class) to {pool - classes} examples of {pool}"
        return [Problem("task.validation", f"must hold out {choices}", f"{held_out} examples")]
    if (declared_size or 0) > pool - held_out:
        rule = f"must be at most {pool - held_out}, what validation leaves"
        return [Problem("task.train_examples", rule, str(declared_size))]
    if task.batch_size > task.train_size():
        rule = f"must be at most the training set's {task.train_size()} examples"
        return [Problem("task.batch_size", rule, str(task.batch_size))]
    return []


def load_task(
    spec: TaskSpec,
    *,
    data_root: Path | None = None,
    device: str | torch.device = "cpu",
    subset: int = 10_000,
    checkpoint: str | None = None,
) -> Task:
    """Task with its splits on ``device``; tasks on equal data share them within a process.

    Args:
        spec: The declaration.
        data_root: Folder that data sets lie in.
        device: Device of the trial, as torch names it.
        subset: Number of training examples on which the training loss is measured.
        checkpoint: Sparse model that a text task starts from; see `network_of`.

    Raises:
        DataError: if the data are missing.
        DeclarationError: if the declared sizes do not fit the data.
    """
    if problems := split_problems(spec):
        raise DeclarationError(problems, "the task")
    # Trials of a study differ in these fields, and should not read their data again.
    data = spec.model_copy(update=_irrelevant_to_splits(spec))
    splits = _load_splits(data, data_root, str(device), subset)
    metric = spec.headline() if isinstance(spec, TextTask) else "accuracy"
    network = network_of(spec, data_root, checkpoint)
    return Task(splits, network, spec.label_smoothing, spec.weights, data_root, metric)


def _irrelevant_to_splits(spec: TaskSpec) -> dict[str, object]:
    """Fields without effect on a task's splits, at fixed values: tasks then share a cache entry."""
    fields: dict[str, object] = {"batch_size": 1, "label_smoothing": 0, "weights": None}
    if isinstance(spec, TextTask):
        # The model stays: its tokenizer makes the tokens.
        return fields | {"metric": None}
    return fields | {"model": ""}


# Few, since splits may take much of a device's memory.
@lru_cache(maxsize=2)
def _load_splits(spec: TaskSpec, data_root: Path | None, device: str, subset: int) -> Splits:
    return source_of(spec).splits(spec, data_root, device, subset)
