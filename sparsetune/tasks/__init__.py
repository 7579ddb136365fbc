"""Data, models, and what is optimised and measured, by the kind of task."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from sparsetune.errors import DeclarationError, Problem
from sparsetune.spec.task import FolderTask, ImageTask, TaskSpec, TextTask
from sparsetune.tasks.images import digits, jpeg
from sparsetune.tasks.images.folder import FolderSource
from sparsetune.tasks.images.resident import ResidentSource, ResidentSplit
from sparsetune.tasks.images.small_sets import (
    CIFAR10_DATASET,
    CIFAR100_DATASET,
    FASHION_MNIST_DATASET,
    TorchvisionDataset,
)
from sparsetune.tasks.models import MODELS
from sparsetune.tasks.network import ImageNetwork, Inputs, Network, compute_logits
from sparsetune.tasks.task import (
    Batch,
    Examples,
    Splits,
    Task,
    TrainingBatch,
    epoch_order,
    split_indices,
    stratified_split,
)
from sparsetune.tasks.text import encoders, glue, sentences

__all__ = [
    "MODELS",
    "SOURCES",
    "Batch",
    "Examples",
    "FolderSource",
    "ImageNetwork",
    "Inputs",
    "Network",
    "ResidentSource",
    "ResidentSplit",
    "Splits",
    "Task",
    "TrainingBatch",
    "compute_logits",
    "data_digest",
    "epoch_order",
    "load_task",
    "network_of",
    "prepare_data",
    "source_of",
    "split_indices",
    "split_problems",
    "stratified_split",
]


def _torchvision_source(images: TorchvisionDataset) -> ResidentSource:
    return ResidentSource(
        images.input_shape, images.n_classes, images.prepare, images.read, images.normalised
    )


SOURCES = {
    "digits": ResidentSource(
        digits.INPUT_SHAPE,
        digits.N_CLASSES,
        lambda _: None,
        lambda _: digits.read_digits(),
        lambda inputs: inputs,
    ),
    "fashion_mnist": _torchvision_source(FASHION_MNIST_DATASET),
    "cifar10": _torchvision_source(CIFAR10_DATASET),
    "cifar100": _torchvision_source(CIFAR100_DATASET),
    "cifar10_jpeg": ResidentSource(
        jpeg.INPUT_SHAPE,
        jpeg.N_CLASSES,
        jpeg.prepare_cifar10_jpeg,
        jpeg.read_cifar10_jpeg,
        jpeg.normalise_jpeg,
    ),
}
"""Data sets that fit on a device, by name: an image task's ``dataset``, otherwise the task's kind."""


AnySource = ResidentSource | FolderSource | sentences.TextSource


def source_of(spec: TaskSpec) -> AnySource:
    """The data set that a task reads."""
    match spec:
        case FolderTask():
            return FolderSource(spec)
        case TextTask():
            return sentences.TextSource(spec)
        case _:
            return SOURCES[dataset_name(spec)]


def dataset_name(spec: TaskSpec) -> str:
    """The data set's name."""
    if isinstance(spec, FolderTask):
        return Path(spec.folder).name
    return spec.dataset if isinstance(spec, ImageTask | TextTask) else spec.kind


def network_of(
    task: TaskSpec, data_root: Path | None = None, checkpoint: str | None = None
) -> Network:
    """The network of a task before training: its model, or for texts the sparse checkpoint to go on from."""
    if isinstance(task, TextTask):
        return sentences.EncoderNetwork(
            checkpoint or task.model, glue.output_count(task), task.max_length, data_root
        )
    source = source_of(task)
    assert not isinstance(source, sentences.TextSource)
    return ImageNetwork(task.model, source.input_shape, source.n_classes)


def prepare_data(spec: TaskSpec, data_root: Path | None) -> None:
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
    data = f"{dataset_name(spec)}={source_of(spec).digest(data_root)}"
    if isinstance(spec, TextTask):
        return f"{data} {spec.model}={encoders.model_digest(spec.model, data_root)}"
    return data


def split_problems(task: TaskSpec) -> list[Problem]:
    """What is wrong with the sizes of a task's splits and batches."""
    found: list[Problem] = []
    classes = source_of(task).n_classes
    held_out = task.held_out()
    if 0 < held_out < classes or held_out > task.pool() - classes:
        rule = f"must hold out 0, or {classes} (one a class) to {task.pool() - classes} examples of {task.pool()}"
        found.append(Problem("task.validation", rule, f"{held_out} examples"))
    elif (
        isinstance(task, ImageTask | TextTask)
        and (task.train_examples or 0) > task.pool() - held_out
    ):
        rule = f"must be at most {task.pool() - held_out}, what validation leaves"
        found.append(Problem("task.train_examples", rule, str(task.train_examples)))
    elif task.batch_size > task.train_size():
        rule = f"must be at most the training set's {task.train_size()} examples"
        found.append(Problem("task.batch_size", rule, str(task.batch_size)))
    return found


def load_task(
    spec: TaskSpec,
    *,
    data_root: Path | None = None,
    device: str | torch.device = "cpu",
    subset: int = 10_000,
    checkpoint: str | None = None,
) -> Task:
    """The task with its splits for ``device``; tasks on equal data share them within a process.

    Args:
        spec: The declaration.
        data_root: The folder that data sets lie in.
        device: As torch names it.
        subset: Training examples on which the training loss is measured.
        checkpoint: Of a text: see `network_of`.

    Raises:
        DataError: if the data are missing.
        DeclarationError: if the declared sizes do not fit the data.
    """
    if problems := split_problems(spec):
        raise DeclarationError(problems, "the task")
    data: dict[str, object] = {"batch_size": 1, "label_smoothing": 0, "weights": None}
    data |= (
        {"metric": None} if isinstance(spec, TextTask) else {"model": ""}
    )  # a text's tokens are its model's
    splits = _load_splits(spec.model_copy(update=data), data_root, str(device), subset)
    metric = spec.headline() if isinstance(spec, TextTask) else "accuracy"
    network = network_of(spec, data_root, checkpoint)
    return Task(splits, network, spec.label_smoothing, spec.weights, data_root, metric)


@lru_cache(maxsize=2)
def _load_splits(spec: TaskSpec, data_root: Path | None, device: str, subset: int) -> Splits:
    return source_of(spec).splits(spec, data_root, device, subset)
