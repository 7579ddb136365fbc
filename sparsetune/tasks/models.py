"""Models by name: functions from an input shape and a number of classes to a network."""

from __future__ import annotations

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
from sparsetune.imports import import_function, is_import_path
from sparsetune.seeds import seeded_generators
from sparsetune.tasks.residual import resnet8, resnet18_cifar, resnet20, resnet56, wrn_22_2

ModelFunction = Callable[[tuple[int, ...], int], nn.Module]


def mlp(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Fully connected network with hidden layers of 128 and 64 and ReLU.

    It has 17,024 weights on the digits, few enough that 98 % sparsity hurts.
    """
    return _fully_connected(math.prod(input_shape), 128, 64, n_classes)


def lenet_300_100(input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Fully connected network with hidden layers of 300 and 100 and ReLU (LeCun et al. 1998).

    It has 266,200 weights on 28 x 28 images.
    """
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
"""Functions that build a network, by the name of the model.

Each takes an example's shape, (channels, height, width), and the number of classes. Its network
maps (n, channels, height, width) to logits (n, classes).
"""


def torchvision_names() -> list[str]:
    """Names of torchvision's classification models, such as ``resnet50``."""
    # Importing takes seconds, which a model of ours should not pay.
    from torchvision import models

    names: list[str] = models.list_models(module=models)
    return names


def torchvision_model(name: str, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Untrained classification model of torchvision, without auxiliary classifiers.

    Raises:
        ValueError: if the inputs are not images of three channels.
    """
    from torchvision import models

    if len(input_shape) != 3 or input_shape[0] != 3:
        rule = "torchvision's models take images of shape (3, height, width)"
        raise ValueError(f"{rule}, got {input_shape}")
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        # By default both have three outputs in training, and warn.
        options = {"aux_logits": False, "init_weights": True}
    elif name.startswith("vit_"):
        options = {"image_size": input_shape[1]}
    elif name == "maxvit_t":
        options = {"input_size": input_shape[1:]}
    with _TablesOnCpu() if name.startswith("regnet_") else nullcontext():
        model: nn.Module = models.get_model(name, weights=None, num_classes=n_classes, **options)
    return model


class _TablesOnCpu(TorchFunctionMode):
    """Mode in which `torch.arange` and `torch.tensor` ignore the meta device.

    RegNet computes the widths of its layers with them, which needs their values.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in (torch.arange, torch.tensor):
            return func(*args, **{"device": "cpu", **given})
        return func(*args, **given)


def model_function(name: str) -> ModelFunction:
    """Function that builds the model of that name.

    It is an entry of `MODELS`, a classification model of torchvision, or the user's own
    ``package.module:function``.

    Raises:
        DeclarationError: naming the valid names, or why the user's function cannot be imported.
    """
    if name in MODELS:
        return MODELS[name]
    if is_import_path(name):
        return import_function(name, "task.model")
    names = torchvision_names()
    if name in names:
        return partial(torchvision_model, name)
    # torchvision has too many to list.
    near = ", ".join(get_close_matches(name, names, n=4)) or "resnet50, vit_b_16, …"
    theirs = f"a classification model of torchvision ({near})"
    own = "or your own `package.module:function`"
    raise _model_error(f"must be one of {', '.join(MODELS)}, {theirs}, {own}", name)


def _model_error(rule: str, name: str) -> DeclarationError:
    return DeclarationError([Problem("task.model", rule, repr(name))], "the model")


def build_model(name: str, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Fresh network of the model of that name, drawn from torch's global generator.

    Raises:
        DeclarationError: if the name is unknown.
    """
    return model_function(name)(input_shape, n_classes)


def meta_model(name: str, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
    """Network of the model of that name on the meta device: all shapes, and no memory.

    One that looks at values while it is built has its values.

    Raises:
        DeclarationError: if the name is unknown, or its function does not return a network whose
            sizes are all known.
    """
    function = model_function(name)
    try:
        model = build_outline(partial(function, input_shape, n_classes))
    except Exception as error:  # a user's function may raise anything
        cause = f"{type(error).__name__}: {error}"
        rule = f"must build a network for inputs of shape {input_shape} ({cause})"
        raise _model_error(rule, name) from error
    return require_module(name, model)


def build_outline(build: Callable[[], Any]) -> Any:
    """What a function builds, on the meta device; with values where that raises.

    Global generators are then left as they were.

    Raises:
        Exception: whatever the function raises where tensors have values.
    """
    try:
        with torch.device("meta"):
            return build()
    except Exception:  # it may look at values, in any way
        with seeded_generators(0):
            return build()


def require_module(name: str, model: Any) -> nn.Module:
    """What a model's function returned, proved to be a network whose sizes are all known.

    Raises:
        DeclarationError: if it is not, naming the model ``name``.
    """
    if not isinstance(model, nn.Module):
        rule = "the function must return a torch.nn.Module"
        got = f"{type(model).__name__} from {name!r}"
        raise DeclarationError([Problem("task.model", rule, got)], "the model")
    if any(is_lazy(parameter) for parameter in model.parameters()):
        rule = "the model must give every layer its sizes: lazy layers cannot be pruned"
        raise _model_error(rule, name)
    return model
