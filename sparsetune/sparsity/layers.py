"""What may be pruned: the weights of linear and convolution layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn

PRUNABLE_MODULES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Modules whose weight is pruned: never a bias, a norm or an embedding."""
ATTENTION_WEIGHT_NAMES = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
"""Weights of attention's linear layers that `torch.nn.MultiheadAttention` keeps without a module of their own."""


@dataclass(frozen=True)
class Layer:
    """One prunable weight tensor: its parameter's name and shape."""

    name: str
    shape: tuple[int, ...]

    @property
    def weights(self) -> int:
        """How many there are."""
        return math.prod(self.shape)

    @property
    def convolution(self) -> bool:
        """Whether it is a kernel: a linear layer's weight has two dimensions."""
        return len(self.shape) > 2

    def matches(self, pattern: str) -> bool:
        """Whether a name or pattern (``layer1.*``) means it, with or without ``.weight`` at the end."""
        return any(
            fnmatchcase(name, pattern) for name in (self.name, self.name.removesuffix(".weight"))
        )


def prunable_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of every linear and convolution layer by parameter name, in the model's order, a shared one once.

    Depthwise convolutions stay dense: they are few weights and much accuracy (Evci et al. 2020, section 4.1).
    """
    weights = {id(weight) for module in model.modules() for weight in _module_weights(module)}
    return {
        name: parameter for name, parameter in model.named_parameters() if id(parameter) in weights
    }


def layers_of(weights: Mapping[str, torch.Tensor]) -> list[Layer]:
    """The layers of prunable weights by parameter name."""
    return [Layer(name, tuple(weight.shape)) for name, weight in weights.items()]


def _module_weights(module: nn.Module) -> Iterator[object]:
    if isinstance(module, PRUNABLE_MODULES) and not _is_depthwise(module):
        yield module.weight
    if isinstance(module, nn.MultiheadAttention):
        yield from (getattr(module, name) for name in ATTENTION_WEIGHT_NAMES)


def _is_depthwise(module: nn.Module) -> bool:
    groups = getattr(module, "groups", 1)
    return bool(groups > 1 and groups == module.in_channels)
