"""Prunable layers: the weights of linear and convolution layers."""

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
"""Linear weights that `torch.nn.MultiheadAttention` keeps without a module of their own."""


@dataclass(frozen=True)
class Layer:
    """One prunable weight tensor.

    Args:
        name: Name of its parameter, such as ``layer1.0.conv1.weight``.
        shape: Shape of the weight (out, in, ...).
    """

    name: str
    shape: tuple[int, ...]

    @property
    def weights(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def convolution(self) -> bool:
        """True for a convolution's kernel; a linear layer's weight has two dimensions."""
        return len(self.shape) > 2

    def matches(self, pattern: str) -> bool:
        """True if a name or pattern (``layer1.*``) matches, with or without ``.weight``."""
        names = (self.name, self.name.removesuffix(".weight"))
        return any(fnmatchcase(name, pattern) for name in names)


def prunable_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Weights of linear and convolution layers by parameter name, in the model's order.

    A shared weight appears once. Depthwise convolutions stay dense: they have few weights, on which
    much of the accuracy depends (Evci et al. 2020, arXiv 1911.11134, section 4.1).
    """
    weights = {id(weight) for module in model.modules() for weight in _module_weights(module)}
    return {
        name: parameter for name, parameter in model.named_parameters() if id(parameter) in weights
    }


def layers_of(weights: Mapping[str, torch.Tensor]) -> list[Layer]:
    """Layers of prunable weights given by parameter name."""
    return [Layer(name, tuple(weight.shape)) for name, weight in weights.items()]


def _module_weights(module: nn.Module) -> Iterator[object]:
    """Prunable weights that a module itself holds; None where attention has no such weight."""
    if isinstance(module, PRUNABLE_MODULES) and not _is_depthwise(module):
        yield module.weight
    if isinstance(module, nn.MultiheadAttention):
        for name in ATTENTION_WEIGHT_NAMES:
            yield getattr(module, name)


def _is_depthwise(module: nn.Module) -> bool:
    groups = getattr(module, "groups", 1)
    return bool(groups > 1 and groups == module.in_channels)
