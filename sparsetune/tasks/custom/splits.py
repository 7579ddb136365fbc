"""Splits of a user's data: resident on the device, or read from a torch data set as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sparsetune.imports import import_function
from sparsetune.seeds import derived_seed
from sparsetune.spec import TrialSpec
from sparsetune.spec.task import CustomTask, DataSizes
from sparsetune.tasks.custom.data import Part, TensorPart, read_data
from sparsetune.tasks.custom.sizes import require_same_sizes
from sparsetune.tasks.nested import Nested, map_tensors, tensors_of
from sparsetune.tasks.task import (
    Batch,
    Splits,
    TrainingBatch,
    epoch_order,
    evaluated_together,
    split_indices,
)

InputChange = Callable[[Nested], Nested]
Augment = Callable[[Nested, torch.Generator], Nested]


@dataclass(frozen=True)
class CustomSplit:
    """Some examples of a part.

    Args:
        part: Examples; those in memory lie on the device, and are this split's alone.
        rows: Indices of the split's examples in the part, (n,), on the CPU.
        device: Device of the trial, as torch names it.
        normalise: Change of inputs that come from a torch data set, None for none; inputs in memory
            are normalised already.
        augment: A user's change of training inputs; None for none.
        evaluated_together: Examples of a forward pass in evaluations.
    """

    part: Part
    rows: torch.Tensor
    device: str
    normalise: InputChange | None
    augment: Augment | None
    evaluated_together: int

    def __len__(self) -> int:
        return len(self.rows)

    def chunks(self) -> Iterable[torch.Tensor]:
        """See `sparsetune.tasks.task.Examples`."""
        return torch.split(torch.arange(len(self)), self.evaluated_together)

    def read(self, chosen: Iterable[torch.Tensor]) -> Iterator[Batch]:
        """See `sparsetune.tasks.task.Examples`."""
        for index in chosen:
            yield self._batch(index)

    def training(self, spec: TrialSpec, first: int) -> Iterator[TrainingBatch]:
        """See `sparsetune.tasks.task.Examples`."""
        per_epoch = spec.steps_per_epoch()
        size = spec.task.batch_size
        is_resident = isinstance(self.part, TensorPart)
        order = torch.empty(0)
        for step in range(first, spec.total_steps()):
            epoch, number = divmod(step, per_epoch)
            if number == 0 or step == first:
                order = epoch_order(spec.seed, epoch, len(self))
                if is_resident:  # moved once: a copy per step costs small networks
                    order = order.to(self.device)
            index = order[number * size : (number + 1) * size]
            inputs, targets = self._batch(index)
            if self.augment:
                generator = torch.Generator(self.device)
                generator.manual_seed(derived_seed(spec.seed, "augment", epoch, number))
                inputs = self.augment(inputs, generator)
            yield inputs, targets, index.to(self.device)

    def _batch(self, index: torch.Tensor) -> Batch:
        if isinstance(self.part, TensorPart):
            return self.part.batch(index.to(self.device))
        inputs, targets = self.part.batch(self.rows[index])
        inputs = map_tensors(lambda tensor: tensor.to(self.device), inputs)
        targets = map_tensors(lambda tensor: tensor.to(self.device), targets)
        return (self.normalise(inputs) if self.normalise else inputs), targets


def custom_splits(task: CustomTask, data_root: Path | None, device: str, subset: int) -> Splits:
    """Four splits of a resolved task.

    Args:
        task: The task's declaration.
        data_root: Folder that data sets lie in.
        device: As torch names it.
        subset: Number of training examples on which the training loss is measured.

    Raises:
        DataError: if the data are not those that the task was resolved with.
    """
    data = read_data(task, data_root)
    require_same_sizes(task, data)
    sizes = task.sizes()
    train = data.parts["train"]
    chosen = split_indices(
        _strata_of(train, sizes),
        task.held_out(),
        task.train_size(),
        task.drawn_split_seed(),
        subset,
    )
    normalise = normalise_function(task)
    augment = augment_function(task)
    together = evaluated_together(_count_elements(sizes))

    def split(part: Part, rows: NDArray[np.intp], augmented: bool = False) -> CustomSplit:
        return CustomSplit(
            part=_resident(part, rows, device, normalise),
            rows=torch.from_numpy(np.ascontiguousarray(rows)),
            device=device,
            normalise=normalise,
            augment=augment if augmented else None,
            evaluated_together=together,
        )

    def whole(name: str) -> CustomSplit:
        return split(data.parts[name], np.arange(len(data.parts[name])))

    own_validation = "validation" in data.parts
    return Splits(
        train=split(train, chosen["train"], augmented=True),
        train_subset=split(train, chosen["train_subset"]),
        validation=whole("validation") if own_validation else split(train, chosen["validation"]),
        test=whole("test"),
    )


def _count_elements(sizes: DataSizes) -> int:
    """Numbers in the inputs of one example."""
    inputs = sizes.inputs
    if isinstance(inputs, dict):
        parts = list(inputs.values())
    else:
        parts = list(inputs) if isinstance(inputs, tuple) else [inputs]
    return sum(prod(part.shape) for part in parts)


def _strata_of(train: Part, sizes: DataSizes) -> NDArray[np.integer]:
    """Class numbers that splits are stratified by, (n,); all 0 where there are none."""
    if not sizes.classes:
        return np.zeros(len(train), dtype=np.int64)
    targets = train.all_targets()
    assert isinstance(targets, torch.Tensor)
    return targets.numpy()


def _resident(
    part: Part, rows: NDArray[np.intp], device: str, normalise: InputChange | None
) -> Part:
    """Examples of a split on the device, normalised, where the part is in memory."""
    if not isinstance(part, TensorPart):
        return part
    index = torch.from_numpy(np.ascontiguousarray(rows))
    inputs, targets = part.batch(index)
    inputs = map_tensors(lambda tensor: tensor.to(device), inputs)
    targets = map_tensors(lambda tensor: tensor.to(device), targets)
    return TensorPart(normalise(inputs) if normalise else inputs, targets)


def augment_function(task: CustomTask) -> Augment | None:
    """Change of training inputs that the task declares; None for none.

    Raises:
        DeclarationError: if it cannot be imported.
    """
    return import_function(task.augment, "task.augment") if task.augment else None


def normalise_function(task: CustomTask) -> InputChange | None:
    """Change of inputs that the task declares; None for none.

    Raises:
        DeclarationError: if a user's function cannot be imported.
    """
    if task.normalise is None:
        return None
    if task.normalise != "standard":
        return import_function(task.normalise, "task.normalise")
    sizes = task.sizes()
    mean = torch.tensor(sizes.mean)
    deviation = torch.tensor(sizes.deviation)

    def standardise(inputs: Nested) -> Nested:
        (tensor,) = tensors_of(inputs)
        # One number for each channel, or feature; or one for all.
        shape = (1, -1, *[1] * max(0, tensor.dim() - 2)) if tensor.dim() > 1 else (-1,)
        return (tensor - mean.to(tensor.device).view(shape)) / deviation.to(tensor.device).view(
            shape
        )

    return standardise
