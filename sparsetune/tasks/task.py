"""A task: splits that live on the device, what a model must look like, what is optimised and what is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from sparsetune.tasks.models import build_model, require_prunable

TRAIN_SUBSET = 10_000
"""The training loss is evaluated on this many examples, or all."""


@dataclass(frozen=True)
class Split:
    """Examples on the device: ``inputs`` (n, *input_shape), ``targets`` (n,) class numbers."""

    inputs: torch.Tensor
    targets: torch.Tensor

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True)
class Splits:
    """The four that a trial reads. ``train_subset`` is the part of ``train`` that evaluations use."""

    train: Split
    train_subset: Split
    validation: Split
    test: Split


@dataclass(frozen=True)
class Task:
    """Classification of inputs of one shape by one network.

    Args:
        splits: On the device of the trial.
        model: A name of `MODELS`, or ``package.module:function``.
        input_shape: Of one example.
        n_classes: Number of classes.
    """

    splits: Splits
    model: str
    input_shape: tuple[int, ...]
    n_classes: int

    def build_model(self) -> nn.Module:
        """A fresh network, drawn from torch's global generator."""
        return build_model(self.model, self.input_shape, self.n_classes)

    def prunable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """What may be pruned: the weights of every linear and convolution layer, by name.

        Raises:
            DeclarationError: if there is none.
        """
        return require_prunable(self.model, model)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What is optimised: the mean cross-entropy of a batch, in nats."""
        return functional.cross_entropy(outputs, targets)


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
