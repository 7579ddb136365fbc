"""Networks of a task: how each is built, its shapes, an example input, and its prunable weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import nn

from sparsetune.sparsity.flops import Example
from sparsetune.tasks.models import build_model, meta_model, require_prunable
from sparsetune.tasks.nested import Nested


class Network(Protocol):
    """Model by name, with the sizes that the task gives it."""

    @property
    def name(self) -> str:
        """Name of the model, as the task gives it."""

    @property
    def outputs(self) -> int:
        """Number of outputs of an example: the classes, or how many numbers are predicted."""

    @property
    def input_text(self) -> str:
        """Inputs in words, for messages."""

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

    def output_problem(self, outputs: Any) -> str | None:
        """Rule that outputs for `example` break, in words; None where they fit.

        Args:
            outputs: What the network gave, on the meta device.
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

    @property
    def input_text(self) -> str:
        """See `Network`."""
        return f"inputs of shape {self.input_shape}"

    def output_problem(self, outputs: Any) -> str | None:
        """See `Network`."""
        return logits_problem(outputs, self.outputs)

    def at(self, side: int) -> ImageNetwork:
        """Network for square images of another size, ``side`` pixels."""
        return replace(self, input_shape=(self.input_shape[0], side, side))


def logits_problem(outputs: Any, count: int) -> str | None:
    """Rule that the outputs of a classifier for one example break; None where they fit."""
    if tuple(outputs.shape) == (1, count):
        return None
    return f"the network must return logits of shape (n, {count})"


def compute_outputs(network: Any, inputs: Nested) -> Any:
    """Outputs of a batch: of classifiers logits, (n, classes).

    Args:
        network: A module, compiled or not. Several inputs are its arguments, inputs by name its
            keyword arguments. Where it answers with an object that has ``logits``, as models of
            transformers do, these are its outputs.
        inputs: The batch.
    """
    if isinstance(inputs, torch.Tensor):
        outputs = network(inputs)
    elif isinstance(inputs, Mapping):
        outputs = network(**inputs)
    else:
        outputs = network(*inputs)
    if isinstance(outputs, torch.Tensor):
        return outputs
    return getattr(outputs, "logits", outputs)
