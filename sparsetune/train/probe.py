"""Passes over training data apart from training: gradients for scores, batch-norm statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from sparsetune.seeds import derived_seed
from sparsetune.tasks.nested import Nested
from sparsetune.tasks.network import compute_outputs
from sparsetune.tasks.task import Task


class _TakingInputs(nn.Module):
    """Network called with one argument, the inputs in whatever form."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training

    def forward(self, inputs: Nested) -> Any:
        return compute_outputs(self.network, inputs)


class GradientProbe:
    """Gradients and batch-norm statistics of the current weights, without a trace in training.

    Batches are drawn by a seed of their own. The model's gradients and mode, and torch's generators
    are left as they are; so are its buffers, except by `recalibrate`.

    Args:
        task: Task with its splits on the device.
        model: Network in training.
        weights: Its prunable weights by parameter name.
        batch_size: Batch size of training.
        seed: Seed of the trial.
        arithmetic: Context in which forward passes have the trial's precision.
    """

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        weights: Mapping[str, nn.Parameter],
        batch_size: int,
        seed: int,
        arithmetic: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._task = task
        self._model = model
        self._weights = dict(weights)
        self._batch_size = batch_size
        self._seed = seed
        self._arithmetic = arithmetic

    def gradients(
        self, seed: int, batches: int, batch_size: int | None, training: bool
    ) -> Iterator[dict[str, torch.Tensor]]:
        """Mean gradients of the prunable weights over each batch, by parameter name.

        No example is drawn a second time before all were drawn once.

        Args:
            seed: Seed of the batches, combined with the trial's.
            batches: Number of batches.
            batch_size: Examples of a batch; None for training's.
            training: Dropout and batch norm work as in training.
        """
        size = batch_size or self._batch_size
        order = self._order(seed, batches * size)
        parameters = list(self._weights.values())
        noise_seed = derived_seed(self._seed, "probe", seed, "noise")
        with undisturbed_model(self._model, noise_seed, training):
            for inputs, targets in self._task.splits.train.read(torch.split(order, size)):
                with self._arithmetic():
                    loss = self._task.loss(compute_outputs(self._model, inputs), targets)
                # A weight that the loss does not depend on has a gradient of zero, as in training.
                gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
                yield dict(zip(self._weights, gradients, strict=True))

    def recalibrate(self, seed: int, examples: int) -> None:
        """Replace batch-norm statistics by plain means over ``examples`` training examples."""
        split = self._task.splits.train
        chosen = self._order(seed, min(examples, len(split)))
        batches = split.read(torch.split(chosen, self._batch_size))
        with torch.random.fork_rng(self._gpu_devices()), self._arithmetic():
            torch.manual_seed(derived_seed(self._seed, "recalibrate", seed))
            update_bn(([inputs] for inputs, _ in batches), _TakingInputs(self._model))

    def _order(self, seed: int, examples: int) -> torch.Tensor:
        """Indices of ``examples`` training examples, from one permutation after the other."""
        available = len(self._task.splits.train)
        generator = torch.Generator().manual_seed(derived_seed(self._seed, "probe", seed))
        rounds = -(-examples // available)
        permutations = [torch.randperm(available, generator=generator) for _ in range(rounds)]
        return torch.cat(permutations)[:examples]

    def _gpu_devices(self) -> list[torch.device]:
        """GPU whose generator must be put back; an empty list on a CPU."""
        return _gpus_of(self._weights.values())


@contextmanager
def undisturbed_model(model: nn.Module, seed: int, training: bool) -> Iterator[None]:
    """Set a model's mode for passes apart from training; on leaving, put back all they change.

    Args:
        model: The model, whose buffers and mode are put back, as are torch's generators.
        seed: Seed of torch's generators while open.
        training: Dropout and batch norm work as in training.
    """
    was_training = model.training
    # Forward passes in training mode update batch-norm statistics.
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    with torch.random.fork_rng(_gpus_of(model.parameters())):
        torch.manual_seed(seed)
        model.train(training)
        yield
        model.train(was_training)
    for buffer, kept in buffers:
        buffer.copy_(kept)


def _gpus_of(weights: Iterable[torch.Tensor]) -> list[torch.device]:
    """GPU that the weights lie on; an empty list on a CPU."""
    devices = [weight.device for weight in weights]
    return [device for device in devices if device.type == "cuda"][:1]
