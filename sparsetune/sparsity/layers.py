"""Prunable layers: the weights of linear and convolution layers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn

PRUNABLE_MODULES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Modules whose weight is pruned: never a bias, a norm or an embedding."""
ATTENTION_WEIGHT_NAMES = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
"""Linear weights that `torch.nn.MultiheadAttention` keeps without a module of their own."""


INPUTS_FOLLOW = (
    *(module.__name__ for module in PRUNABLE_MODULES),
    *("MultiheadAttention", "RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"),
)
"""Kinds of modules whose weights have the shape (out, in, ...)."""
COMPUTED_FROM = re.compile(r"(parametrizations\.(\w+)\.original\d*|(\w+)_(v|orig))$")
"""End of the name of a parameter that a layer's weight is computed from."""


@dataclass(frozen=True)
class Layer:
    """One prunable weight tensor.

    Args:
        name: Name of its parameter, such as ``layer1.0.conv1.weight``.
        shape: Shape of the weight (out, in, ...).
        kind: Class of the module that holds it, such as ``Conv2d``; empty if it is not known.
        aliases: Other names of the same parameter, where modules share it.
        norm_dims: Dimensions that a weight norm is taken over; each of its slices must keep a
            weight. Empty without one.
    """

    name: str
    shape: tuple[int, ...]
    kind: str = ""
    aliases: tuple[str, ...] = ()
    norm_dims: tuple[int, ...] = ()

    @property
    def weights(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def convolution(self) -> bool:
        """True for a convolution's kernel; a linear layer's weight has two dimensions."""
        return len(self.shape) > 2 and (not self.kind or "Conv" in self.kind)

    @property
    def inputs_follow(self) -> bool:
        """True for a shape (out, in, ...), as linear, convolution and recurrent layers have."""
        return not self.kind or self.kind in INPUTS_FOLLOW

    @property
    def slices(self) -> int:
        """Number of slices that a weight norm scales; 0 without one."""
        if not self.norm_dims:
            return 0
        return self.weights // math.prod(self.shape[dim] for dim in self.norm_dims)

    def matches(self, pattern: str) -> bool:
        """True if a name or pattern (``layer1.*``) matches, with or without ``.weight``."""
        return any(matches_name(name, pattern) for name in (self.name, *self.aliases))


def matches_name(name: str, pattern: str) -> bool:
    """True if a pattern matches a parameter's name, with or without ``.weight``.

    A parameter that a weight is computed from goes by the weight's name, too.
    """
    weight = COMPUTED_FROM.sub(lambda found: found[2] or found[3], name)
    names = {name, weight, name.removesuffix(".weight"), weight.removesuffix(".weight")}
    return any(fnmatchcase(each, pattern) for each in names)


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
    if isinstance(module, PRUNABLE_MODULES) and not is_depthwise(module):
        yield module.weight
    if isinstance(module, nn.MultiheadAttention):
        for name in ATTENTION_WEIGHT_NAMES:
            yield getattr(module, name)


def is_depthwise(module: nn.Module) -> bool:
    """True for a convolution with a kernel of its own for each channel."""
    groups = getattr(module, "groups", 1)
    return bool(groups > 1 and groups == module.in_channels)
