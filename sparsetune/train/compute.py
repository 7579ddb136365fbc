"""How a network's arithmetic is done: precision, memory layout, compilation, and a batch in parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from sparsetune.spec import ComputeSpec
from sparsetune.tasks.network import Inputs
from sparsetune.tasks.task import TrainingBatch

DTYPE_BY_PRECISION = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Of forward passes, by name."""


class ComputedModel:
    """A network as the declaration wants it computed.

    Args:
        spec: The declaration.
        model: Moved to its memory layout, in place; parameters keep their identity.
        device: As torch names it.
    """

    def __init__(self, spec: ComputeSpec, model: nn.Module, device: str) -> None:
        self._spec = spec
        self._device = torch.device(device).type
        if spec.channels_last:
            model.to(memory_format=torch.channels_last)
        self.network: Any = torch.compile(model) if spec.compile else model
        """What to call with inputs; it has the parameters of the model."""

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Within it, forward passes have the declared precision."""
        precision = DTYPE_BY_PRECISION[self._spec.precision]
        return torch.autocast(self._device, precision, enabled=precision is not torch.float32)

    def inputs(self, inputs: Inputs) -> Inputs:
        """Images in the memory layout of the network; other inputs as they are."""
        if self._spec.channels_last and isinstance(inputs, torch.Tensor) and inputs.dim() == 4:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs

    def parts(self, batch: TrainingBatch) -> Iterator[TrainingBatch]:
        """The batch in equal parts, each small enough for one pass."""
        inputs, targets, index = batch
        count = self._spec.accumulate
        return zip(
            _split_inputs(self.inputs(inputs), count),
            targets.chunk(count),
            index.chunk(count),
            strict=True,
        )

    def part_of_mean(self, loss: torch.Tensor) -> torch.Tensor:
        """What the mean loss of a part adds to that of its batch; a division costs what a small network notices."""
        return loss / self._spec.accumulate if self._spec.accumulate > 1 else loss


def _split_inputs(inputs: Inputs, count: int) -> Sequence[Inputs]:
    if isinstance(inputs, torch.Tensor):
        return inputs.chunk(count)
    parts = zip(*(tensor.chunk(count) for tensor in inputs.values()), strict=True)
    return [dict(zip(inputs, part, strict=True)) for part in parts]
