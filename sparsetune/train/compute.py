"""Arithmetic of a network: precision, memory layout, compilation, and a batch in parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

from sparsetune.spec import ComputeSpec
from sparsetune.tasks.nested import Nested, split_batch
from sparsetune.tasks.task import TrainingBatch

DTYPE_BY_PRECISION = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Precision of forward passes, by the declaration's name."""


class ComputedModel:
    """Network with the declared precision, memory layout and compilation.

    Args:
        spec: The declaration.
        model: Network, whose memory layout is changed in place; parameters keep their identity.
        device: As torch names it.
    """

    def __init__(self, spec: ComputeSpec, model: nn.Module, device: str) -> None:
        self._spec = spec
        self._device = torch.device(device).type
        if spec.channels_last:
            model.to(memory_format=torch.channels_last)
        self.network: Any = torch.compile(model) if spec.compile else model
        """Module to call with inputs; it shares the parameters of the model."""

    def arithmetic(self) -> AbstractContextManager[Any]:
        """Context in which forward passes have the declared precision."""
        precision = DTYPE_BY_PRECISION[self._spec.precision]
        return torch.autocast(self._device, precision, enabled=precision is not torch.float32)

    def inputs(self, inputs: Nested) -> Nested:
        """Images in the memory layout of the network; other inputs as they are."""
        if self._spec.channels_last and isinstance(inputs, torch.Tensor) and inputs.dim() == 4:
            return inputs.contiguous(memory_format=torch.channels_last)
        return inputs

    def parts(self, batch: TrainingBatch) -> Iterator[TrainingBatch]:
        """Equal parts of a batch, each small enough for one forward pass."""
        inputs, targets, index = batch
        count = self._spec.accumulate
        input_parts = split_batch(self.inputs(inputs), count)
        return zip(input_parts, split_batch(targets, count), index.chunk(count), strict=True)

    def part_of_mean(self, loss: torch.Tensor) -> torch.Tensor:
        """Share of a part's mean loss in that of its batch."""
        # Without parts there is no division: its time shows in the steps of a small network.
        return loss / self._spec.accumulate if self._spec.accumulate > 1 else loss
