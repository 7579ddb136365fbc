"""Networks of a task: how each is built, its shapes, an example input, and its prunable weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import nn

from sparsetune.sparsity.flops import Example
from sparsetune.tasks.models import build_model, meta_model, require_prunable

Inputs = torch.Tensor | dict[str, torch.Tensor]
"""Inputs of a network: images (n, *shape), or token ids and masks by name, (n, tokens) each."""


class Network(Protocol):
    """Model by name, with the sizes that the task gives it."""

    @property
    def name(self) -> str:
        """Name of the model, as the task gives it."""

    @property
    def outputs(self) -> int:
        """Number of logits of an example: the classes, or 1 where a number is predicted."""

    def __hash__(self) -> int:
        """Hash of name and sizes: equal networks share entries of caches."""

    def build(self) -> nn.Module:
        """Fresh network; untrained parts are drawn from torch's global generator.

        Raises:
            DeclarationError: if the name is unknown.
            DataError: if its trained weights are missing.
        """

    def meta(self) -> nn.Module:
        """Network on the meta device: all shapes, and no memory."""

    def example(self) -> Example:
        """Inputs of one example of full size, on the meta device."""

    def prunable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Weights that may be pruned of a network from `build` or `meta`, by parameter name.

        Raises:
            DeclarationError: if there are none.
        """


@dataclass(frozen=True)
class ImageNetwork:
    """Network for images: every linear and convolution layer may be pruned.

    Args:
        name: A key of `MODELS`, a classification model of torchvision, or
            ``package.module:function``.
        input_shape: Shape of one example, (channels, height, width).
        outputs: Number of classes.
    """

    name: str
    input_shape: tuple[int, ...]
    outputs: int

    def build(self) -> nn.Module:
        """See `Network`."""
        return build_model(self.name, self.input_shape, self.outputs)

    def meta(self) -> nn.Module:
        """See `Network`."""
        return meta_model(self.name, self.input_shape, self.outputs)

    def example(self) -> torch.Tensor:
        """See `Network`."""
        return torch.empty((1, *self.input_shape), device="meta")

    def prunable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """See `Network`."""
        return require_prunable(self.name, model)

    def at(self, side: int) -> ImageNetwork:
        """Network for square images of another size, ``side`` pixels."""
        return replace(self, input_shape=(self.input_shape[0], side, side))


def compute_logits(network: Any, inputs: Inputs) -> torch.Tensor:
    """Logits of a batch, (n, outputs).

    Args:
        network: A module, compiled or not. Given inputs by name, it must answer with an object that
            has ``logits``, as transformers' models do.
        inputs: The batch.
    """
    if isinstance(inputs, Mapping):
        logits: torch.Tensor = network(**inputs).logits
        return logits
    outputs: torch.Tensor = network(inputs)
    return outputs
