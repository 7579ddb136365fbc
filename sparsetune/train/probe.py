"""Passes over training data beside training: gradients for scores, batch-norm statistics for a new mask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from sparsetune.seeds import derived_seed
from sparsetune.tasks.network import compute_logits
from sparsetune.tasks.task import Task


class GradientProbe:
    """Draws its batches by a seed of its own; the model's gradients, mode and buffers, and torch's generators stay.

    Args:
        task: With its splits on the device.
        model: In training; its weights as they are when a pass is asked for.
        weights: The prunable ones by name.
        batch_size: Of training.
        seed: The trial's.
        arithmetic: Within it, forward passes have the trial's precision.
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
        """Mean gradients of the prunable weights, a dictionary per batch; all examples are used before one returns.

        Args:
            seed: Draws the batches, with the trial's.
            batches: How many.
            batch_size: Examples of each; training's where None.
            training: Whether dropout and batch norm are as in training.
        """
        size = batch_size or self._batch_size
        order = self._order(seed, batches * size)
        with self._restoring_model(seed, training):
            for inputs, targets in self._task.splits.train.read(torch.split(order, size)):
                with self._arithmetic():
                    loss = self._task.loss(compute_logits(self._model, inputs), targets)
                yield dict(
                    zip(
                        self._weights,
                        torch.autograd.grad(loss, list(self._weights.values())),
                        strict=True,
                    )
                )

    def recalibrate(self, seed: int, examples: int) -> None:
        """Estimate batch-norm statistics anew, as plain means over training examples."""
        split = self._task.splits.train
        chosen = self._order(seed, min(examples, len(split)))
        with torch.random.fork_rng(self._on_gpu()), self._arithmetic():
            torch.manual_seed(derived_seed(self._seed, "recalibrate", seed))
            update_bn(
                (inputs for inputs, _ in split.read(torch.split(chosen, self._batch_size))),
                self._model,
            )

    def _order(self, seed: int, examples: int) -> torch.Tensor:
        """Indices of so many training examples, one permutation after the other."""
        available = len(self._task.splits.train)
        generator = torch.Generator().manual_seed(derived_seed(self._seed, "probe", seed))
        rounds = -(-examples // available)
        return torch.cat([torch.randperm(available, generator=generator) for _ in range(rounds)])[
            :examples
        ]

    @contextmanager
    def _restoring_model(self, seed: int, training: bool) -> Iterator[None]:
        """The model in a mode, with everything put back that a pass changes."""
        was_training = self._model.training
        buffers = [(buffer, buffer.clone()) for buffer in self._model.buffers()]
        with torch.random.fork_rng(self._on_gpu()):
            torch.manual_seed(derived_seed(self._seed, "probe", seed, "noise"))
            self._model.train(training)
            yield
            self._model.train(was_training)
        for buffer, kept in buffers:
            buffer.copy_(kept)

    def _on_gpu(self) -> list[torch.device]:
        """The GPU whose generator must be put back, if there is one."""
        return [p.device for p in self._weights.values() if p.device.type == "cuda"][:1]
