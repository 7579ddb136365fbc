"""Sizes of a user's data, which a study's first launch resolves and all later ones rely on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sparsetune.errors import DataError, DeclarationError, Problem
from sparsetune.imports import asked_names
from sparsetune.spec.task import CustomTask, DataSizes, TensorSize
from sparsetune.tasks.custom.data import CustomData, Part, data_options, read_data
from sparsetune.tasks.nested import Nested, map_tensors, tensors_of

SAMPLED_INPUTS = 64
"""Examples of each part whose inputs the fingerprint holds."""
MAX_NORMALISED_FEATURES = 64
"""A vector of more features is normalised by one mean and one deviation."""


def resolve_task(task: CustomTask, data_root: Path | None) -> CustomTask:
    """Task that knows the sizes of its data; itself where it knows them already.

    Raises:
        DeclarationError: if a function cannot be imported or called, or no function asks for an
            option.
        DataError: if the data cannot be learned from.
    """
    require_options_asked_for(task)
    if task.find_sizes() is not None:
        return task
    sizes = measure_sizes(task, read_data(task, data_root))
    return task.with_sizes((*task.resolved, sizes))


def require_options_asked_for(task: CustomTask) -> None:
    """Refuse options that neither data nor model ask for.

    Raises:
        DeclarationError: naming them all.
    """
    for_data = {**task.options, "data_root": None}
    for_model = {**task.options, "input_shape": None, "n_outputs": None}
    asked = {
        *asked_names(task.data, "task.data", for_data),
        *asked_names(task.model, "task.model", for_model),
    }
    problems: list[Problem] = []
    for name in task.options:
        if name not in asked:
            rule = f"neither `{task.data}` nor `{task.model}` has an argument of this name"
            problems.append(Problem(f"task.options.{name}", rule))
    if problems:
        raise DeclarationError(problems, "the task")


def measure_sizes(task: CustomTask, data: CustomData) -> DataSizes:
    """Sizes of data that were read.

    Raises:
        DataError: if the number of outputs does not follow from the targets, or a class is alone.
    """
    targets = {name: part.all_targets() for name, part in data.parts.items()}
    train = data.parts["train"]
    inputs, _ = train.batch(torch.arange(1))
    classes = _count_classes(task, targets)
    n_outputs = data.n_outputs or classes or _count_numbers(task, targets["train"])
    if n_outputs is None:
        rule = f"`{task.data}` must return `n_outputs`, the outputs that the model is asked for"
        raise DataError(f"{rule}: it does not follow from the targets")
    if data.class_names and len(data.class_names) != n_outputs:
        rule = f"`{task.data}` must return a name for each of {n_outputs} classes"
        raise DataError(f"{rule}, got {len(data.class_names)}")
    is_stratified = classes is not None and tensors_of(targets["train"])[0].dim() == 1
    mean, deviation = _normalisation(task, train)
    sizes: DataSizes = DataSizes(
        data=task.data,
        options=data_options(task),
        train=len(train),
        validation=len(data.parts["validation"]) if "validation" in data.parts else 0,
        test=len(data.parts["test"]),
        inputs=map_tensors(_size_of, inputs),
        n_outputs=n_outputs,
        classes=classes if is_stratified else 0,
        class_names=data.class_names,
        mean=mean,
        deviation=deviation,
        fingerprint=fingerprint(data, targets),
    )
    return sizes.checked()


def _size_of(batch: torch.Tensor) -> TensorSize:
    size: TensorSize = TensorSize(
        shape=tuple(batch.shape[1:]), dtype=str(batch.dtype).removeprefix("torch.")
    )
    return size


def _count_classes(task: CustomTask, targets: Mapping[str, Nested]) -> int | None:
    """Number of classes, where every target is one class number or several; else None.

    Raises:
        DataError: if there is one class alone, or a number is negative.
    """
    tensors = list(targets.values())
    if not all(isinstance(each, torch.Tensor) for each in tensors):
        return None
    if any(tensors_of(each)[0].is_floating_point() for each in tensors):
        return None
    if task.loss in ("mse", "l1", "huber", "bce_with_logits"):
        return None
    lowest = min(int(tensors_of(each)[0].min()) for each in tensors)
    highest = max(int(tensors_of(each)[0].max()) for each in tensors)
    if task.loss != "cross_entropy":
        return highest + 1 if lowest >= 0 else None
    if lowest < 0:
        raise DataError(f"`{task.data}` must number classes from 0, got {lowest}")
    train = tensors_of(targets["train"])[0]
    if int(train.min()) == int(train.max()):
        rule = f"`{task.data}` must give training examples of at least two classes"
        raise DataError(f"{rule}, got class {int(train.min())} alone")
    return highest + 1


def _count_numbers(task: CustomTask, targets: Nested) -> int | None:
    """How many numbers are predicted: 1 of targets (n,), k of targets (n, k, …)."""
    if not isinstance(targets, torch.Tensor):
        return None
    is_number = targets.is_floating_point() or task.loss in ("mse", "l1", "huber")
    if not is_number and task.loss != "bce_with_logits":
        return None
    return 1 if targets.dim() == 1 else int(targets.shape[1])


def fingerprint(data: CustomData, targets: Mapping[str, Nested]) -> str:
    """Twelve hexadecimal digits of the counts, all targets and a sample of the inputs."""
    digest = hashlib.sha256()
    for name, part in sorted(data.parts.items()):
        digest.update(f"{name}={len(part)}".encode())
        count = min(SAMPLED_INPUTS, len(part))
        spread = torch.linspace(0, len(part) - 1, count).round().long()
        inputs, _ = part.batch(spread)
        for tensor in (*tensors_of(targets[name]), *tensors_of(inputs)):
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _normalisation(task: CustomTask, train: Part) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of training inputs, where the task asks for them.

    Raises:
        DataError: if there are several inputs, or they are no floats.
    """
    if task.normalise != "standard":
        return (), ()
    inputs: Any = getattr(train, "inputs", None)
    if not isinstance(inputs, torch.Tensor) or not inputs.is_floating_point():
        raise DataError(
            f"`{task.data}` must give one array of numbers as inputs for `normalise='standard'`;"
            " give your own function instead, or normalise in the data function"
        )
    features = inputs.shape[1] if inputs.dim() > 1 else 1
    if inputs.dim() == 2 and features > MAX_NORMALISED_FEATURES:
        features = 1
    # Features first: (features, everything else).
    by_feature = inputs.reshape(len(inputs), features, -1).transpose(0, 1).reshape(features, -1)
    deviation, mean = torch.std_mean(by_feature.double(), dim=1, correction=0)
    # A feature that never varies stays 0.
    deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))
    return _as_singles(mean), _as_singles(deviation)


def _as_singles(values: torch.Tensor) -> tuple[float, ...]:
    return tuple(values.float().tolist())


def require_same_sizes(task: CustomTask, data: CustomData) -> None:
    """Refuse data of other sizes than a study was launched with.

    Raises:
        DataError: naming what differs.
    """
    known = task.sizes()
    counts = {"train": known.train, "validation": known.validation, "test": known.test}
    for name, count in counts.items():
        found = len(data.parts[name]) if name in data.parts else 0
        if found != count:
            raise DataError(
                f"`{task.data}` must give the data that the study was launched with, {count:,}"
                f" examples in `{name}`, got {found:,}; put them back, or start another study"
                " (--name)"
            )
