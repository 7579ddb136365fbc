"""A user's network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sparsetune.imports import call_by_name, is_import_path
from sparsetune.sparsity.account.trace import Example
from sparsetune.spec.task import CustomTask, TensorSize
from sparsetune.tasks.models import build_outline, require_module
from sparsetune.tasks.nested import map_tensors


@dataclass(frozen=True)
class CustomNetwork:
    """Network that a user's function builds: every linear and convolution layer may be pruned.

    Args:
        task: The task, with the sizes of its data.
    """

    task: CustomTask

    @property
    def name(self) -> str:
        """See `sparsetune.tasks.network.Network`."""
        return self.task.model

    @property
    def outputs(self) -> int:
        """See `sparsetune.tasks.network.Network`."""
        return self.task.sizes().n_outputs

    @property
    def input_text(self) -> str:
        """See `sparsetune.tasks.network.Network`."""
        return f"inputs of shape {self.task.sizes().input_shape()}"

    def build(self) -> nn.Module:
        """See `sparsetune.tasks.network.Network`."""
        offered = model_arguments(self.task)
        return require_module(self.name, call_by_name(self.name, "task.model", offered))

    def meta(self) -> nn.Module:
        """See `sparsetune.tasks.network.Network`."""
        model: nn.Module = build_outline(self.build)
        return model

    def example(self) -> Example:
        """See `sparsetune.tasks.network.Network`."""
        example: Example = map_tensors(_empty, self.task.sizes().inputs)
        return example

    def output_problem(self, outputs: Any) -> str | None:
        """See `sparsetune.tasks.network.Network`."""
        if is_import_path(self.task.loss):
            return None  # a loss of the user's own takes what it takes
        sizes = self.task.sizes()
        if not isinstance(outputs, torch.Tensor):
            return f"the network must return one tensor for the loss `{self.task.loss}`"
        is_classifier = self.task.loss == "cross_entropy"
        if is_classifier and (outputs.dim() < 2 or outputs.shape[1] != sizes.n_outputs):
            return f"the network must return logits of shape (n, {sizes.n_outputs}, …)"
        return None

    def among(self, model: nn.Module, named: Sequence[str]) -> None:
        """See `sparsetune.tasks.network.Network`."""


def model_arguments(task: CustomTask) -> dict[str, Any]:
    """Arguments that a model's function may ask for, by name; the sizes must be resolved."""
    sizes = task.sizes()
    return {
        "input_shape": sizes.input_shape(),
        "n_outputs": sizes.n_outputs,
        **task.options,
    }


def _empty(size: TensorSize) -> torch.Tensor:
    dtype: torch.dtype = getattr(torch, size.dtype)
    make = torch.empty if dtype.is_floating_point else torch.zeros
    tensor: torch.Tensor = make((1, *size.shape), dtype=dtype, device="meta")
    return tensor
