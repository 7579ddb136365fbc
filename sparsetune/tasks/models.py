"""Models by name: functions from an input shape and a number of classes to a network."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from contextlib import nullcontext
from difflib import get_close_matches
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from sparsetune.errors import DeclarationError, Problem
from sparsetune.sparsity.layers import prunable_weights
from sparsetune.tasks.residual import resnet8, resnet18_cifar, resnet20, resnet56, wrn_22_2

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


MODELS: dict[str, ModelFunction] = {
    "mlp": mlp,
    "lenet_300_100": lenet_300_100,
    "resnet8": resnet8,
    "resnet20": resnet20,
    "resnet56": resnet56,
    "resnet18_cifar": resnet18_cifar,
    "wrn_22_2": wrn_22_2,
}
"""Each takes an example's shape, (channels, height, width), and the number of classes; its network gives logits."""


def torchvision_names() -> list[str]:
    """The names of torchvision's classification models, such as ``resnet50``."""
    from torchvision import models  # seconds, and not needed for our own

    names: list[str] = models.list_models(module=models)
    return names


def torchvision_model(name: str, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """An untrained classification model of torchvision, without auxiliary classifiers.

    Raises:
        ValueError: if the inputs are not images of three channels.
    """
    from torchvision import models

    if len(input_shape) != 3 or input_shape[0] != 3:
        raise ValueError(
            f"torchvision's models take images of shape (3, height, width), got {input_shape}"
        )
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options = {
            "aux_logits": False,
            "init_weights": True,
        }  # otherwise three outputs in training, and a warning
    elif name.startswith("vit_"):
        options = {"image_size": input_shape[1]}
    elif name == "maxvit_t":
        options = {"input_size": input_shape[1:]}
    with _TablesOnCpu() if name.startswith("regnet_") else nullcontext():
        model: nn.Module = models.get_model(name, weights=None, num_classes=n_classes, **options)
    return model


class _TablesOnCpu(TorchFunctionMode):
    """Keeps tables off the meta device: RegNet computes the widths of its layers with them."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        tables = {"device": "cpu"} if func in (torch.arange, torch.tensor) else {}
        return func(*args, **(tables | (kwargs or {})))


def model_function(name: str) -> ModelFunction:
    """The function that ``name`` stands for.

    It is an entry of `MODELS`, a classification model of torchvision, or the user's own ``package.module:function``.

    Raises:
        DeclarationError: naming the valid names, or why the user's function cannot be imported.
    """
    if name in MODELS:
        return MODELS[name]
    if ":" in name:
        return _import_model_function(name)
    if name in (names := torchvision_names()):
        return partial(torchvision_model, name)
    near = ", ".join(get_close_matches(name, names, n=4)) or "resnet50, vit_b_16, …"
    theirs = f"a classification model of torchvision ({near})"
    raise _model_error(
        f"must be one of {', '.join(MODELS)}, {theirs}, or your own `package.module:function`", name
    )


def _import_model_function(name: str) -> ModelFunction:
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:  # a user's module may raise anything while it is imported
        raise _model_error(
            f"must name a function that can be imported ({type(error).__name__}: {error})", name
        ) from error
    if not callable(function):
        raise _model_error("must name a function", name)
    own: ModelFunction = function
    return own


def _model_error(rule: str, name: str) -> DeclarationError:
    return DeclarationError([Problem("task.model", rule, repr(name))], "the model")


def require_prunable(name: str, model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of the network of that name that may be pruned.

    Raises:
        DeclarationError: if there is none.
    """
    if weights := prunable_weights(model):
        return weights
    raise _model_error(
        "the model must have a linear or convolution layer, or nothing can be pruned", name
    )


def build_model(name: str, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """A fresh network of that name, drawn from torch's global generator.

    Raises:
        DeclarationError: if the name is unknown.
    """
    return model_function(name)(input_shape, n_classes)


def meta_model(name: str, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """A network of that name on the meta device: all shapes, and no memory.

    Raises:
        DeclarationError: if the name is unknown, or its function does not return a network whose sizes are all known.
    """
    function = model_function(name)
    try:
        with torch.device("meta"):
            model = function(input_shape, n_classes)
    except Exception as error:  # a user's function may raise anything
        rule = f"must build a network for inputs of shape {input_shape} ({type(error).__name__}: {error})"
        raise _model_error(rule, name) from error
    if not isinstance(model, nn.Module):
        rule = "the function must return a torch.nn.Module"
        got = f"{type(model).__name__} from {name!r}"
        raise DeclarationError([Problem("task.model", rule, got)], "the model")
    if any(is_lazy(parameter) for parameter in model.parameters()):
        raise _model_error(
            "the model must give every layer its sizes: lazy layers cannot be pruned", name
        )
    return model
