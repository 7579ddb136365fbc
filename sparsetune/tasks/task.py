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
from sparsetune.tasks.models import build_model, require_prunable
from sparsetune.tasks.weights import load_weights

TRAIN_SUBSET = 10_000
"""The training loss is evaluated on this many examples, or all."""

Batch = tuple[torch.Tensor, torch.Tensor]
"""Inputs (n, *input_shape) as the network takes them, and targets (n,) class numbers, on the trial's device."""


class Examples(Protocol):
    """The examples of one split, in an order that never changes."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, chosen: Iterable[torch.Tensor]) -> Iterator[Batch]:
        """A batch for each tensor of indices, as evaluations see it: without augmentation."""

    def training(self, spec: TrialSpec, first: int) -> Iterator[Batch]:
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
    """Classification of inputs of one shape by one network.

    Args:
        splits: For the device of the trial.
        model: A name of `MODELS`, of torchvision's classification models, or ``package.module:function``.
        input_shape: Of one example.
        n_classes: Number of classes.
        label_smoothing: Of the loss that is optimised.
        weights: Trained weights to start from; see `sparsetune.tasks.weights`.
        data_root: Where to look for those.
    """

    splits: Splits
    model: str
    input_shape: tuple[int, ...]
    n_classes: int
    label_smoothing: float = 0.0
    weights: str | None = None
    data_root: Path | None = None

    def build_model(self) -> nn.Module:
        """A fresh network, drawn from torch's global generator, or with the declared weights."""
        model = build_model(self.model, self.input_shape, self.n_classes)
        if self.weights is not None:
            load_weights(model, self.weights, self.data_root)
        return model

    def prunable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """What may be pruned: the weights of every linear and convolution layer, by name.

        Raises:
            DeclarationError: if there is none.
        """
        return require_prunable(self.model, model)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What is optimised: the mean cross-entropy of a batch, in nats, with smoothed labels where declared."""
        return functional.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)


def epoch_order(seed: int, epoch: int, examples: int) -> torch.Tensor:
    """The order in which an epoch goes through ``examples``: a permutation of their indices, and no other state."""
    generator = torch.Generator().manual_seed(derived_seed(seed, "order", epoch))
    return torch.randperm(examples, generator=generator)


def stratified(targets: NDArray[np.integer], size: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of ``size`` examples, of every class one fraction to within half an example, and those of the rest.

    Both ascend. The draw is a pure function of its arguments: `RandomState`'s stream is frozen by numpy.
    """
    order = np.random.RandomState(seed).permutation(len(targets))
    by_class = order[np.argsort(targets[order], kind="stable")]
    counts = np.bincount(targets)
    share = np.concatenate([(np.arange(n) + 0.5) / n for n in counts if n])
    by_share = by_class[np.argsort(share, kind="stable")]
    return np.sort(by_share[:size]), np.sort(by_share[size:])


def parts(labels: NDArray[np.integer], held_out: int, train_size: int, seed: int) -> dict[str, NDArray[np.intp]]:
    """Indices of ``train``, ``train_subset`` and ``validation`` in the published training set.

    Validation is held out first; a smaller training set is drawn from what is left.
    """
    validation, rest = stratified(labels, held_out, seed)
    chosen, _ = stratified(labels[rest], train_size, seed)
    train = rest[chosen]
    subset, _ = stratified(labels[train], min(TRAIN_SUBSET, len(train)), seed)
    return {"train": train, "train_subset": train[subset], "validation": validation}
