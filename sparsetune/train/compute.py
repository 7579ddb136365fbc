"""How a network's arithmetic is done: precision, memory layout, compilation, and a batch in parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from sparsetune.spec import ComputeSpec
from sparsetune.tasks import Batch

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Of forward passes, by name."""


class Compute:
    """A network as the declaration wants it computed.

    Args:
        spec: The declaration.
        model: Moved to its memory layout, in place; parameters keep their identity.
        device: As torch names it.
    """

    def __init__(self, spec: ComputeSpec, model: nn.Module, device: str) -> None:
        self._spec, self._device = spec, torch.device(device).type
        if spec.channels_last:
            model.to(memory_format=torch.channels_last)
        self.network: Any = torch.compile(model) if spec.compile else model
        """What to call with inputs; it has the parameters of the model."""

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Within it, forward passes have the declared precision."""
        precision = PRECISIONS[self._spec.precision]
        return torch.autocast(self._device, precision, enabled=precision is not torch.float32)

    def inputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """Images in the memory layout of the network."""
        is_image = self._spec.channels_last and inputs.dim() == 4
        return inputs.contiguous(memory_format=torch.channels_last) if is_image else inputs

    def parts(self, batch: Batch) -> Iterator[Batch]:
        """The batch in equal parts, each small enough for one pass."""
        inputs, targets = batch
        count = self._spec.accumulate
        return zip(self.inputs(inputs).chunk(count), targets.chunk(count), strict=True)

    def part_of_mean(self, loss: torch.Tensor) -> torch.Tensor:
        """What the mean loss of a part adds to that of its batch; a division costs what a small network notices."""
        return loss / self._spec.accumulate if self._spec.accumulate > 1 else loss
