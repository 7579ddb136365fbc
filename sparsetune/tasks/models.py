"""Models by name: functions from an input shape and a number of classes to a network."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from itertools import pairwise

from torch import nn

from sparsetune.errors import DeclarationError, Problem

ModelFunction = Callable[[tuple[int, ...], int], nn.Module]


def mlp(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Two hidden layers of 128 and 64 with ReLU: 17,024 weights on the digits, few enough that 98 % sparsity hurts."""
    return _fully_connected(math.prod(input_shape), 128, 64, n_classes)


def lenet_300_100(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Two hidden layers of 300 and 100 with ReLU: 266,200 weights on 28 x 28 images (LeCun et al. 1998)."""
    return _fully_connected(math.prod(input_shape), 300, 100, n_classes)


def _fully_connected(*sizes: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


MODELS: dict[str, ModelFunction] = {"mlp": mlp, "lenet_300_100": lenet_300_100}
"""Each takes an example's shape, (channels, height, width), and the number of classes; its network gives logits."""


def model_function(name: str) -> ModelFunction:
    """The function that ``name`` stands for: an entry of `MODELS`, or the user's own ``package.module:function``.

    Raises:
        DeclarationError: naming the valid names, or why the user's function cannot be imported.
    """
    if name in MODELS:
        return MODELS[name]
    module_name, _, function_name = name.partition(":")
    if not function_name:
        rule = f"must be one of {', '.join(MODELS)}, or your own `package.module:function`"
        raise DeclarationError([Problem("task.model", rule, repr(name))], "the model")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:  # a user's module may raise anything while it is imported
        rule = f"must name a function that can be imported ({type(error).__name__}: {error})"
        raise DeclarationError([Problem("task.model", rule, repr(name))], "the model") from error
    if not callable(function):
        raise DeclarationError([Problem("task.model", "must name a function", repr(name))], "the model")
    own: ModelFunction = function
    return own


def build_model(name: str, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """A fresh network of that name, drawn from torch's global generator.

    Raises:
        DeclarationError: if the name is unknown.
    """
    return model_function(name)(input_shape, n_classes)
