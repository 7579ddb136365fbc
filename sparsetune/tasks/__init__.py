"""Data, models, and what is optimised and measured, by the kind of task."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from sparsetune.errors import DeclarationError, Problem
from sparsetune.task_spec import TaskSpec
from sparsetune.tasks import digits, image
from sparsetune.tasks.models import MODELS
from sparsetune.tasks.task import TRAIN_SUBSET, Split, Splits, Task, stratified

__all__ = [
    "MODELS",
    "SOURCES",
    "Source",
    "Split",
    "Splits",
    "Task",
    "data_digest",
    "load_task",
    "prepare",
    "source_of",
    "split_problems",
]

Tensors = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Source:
    """A data set: the shape of an example, how it is read (``train`` and ``test``), and what a model sees of it."""

    input_shape: tuple[int, ...]
    n_classes: int
    prepare: Callable[[Path | None], object]
    read: Callable[[Path | None], dict[str, Tensors]]
    normalised: Callable[[torch.Tensor], torch.Tensor]


SOURCES = {
    "digits": Source(
        digits.INPUT_SHAPE, digits.N_CLASSES, lambda _: None, lambda _: digits.read_digits(), lambda inputs: inputs
    ),
    "fashion_mnist": Source(
        image.INPUT_SHAPE, image.N_CLASSES, image.prepare_fashion_mnist, image.read_fashion_mnist, image.normalised
    ),
}
"""By the name of the data set: an image task's ``dataset``, otherwise the task's kind."""


def source_of(spec: TaskSpec) -> Source:
    """The data set that a task reads."""
    return SOURCES[name_of(spec)]


def name_of(spec: TaskSpec) -> str:
    """The data set's name."""
    return spec.dataset if spec.kind == "image" else spec.kind


def prepare(spec: TaskSpec, data_root: Path | None) -> None:
    """Download or unpack what the task needs, so that trials only read.

    Raises:
        DataError: in one line, where it looked and what to set.
    """
    source_of(spec).prepare(data_root)


def data_digest(spec: TaskSpec, data_root: Path | None = None) -> str:
    """The data set's name and twelve hexadecimal digits that name every byte read of it: ``digits=0a1b…``.

    Raises:
        DataError: if the data are missing.
    """
    return f"{name_of(spec)}={_digest_of(name_of(spec), data_root)}"


@lru_cache(maxsize=8)
def _digest_of(name: str, data_root: Path | None) -> str:
    digest = hashlib.sha256()
    for _, tensors in sorted(SOURCES[name].read(data_root).items()):
        for tensor in tensors:
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()[:12]


def split_problems(task: TaskSpec) -> list[Problem]:
    """What is wrong with the sizes of a task's splits and batches."""
    found: list[Problem] = []
    classes, held_out = source_of(task).n_classes, task.held_out()
    if 0 < held_out < classes or held_out > task.pool() - classes:
        rule = f"must hold out 0, or {classes} (one a class) to {task.pool() - classes} examples of {task.pool()}"
        found.append(Problem("task.validation", rule, f"{held_out} examples"))
    elif task.kind == "image" and (task.train_examples or 0) > task.pool() - held_out:
        rule = f"must be at most {task.pool() - held_out}, what validation leaves"
        found.append(Problem("task.train_examples", rule, str(task.train_examples)))
    elif task.batch_size > task.train_size():
        rule = f"must be at most the training set's {task.train_size()} examples"
        found.append(Problem("task.batch_size", rule, str(task.batch_size)))
    return found


def load_task(spec: TaskSpec, *, data_root: Path | None = None, device: str | torch.device = "cpu") -> Task:
    """The task with its splits on ``device``; tasks on equal data share them within a process.

    Raises:
        DataError: if the data are missing.
        DeclarationError: if the declared sizes do not fit the data.
    """
    if problems := split_problems(spec):
        raise DeclarationError(problems, "the task")
    source = source_of(spec)
    data = spec.model_copy(update={"model": "", "batch_size": 1})
    return Task(_splits(data, data_root, str(device)), spec.model, source.input_shape, source.n_classes)


@lru_cache(maxsize=2)
def _splits(spec: TaskSpec, data_root: Path | None, device: str) -> Splits:
    """Validation is held out first; a smaller training set is drawn from what is left."""
    source = source_of(spec)
    sets = source.read(data_root)
    inputs, targets = sets["train"]
    labels = targets.numpy()
    validation, rest = stratified(labels, spec.held_out(), spec.split_seed)
    chosen, _ = stratified(labels[rest], spec.train_size(), spec.split_seed)
    train = rest[chosen]
    subset, _ = stratified(labels[train], min(TRAIN_SUBSET, len(train)), spec.split_seed)

    def split(inputs: torch.Tensor, targets: torch.Tensor) -> Split:
        return Split(source.normalised(inputs).to(device), targets.to(device))

    return Splits(
        train=split(inputs[train], targets[train]),
        train_subset=split(inputs[train[subset]], targets[train[subset]]),
        validation=split(inputs[validation], targets[validation]),
        test=split(*sets["test"]),
    )
