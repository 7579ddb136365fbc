"""Exponential moving average of a network's weights, measured and saved in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


class WeightAverage:
    """Average of parameters and floating-point buffers, batch-norm statistics among them.

    After step t (from 0), average <- d average + (1 - d) weights, where d is the smaller of
    ``decay`` and (1 + t) / (10 + t), so that the random start is soon forgotten. Other buffers are
    not averaged.

    Args:
        model: Network in training; the average starts from its tensors as they are now.
        decay: Decay per step, in (0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        # Buffers too: batch-norm statistics of the last step would not fit averaged weights.
        tensors = [*model.parameters(), *model.buffers()]
        self._live = [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
        self._averages = [tensor.clone() for tensor in self._live]
        self._decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average with the weights after step ``step``, from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._live, 1 - decay)

    @contextmanager
    @torch.no_grad()
    def averaged_weights(self, mask: Callable[[], None]) -> Iterator[None]:
        """While open, the network has the average for its weights.

        Args:
            mask: Sets weights outside the mask to zero: an average over a change of the mask is not
                sparse by itself.
        """
        kept = [tensor.clone() for tensor in self._live]
        torch._foreach_copy_(self._live, self._averages)
        mask()
        yield
        torch._foreach_copy_(self._live, kept)

    def state(self) -> list[torch.Tensor]:
        """Averages, for a checkpoint."""
        return self._averages

    def load(self, state: list[torch.Tensor]) -> None:
        """Replace the averages by those that `state` gave."""
        device = self._averages[0].device
        torch._foreach_copy_(self._averages, [tensor.to(device) for tensor in state])
