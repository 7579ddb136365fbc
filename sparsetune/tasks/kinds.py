"""Kinds of task by declaration, and the task that a trial learns."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from sparsetune.errors import DeclarationError, Problem
from sparsetune.spec.task import (
    CustomTask,
    DigitsTask,
    FolderTask,
    ImageTask,
    TaskSpec,
    TextTask,
)
from sparsetune.spec.task.splits import size_problems
from sparsetune.tasks.custom.data import forget_data as forget_custom_data
from sparsetune.tasks.custom.kind import CustomKind
from sparsetune.tasks.images.hub import forget_images
from sparsetune.tasks.images.kind import FolderKind, ResidentKind
from sparsetune.tasks.kind import TaskKind
from sparsetune.tasks.network import Network
from sparsetune.tasks.task import Splits, Task
from sparsetune.tasks.text.hub import forget_texts
from sparsetune.tasks.text.kind import TextKind


def kind_of(spec: TaskSpec) -> TaskKind:
    """What is particular to a declared task. This is the one place that tells kinds apart."""
    match spec:
        case DigitsTask() | ImageTask():
            return ResidentKind(spec)
        case FolderTask():
            return FolderKind(spec)
        case TextTask():
            return TextKind(spec)
        case CustomTask():
            return CustomKind(spec)


def network_of(
    task: TaskSpec, data_root: Path | None = None, checkpoint: str | None = None
) -> Network:
    """Network of a task before training.

    Args:
        task: The declaration.
        data_root: Folder that data sets and models lie in.
        checkpoint: Sparse model that a text task starts from; ignored for others.
    """
    return kind_of(task).network(data_root, checkpoint)


def prepare_data(spec: TaskSpec, data_root: Path | None) -> None:
    """Download, unpack or find what the task needs, so that trials only read.

    Raises:
        DataError: in one line, where it looked and what to set.
    """
    kind_of(spec).prepare(data_root)


def data_digest(spec: TaskSpec, data_root: Path | None = None) -> str:
    """Data set's name and twelve hexadecimal digits: ``digits=0a1b…``.

    The digits name every byte that is read; for a folder of images, every path and size; for a
    user's own data, the counts, the targets and a sample of the inputs. A text task adds its model
    in the same form, after a space.

    Raises:
        DataError: if the data are missing.
    """
    kind = kind_of(spec)
    data = f"{spec.dataset_name()}={kind.digest(data_root)}"
    files = kind.model_files(data_root)
    return f"{data} {files}" if files else data


def split_problems(task: TaskSpec) -> list[Problem]:
    """First problem with the sizes of a task's splits and batches; an empty list if they fit.

    Sizes that are not resolved yet have no problem.
    """
    if not task.is_resolved:
        return []
    pool = task.pool()
    held_out = task.held_out()
    classes = kind_of(task).strata
    if held_out and pool < 2 * classes:
        rule = (
            f"each class needs an example to train on and one to hold out, of {pool:,}: declare the"
            " `classes` and `examples` that the data have, or hold out 0"
        )
        field = "classes" if isinstance(task, FolderTask) else "validation"
        return [Problem(f"task.{field}", rule, f"{classes:,} classes, {held_out:,} held out")]
    if held_out >= pool:
        return size_problems(task)  # in the words of the check without data
    if 0 < held_out < classes or held_out > pool - classes:
        least = f"{classes} (one a class)" if classes > 1 else "1"
        choices = f"0, or {least} to {pool - classes} examples of {pool}"
        return [Problem("task.validation", f"must hold out {choices}", f"{held_out} examples")]
    return size_problems(task)


def resolve_task(spec: TaskSpec, data_root: Path | None) -> TaskSpec:
    """Task that knows the sizes of its data; itself where it knows them already.

    Raises:
        DeclarationError: if a user's function cannot be imported or called.
        DataError: if the data are missing, or cannot be learned from.
    """
    return kind_of(spec).resolve(data_root)


def forget_data() -> None:
    """Free the memory of all data that were read to resolve tasks."""
    forget_custom_data()
    forget_images()
    forget_texts()


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
    kind = kind_of(spec)
    # Trials of a study differ in other fields, and should not read their data again.
    splits = _load_splits(kind.data_only(), data_root, str(device), subset)
    return Task(
        splits=splits,
        network=kind.network(data_root, checkpoint),
        loss=kind.loss(),
        measures=kind.measures(),
        weights=spec.weights,
        data_root=data_root,
    )


# Few, since splits may take much of a device's memory.
@lru_cache(maxsize=2)
def _load_splits(spec: TaskSpec, data_root: Path | None, device: str, subset: int) -> Splits:
    return kind_of(spec).splits(data_root, device, subset)
