"""Task of a trial: the splits it reads, its network, the loss it optimises, what is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sparsetune.seeds import derived_seed
from sparsetune.sparsity.account.account import Account
from sparsetune.sparsity.account.trace import ForwardTrace, trace_forward
from sparsetune.spec import TrialSpec
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.tasks.losses import class_loss
from sparsetune.tasks.measures import ACCURACY, LossFunction, Measures
from sparsetune.tasks.nested import Nested
from sparsetune.tasks.network import Network, network_account
from sparsetune.tasks.weights import load_weights

EVALUATED_TOGETHER = 1_000
"""Examples of a forward pass in evaluations, at most. Results change in the last bit with it."""
MAX_INPUT_ELEMENTS = 2**22
"""Numbers in the inputs of one forward pass of an evaluation, at most: 16 MiB of them, of which a
deep network's activations make some hundred times as much."""

DENSE = SparsitySpec()
Batch = tuple[Nested, Nested]
"""Inputs as the network takes them, and targets, as the loss does. On the device."""
TrainingBatch = tuple[Nested, Nested, torch.Tensor]
"""A batch, and the indices of its examples in the training split, (n,). On the device."""


class Examples(Protocol):
    """Examples of one split, in an order that never changes."""

    def __len__(self) -> int:
        """Number of examples."""

    def chunks(self) -> Iterable[torch.Tensor]:
        """All indices, in a tensor for each forward pass of an evaluation."""

    def read(self, chosen: Iterable[torch.Tensor]) -> Iterator[Batch]:
        """Batch for each tensor of indices, as evaluations see it: without augmentation."""

    def training(self, spec: TrialSpec, first: int) -> Iterator[TrainingBatch]:
        """Augmented batches of a trial, from step ``first`` (from 0) to its last.

        A batch is a function of the trial's seed and the step.
        """


@dataclass(frozen=True)
class Splits:
    """Splits that a trial reads.

    Args:
        train: Examples that are trained on.
        train_subset: Part of ``train`` on which evaluations measure the training loss.
        validation: Examples held out of training; may be empty.
        test: Examples that only a report trial reads, at its end.
    """

    train: Examples
    train_subset: Examples
    validation: Examples
    test: Examples


@dataclass(frozen=True)
class Task:
    """Learning of one network from examples with targets.

    Args:
        splits: Examples, on or for the device of the trial.
        network: The network before training.
        loss: Loss that is optimised, a mean over the batch of outputs and targets.
        measures: What evaluations measure.
        weights: Trained weights to start from; see `sparsetune.tasks.weights`.
        data_root: Folder that those weights are looked for in.
    """

    splits: Splits
    network: Network
    loss: LossFunction = class_loss
    measures: Measures = ACCURACY
    weights: str | None = None
    data_root: Path | None = None

    def build_model(self) -> nn.Module:
        """Fresh network, drawn from torch's global generator, or with the declared weights."""
        model = self.network.build()
        if self.weights is not None:
            load_weights(model, self.weights, self.data_root)
        return model

    def account(self, model: nn.Module, sparsity: SparsitySpec) -> tuple[Account, ForwardTrace]:
        """Account of a network's parameters, and the trace of its forward pass."""
        trace = trace_forward(model, self.network.example())
        return network_account(self.network, model, trace, sparsity), trace

    def prunable(self, model: nn.Module, sparsity: SparsitySpec = DENSE) -> dict[str, nn.Parameter]:
        """Weights that may be pruned under a declaration, by parameter name."""
        account, _ = self.account(model, sparsity)
        return account.prunable(model)


def evaluated_together(elements: int) -> int:
    """Examples of a forward pass in evaluations: as many as fit `MAX_INPUT_ELEMENTS`.

    Args:
        elements: Numbers in the inputs of one example.
    """
    return max(1, min(EVALUATED_TOGETHER, MAX_INPUT_ELEMENTS // max(1, elements)))


def epoch_order(seed: int, epoch: int, examples: int) -> torch.Tensor:
    """Order of the examples in an epoch: a permutation of their indices, (examples,).

    It is a function of the arguments alone.
    """
    generator = torch.Generator().manual_seed(derived_seed(seed, "order", epoch))
    return torch.randperm(examples, generator=generator)


def stratified_split(
    targets: NDArray[np.integer], size: int, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split examples in two, with an equal fraction of every class in the first part.

    The draw is a pure function of its arguments: numpy has frozen the stream of `RandomState`.

    Args:
        targets: Class numbers, (n,).
        size: Number of examples in the first part.
        seed: Seed of the draw.

    Returns:
        Indices of the first part, (size,), and of the rest, (n - size,), both ascending. Every
        class gives the same fraction of its examples, to within half an example.
    """
    order = np.random.RandomState(seed).permutation(len(targets))
    by_class = order[np.argsort(targets[order], kind="stable")]
    counts = np.bincount(targets)
    # Each example's rank within its class, as a fraction: cutting at one rank takes an equal
    # fraction of every class.
    share = np.concatenate([(np.arange(n) + 0.5) / n for n in counts if n])
    by_share = by_class[np.argsort(share, kind="stable")]
    return np.sort(by_share[:size]), np.sort(by_share[size:])


def split_indices(
    labels: NDArray[np.integer], held_out: int, train_size: int, seed: int, subset_size: int
) -> dict[str, NDArray[np.intp]]:
    """Indices of ``train``, ``train_subset`` and ``validation`` in the published training set.

    Validation is held out first; a smaller training set is drawn from what is left.

    Args:
        labels: Class numbers of the published training set, (n,).
        held_out: Number of validation examples.
        train_size: Number of training examples.
        seed: Seed of all three draws.
        subset_size: Largest number of examples in ``train_subset``.
    """
    validation, rest = stratified_split(labels, held_out, seed)
    chosen, _ = stratified_split(labels[rest], train_size, seed)
    train = rest[chosen]
    subset, _ = stratified_split(labels[train], min(subset_size, len(train)), seed)
    return {"train": train, "train_subset": train[subset], "validation": validation}
