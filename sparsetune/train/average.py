"""An exponential moving average of a network's weights, which is measured and saved in their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


class WeightAverage:
    """Follows parameters and floating buffers, batch-norm statistics among them; other buffers are the network's own.

    Average <- d average + (1 - d) weights after every step, where d rises to the declared decay as (1 + t) / (10 + t)
    at update t, so that the random start is soon forgotten.

    Args:
        model: In training; its tensors as they are now are where the average starts.
        decay: In (0, 1), a step.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        tensors = [*model.parameters(), *model.buffers()]
        self._live = [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
        self._averages = [tensor.clone() for tensor in self._live]
        self._decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step ``step``, from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._live, 1 - decay)

    @contextmanager
    @torch.no_grad()
    def averaged_weights(self, mask: Callable[[], None]) -> Iterator[None]:
        """While open, the network has the average for its weights; ``mask`` sets those outside the mask to zero.

        An average over a change of the mask is not sparse by itself.
        """
        kept = [tensor.clone() for tensor in self._live]
        torch._foreach_copy_(self._live, self._averages)
        mask()
        yield
        torch._foreach_copy_(self._live, kept)

    def state(self) -> list[torch.Tensor]:
        """The averages, to go on from."""
        return self._averages

    def load(self, state: list[torch.Tensor]) -> None:
        """Go on from what ``state`` gave."""
        torch._foreach_copy_(
            self._averages, [tensor.to(self._averages[0].device) for tensor in state]
        )
