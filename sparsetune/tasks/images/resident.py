"""Data sets small enough to live on the device whole: a batch is an index, and no worker process is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from sparsetune.spec import TrialSpec
from sparsetune.spec.task import ImageTask, TaskSpec
from sparsetune.tasks.images.augment import Augmentation
from sparsetune.tasks.task import (
    EVALUATED_TOGETHER,
    Batch,
    Splits,
    TrainingBatch,
    epoch_order,
    split_indices,
)

Tensors = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class ResidentSplit:
    """Examples on the device: ``inputs`` (n, *input_shape), ``targets`` (n,) class numbers."""

    inputs: torch.Tensor
    targets: torch.Tensor
    augment: Augmentation | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def chunks(self) -> Iterable[torch.Tensor]:
        """See `sparsetune.tasks.task.Examples`."""
        return torch.split(torch.arange(len(self)), EVALUATED_TOGETHER)

    def read(self, chosen: Iterable[torch.Tensor]) -> Iterator[Batch]:
        """See `sparsetune.tasks.task.Examples`."""
        for index in chosen:
            index = index.to(self.targets.device)
            yield self.inputs[index], self.targets[index]

    def training(self, spec: TrialSpec, first: int) -> Iterator[TrainingBatch]:
        """See `sparsetune.tasks.task.Examples`; order and augmentation of an epoch are drawn and moved once."""
        per_epoch = spec.steps_per_epoch()
        size = spec.task.batch_size
        device = self.targets.device
        order = torch.empty(0)
        draws = torch.empty(0)
        for step in range(first, spec.total_steps()):
            epoch, batch = divmod(step, per_epoch)
            if batch == 0 or step == first:
                order = epoch_order(spec.seed, epoch, len(self)).to(device)
                draws = (
                    self.augment.draws(spec.seed, epoch, len(self)).to(device)
                    if self.augment
                    else draws
                )
            index = order[batch * size : (batch + 1) * size]
            inputs = self.inputs[index]
            yield (
                self.augment(inputs, draws[index]) if self.augment else inputs,
                self.targets[index],
                index,
            )


@dataclass(frozen=True)
class ResidentSource:
    """A data set: the shape of an example, how it is read (``train`` and ``test``), and what a model sees of it."""

    input_shape: tuple[int, ...]
    n_classes: int
    prepare: Callable[[Path | None], object]
    read: Callable[[Path | None], dict[str, Tensors]]
    normalised: Callable[[torch.Tensor], torch.Tensor]

    def digest(self, data_root: Path | None) -> str:
        """Twelve hexadecimal digits that name every byte read."""
        return _data_digest(self.read, data_root)

    def splits(self, spec: TaskSpec, data_root: Path | None, device: str, subset: int) -> Splits:
        """The four splits, normalised, on the device."""
        sets = self.read(data_root)
        inputs, targets = sets["train"]
        chosen = split_indices(
            targets.numpy(), spec.held_out(), spec.train_size(), spec.split_seed, subset
        )

        def split(
            inputs: torch.Tensor, targets: torch.Tensor, augment: Augmentation | None = None
        ) -> ResidentSplit:
            return ResidentSplit(self.normalised(inputs).to(device), targets.to(device), augment)

        return Splits(
            train=split(
                inputs[chosen["train"]], targets[chosen["train"]], self._augment(spec, device)
            ),
            train_subset=split(inputs[chosen["train_subset"]], targets[chosen["train_subset"]]),
            validation=split(inputs[chosen["validation"]], targets[chosen["validation"]]),
            test=split(*sets["test"]),
        )

    def _augment(self, spec: TaskSpec, device: str) -> Augmentation | None:
        if isinstance(spec, ImageTask) and (spec.crop or spec.flip or spec.cutout):
            pixel = torch.zeros((1, self.input_shape[0], 1, 1), dtype=torch.uint8)
            return Augmentation(
                spec.crop, spec.flip, spec.cutout, self.normalised(pixel).flatten().to(device)
            )
        return None


@lru_cache(maxsize=8)
def _data_digest(read: Callable[[Path | None], dict[str, Tensors]], data_root: Path | None) -> str:
    digest = hashlib.sha256()
    for _, tensors in sorted(read(data_root).items()):
        for tensor in tensors:
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()[:12]
