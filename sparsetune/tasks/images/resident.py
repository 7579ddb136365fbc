"""Data sets that lie on the device whole: a batch is an index, without worker processes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from sparsetune.spec import TrialSpec
from sparsetune.spec.task import DigitsTask, ImageTask
from sparsetune.tasks.images.augment import Augmentation
from sparsetune.tasks.images.pixels import LabelledImages
from sparsetune.tasks.task import (
    EVALUATED_TOGETHER,
    Batch,
    Splits,
    TrainingBatch,
    epoch_order,
    split_indices,
)


@dataclass(frozen=True)
class ResidentSplit:
    """Examples on the device.

    Args:
        inputs: Normalised images, (n, *input_shape).
        targets: Class numbers, (n,).
        augment: Augmentation of training batches; None for none.
        evaluated_together: Images of a forward pass in evaluations.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    augment: Augmentation | None = None
    evaluated_together: int = EVALUATED_TOGETHER

    def __len__(self) -> int:
        return len(self.targets)

    def chunks(self) -> Iterable[torch.Tensor]:
        """See `sparsetune.tasks.task.Examples`."""
        return torch.split(torch.arange(len(self)), self.evaluated_together)

    def read(self, chosen: Iterable[torch.Tensor]) -> Iterator[Batch]:
        """See `sparsetune.tasks.task.Examples`."""
        for index in chosen:
            index = index.to(self.targets.device)
            yield self.inputs[index], self.targets[index]

    def training(self, spec: TrialSpec, first: int) -> Iterator[TrainingBatch]:
        """See `sparsetune.tasks.task.Examples`."""
        per_epoch = spec.steps_per_epoch()
        size = spec.task.batch_size
        device = self.targets.device
        order = torch.empty(0)
        draws = torch.empty(0)
        for step in range(first, spec.total_steps()):
            epoch, batch = divmod(step, per_epoch)
            if batch == 0 or step == first:
                # Drawn for the whole epoch and moved once: a copy per step costs small networks.
                order = epoch_order(spec.seed, epoch, len(self)).to(device)
                if self.augment:
                    draws = self.augment.draws(spec.seed, epoch, len(self)).to(device)
            index = order[batch * size : (batch + 1) * size]
            inputs = self.inputs[index]
            if self.augment:
                inputs = self.augment(inputs, draws[index])
            yield inputs, self.targets[index], index


@dataclass(frozen=True)
class ResidentSource:
    """Data set that fits on a device.

    Args:
        input_shape: Shape of an example, (channels, height, width).
        n_classes: Number of classes.
        prepare: Downloads or finds the data, given the data root.
        read: Gives ``train`` and ``test`` as they are stored, given the data root.
        normalised: Gives a model's inputs, from inputs as they are stored.
        evaluated_together: Images of a forward pass in evaluations.
    """

    input_shape: tuple[int, ...]
    n_classes: int
    prepare: Callable[[Path | None], object]
    read: Callable[[Path | None], dict[str, LabelledImages]]
    normalised: Callable[[torch.Tensor], torch.Tensor]
    evaluated_together: int = EVALUATED_TOGETHER

    def digest(self, data_root: Path | None) -> str:
        """Twelve hexadecimal digits that name every byte read."""
        return bytes_digest(self.read, data_root)

    def splits(
        self, spec: DigitsTask | ImageTask, data_root: Path | None, device: str, subset: int
    ) -> Splits:
        """Four splits, normalised, on the device.

        Args:
            spec: The task's declaration.
            data_root: Folder that data sets lie in.
            device: As torch names it.
            subset: Number of training examples on which the training loss is measured.
        """
        sets = self.read(data_root)
        inputs, targets = sets["train"]
        chosen = split_indices(
            targets.numpy(), spec.held_out(), spec.train_size(), spec.drawn_split_seed(), subset
        )

        def split(
            inputs: torch.Tensor, targets: torch.Tensor, augment: Augmentation | None = None
        ) -> ResidentSplit:
            held = self.normalised(inputs).to(device)
            return ResidentSplit(held, targets.to(device), augment, self.evaluated_together)

        train = chosen["train"]
        train_subset = chosen["train_subset"]
        validation = chosen["validation"]
        return Splits(
            train=split(inputs[train], targets[train], self._augmentation(spec, device)),
            train_subset=split(inputs[train_subset], targets[train_subset]),
            validation=split(inputs[validation], targets[validation]),
            test=split(*sets["test"]),
        )

    def _augmentation(self, spec: DigitsTask | ImageTask, device: str) -> Augmentation | None:
        if not isinstance(spec, ImageTask) or not (spec.crop or spec.flip or spec.cutout):
            return None
        black_pixel = torch.zeros((1, self.input_shape[0], 1, 1), dtype=torch.uint8)
        black = self.normalised(black_pixel).flatten().to(device)
        return Augmentation(spec.crop, spec.flip, spec.cutout, black)


# Cached, since every trial asks for it and it reads every byte.
@lru_cache(maxsize=8)
def bytes_digest(
    read: Callable[[Path | None], dict[str, LabelledImages]], data_root: Path | None
) -> str:
    """Twelve hexadecimal digits that name every byte of what ``read`` gives."""
    digest = hashlib.sha256()
    for _, tensors in sorted(read(data_root).items()):
        for tensor in tensors:
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()[:12]
