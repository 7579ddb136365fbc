"""Gradients of extra batches, from losses that the user's function yields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import torch
from torch import nn

from sparsetune.errors import DeclarationError, Problem
from sparsetune.seeds import derived_seed
from sparsetune.sparsity.scores import Tensors
from sparsetune.train.probe import undisturbed_model


class ExtraLosses(Protocol):
    """Function that passes batches forward through the model, apart from training."""

    def __call__(self, batches: int, batch_size: int | None, seed: int) -> Iterable[torch.Tensor]:
        """Mean loss of each batch, one at a time; the model's mode is set already.

        Args:
            batches: Number of batches to yield.
            batch_size: Examples of each; None for training's.
            seed: Seed that decides which examples they are: for the same one, the same losses.
        """


class LossGradients:
    """Gradients of the losses that a user's function yields, without a trace in training.

    Args:
        losses: The function; None where the user gives none.
        model: Network in training.
        weights: Its prunable weights by parameter name.
        seed: Seed of the masks.
    """

    def __init__(
        self,
        losses: ExtraLosses | None,
        model: nn.Module,
        weights: Mapping[str, nn.Parameter],
        seed: int,
    ) -> None:
        self._losses = losses
        self._model = model
        self._weights = dict(weights)
        self._seed = seed

    def gradients(
        self, seed: int, batches: int, batch_size: int | None, training: bool
    ) -> Iterator[Tensors]:
        """See `sparsetune.sparsity.masks.choice.GradientSource`.

        Raises:
            DeclarationError: if there is no function, or it yields too few losses.
        """
        if self._losses is None:
            raise _losses_error("a score that reads gradients needs `losses=`", "none")
        parameters = list(self._weights.values())
        noise_seed = derived_seed(self._seed, "probe", seed, "noise")
        with undisturbed_model(self._model, noise_seed, training):
            batch_seed = derived_seed(self._seed, "probe", seed)
            losses = iter(self._losses(batches, batch_size, batch_seed))
            for done in range(batches):
                with torch.enable_grad():
                    loss = next(losses, None)
                    if loss is None:
                        raise _losses_error(f"`losses` must yield {batches} losses", str(done))
                    # A weight that the loss does not depend on has a gradient of zero.
                    gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
                yield dict(zip(self._weights, gradients, strict=True))

    def recalibrate(self, seed: int, examples: int) -> None:
        """Refused before training: see `sparsetune.loops.planned`."""
        raise _losses_error("`sparsity.recalibrate` must be 0 in a loop of your own", str(examples))


def _losses_error(rule: str, got: str) -> DeclarationError:
    return DeclarationError([Problem("losses", rule, got)], "the call of `sparsify`")
