"""The network of a task: built, outlined without memory, shown an example, asked what of it may be pruned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import nn

from sparsetune.sparsity.flops import Example
from sparsetune.tasks.models import build_model, meta_model, require_prunable

Inputs = torch.Tensor | dict[str, torch.Tensor]
"""What a network is called with: images (n, *shape), or token ids and masks by name, (n, tokens) each."""


class Network(Protocol):
    """A model by name, with what the task makes of it."""

    @property
    def name(self) -> str:
        """As the task gives it."""

    @property
    def outputs(self) -> int:
        """Logits of an example: as many as classes, or one where a number is predicted."""

    def __hash__(self) -> int:
        """Networks of equal names and sizes are one in caches."""

    def build(self) -> nn.Module:
        """A fresh network; what is not trained before is drawn from torch's global generator.

        Raises:
            DeclarationError: if the name is unknown.
            DataError: if its trained weights are not there.
        """

    def meta(self) -> nn.Module:
        """The same on the meta device: all shapes, and no memory."""

    def example(self) -> Example:
        """One example of full size on the meta device, as the network takes it."""

    def prunable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """The weights of a built or outlined network that may be pruned, by parameter name.

        Raises:
            DeclarationError: if there are none.
        """


@dataclass(frozen=True)
class ImageNetwork:
    """A network for images: every linear and convolution layer may be pruned.

    Args:
        name: Of `MODELS`, of torchvision's classification models, or ``package.module:function``.
        input_shape: Of one example.
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
        """For images of another size."""
        return replace(self, input_shape=(self.input_shape[0], side, side))


def compute_logits(network: Any, inputs: Inputs) -> torch.Tensor:
    """What a network says of inputs: (n, outputs)."""
    if isinstance(inputs, Mapping):
        logits: torch.Tensor = network(**inputs).logits
        return logits
    said: torch.Tensor = network(inputs)
    return said
