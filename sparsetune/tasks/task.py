"""A task: the splits that a trial reads, what a model must look like, what is optimised and what is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from sparsetune.seeds import derived_seed
from sparsetune.spec import TrialSpec
from sparsetune.spec.task import Metric
from sparsetune.tasks.network import Inputs, Network
from sparsetune.tasks.weights import load_weights

EVALUATED_TOGETHER = 1_000
"""Images of a forward pass in evaluations; part of the numbers, since sums change in the last bit with it."""

Batch = tuple[Inputs, torch.Tensor]
"""Inputs as the network takes them, and targets (n,): class numbers, or scores; on the trial's device."""
TrainingBatch = tuple[Inputs, torch.Tensor, torch.Tensor]
"""A batch, and which examples of the training split it has (n,), on the trial's device."""


class Examples(Protocol):
    """The examples of one split, in an order that never changes."""

    def __len__(self) -> int:
        """How many there are."""

    def chunks(self) -> Iterable[torch.Tensor]:
        """All indices in tensors, each of which one forward pass of an evaluation takes."""

    def read(self, chosen: Iterable[torch.Tensor]) -> Iterator[Batch]:
        """A batch for each tensor of indices, as evaluations see it: without augmentation."""

    def training(self, spec: TrialSpec, first: int) -> Iterator[TrainingBatch]:
        """The augmented batches of a trial, from step ``first`` to its last: a function of its seed and the step."""


@dataclass(frozen=True)
class Splits:
    """The four that a trial reads. ``train_subset`` is the part of ``train`` that evaluations use."""

    train: Examples
    train_subset: Examples
    validation: Examples
    test: Examples


@dataclass(frozen=True)
class Task:
    """Classification, or the prediction of a number, by one network.

    Args:
        splits: For the device of the trial.
        network: Before training.
        label_smoothing: Of the loss that is optimised.
        weights: Trained weights to start from; see `sparsetune.tasks.weights`.
        data_root: Where to look for those.
        metric: What ``score`` means.
    """

    splits: Splits
    network: Network
    label_smoothing: float = 0.0
    weights: str | None = None
    data_root: Path | None = None
    metric: Metric = "accuracy"

    def build_model(self) -> nn.Module:
        """A fresh network, drawn from torch's global generator, or with the declared weights."""
        model = self.network.build()
        if self.weights is not None:
            load_weights(model, self.weights, self.data_root)
        return model

    def prunable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """What may be pruned, by name.

        Raises:
            DeclarationError: if there is nothing.
        """
        return self.network.prunable(model)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What is optimised: the mean cross-entropy of a batch in nats, with smoothed labels where declared.

        Where targets are numbers it is the mean squared error.
        """
        if targets.is_floating_point():
            return functional.mse_loss(outputs.squeeze(1), targets)
        return functional.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)


def epoch_order(seed: int, epoch: int, examples: int) -> torch.Tensor:
    """The order in which an epoch goes through ``examples``: a permutation of their indices, and no other state."""
    generator = torch.Generator().manual_seed(derived_seed(seed, "order", epoch))
    return torch.randperm(examples, generator=generator)


def stratified_split(
    targets: NDArray[np.integer], size: int, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of ``size`` examples, of every class one fraction to within half an example, and those of the rest.

    Both ascend. The draw is a pure function of its arguments: `RandomState`'s stream is frozen by numpy.
    """
    order = np.random.RandomState(seed).permutation(len(targets))
    by_class = order[np.argsort(targets[order], kind="stable")]
    counts = np.bincount(targets)
    share = np.concatenate([(np.arange(n) + 0.5) / n for n in counts if n])
    by_share = by_class[np.argsort(share, kind="stable")]
    return np.sort(by_share[:size]), np.sort(by_share[size:])


def split_indices(
    labels: NDArray[np.integer], held_out: int, train_size: int, seed: int, subset_size: int
) -> dict[str, NDArray[np.intp]]:
    """Indices of ``train``, ``train_subset`` and ``validation`` in the published training set.

    Validation is held out first; a smaller training set is drawn from what is left.
    """
    validation, rest = stratified_split(labels, held_out, seed)
    chosen, _ = stratified_split(labels[rest], train_size, seed)
    train = rest[chosen]
    subset, _ = stratified_split(labels[train], min(subset_size, len(train)), seed)
    return {"train": train, "train_subset": train[subset], "validation": validation}
