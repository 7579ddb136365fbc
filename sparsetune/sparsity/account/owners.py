"""Modules that hold each parameter, and weights that modules compute from their parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from sparsetune.sparsity.layers import ATTENTION_WEIGHT_NAMES, PRUNABLE_MODULES, is_depthwise

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)
NAMED_CLASSES = (*PRUNABLE_MODULES, *TRANSPOSED, *EMBEDDINGS, nn.MultiheadAttention)


@dataclass(frozen=True)
class Owner:
    """A module that holds a parameter.

    Args:
        path: Name of the module; empty for the network itself.
        module: The module.
        attribute: Name of the parameter in it; of one that a weight is computed from, the weight's.
    """

    path: str
    module: nn.Module
    attribute: str

    @property
    def kind(self) -> str:
        """Name of the class of torch that decides on the weight's shape, or the module's own."""
        for known in NAMED_CLASSES:
            if isinstance(self.module, known):
                return known.__name__
        return type(self.module).__name__

    @property
    def is_prunable(self) -> bool:
        """True for what is pruned unless it is taken away: a linear or convolution's weight."""
        if isinstance(self.module, nn.MultiheadAttention):
            return self.attribute in ATTENTION_WEIGHT_NAMES
        is_weight = isinstance(self.module, PRUNABLE_MODULES) and self.attribute == "weight"
        return is_weight and not is_depthwise(self.module)

    @property
    def reason(self) -> str:
        """Why a parameter of that kind stays dense unless it is named."""
        module = self.module
        if isinstance(module, EMBEDDINGS):
            return "embedding"
        if isinstance(module, TRANSPOSED):
            return "transposed convolution"
        if isinstance(module, RECURRENT):
            return "recurrent layer"
        if isinstance(module, PRUNABLE_MODULES) and self.attribute == "weight":
            return "depthwise convolution"
        if isinstance(module, NORMS):
            return "normalisation"
        return f"a parameter of {self.kind}, no linear or convolution layer"


@dataclass(frozen=True)
class ComputedWeight:
    """A weight that a module computes from parameters.

    Args:
        layer: Name of the module.
        parameter: The parameter of the weight's shape; None if there is none, or are several.
        others: The other parameters that it is computed from.
        by: What computes it, in words.
        norm_dims: Dimensions that a weight norm is taken over; empty for others.
    """

    layer: str
    parameter: nn.Parameter | None
    others: tuple[nn.Parameter, ...]
    by: str
    norm_dims: tuple[int, ...] = ()


def parameter_owners(model: nn.Module) -> dict[int, list[Owner]]:
    """Modules that hold each parameter, by the parameter's `id`, in the model's order."""
    owners: dict[int, list[Owner]] = {}
    for path, module in model.named_modules():
        if isinstance(module, parametrize.ParametrizationList):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            owners.setdefault(id(parameter), []).append(Owner(path, module, name))
    return owners


def computed_weights(model: nn.Module) -> Iterator[tuple[Owner, ComputedWeight]]:
    """Weights that modules compute by a parametrisation or a hook of torch."""
    for path, module in model.named_modules():
        if parametrize.is_parametrized(module):
            lists: Any = module.parametrizations
            for name, parts in lists.items():
                yield Owner(path, module, name), _parametrised(path, parts)
        for hook in module._forward_pre_hooks.values():
            name = _hooked_name(hook)
            if name is not None:
                yield Owner(path, module, name), _hooked(path, module, name, hook)


def _parametrised(path: str, parts: Any) -> ComputedWeight:
    originals = [
        parameter
        for name, parameter in parts.named_parameters(recurse=False)
        if name.startswith("original")
    ]
    within = [parameter for part in parts for parameter in part.parameters()]
    alike = [one for one in originals if one.shape == _computed_shape(parts)]
    parameter = alike[0] if len(alike) == 1 else None
    others = tuple(one for one in [*originals, *within] if one is not parameter)
    by = ", ".join(type(part).__name__.removeprefix("_") for part in parts)
    norm_dims: tuple[int, ...] = ()
    # Torch's own: after another it would take the norm of something else.
    if parameter is not None and [type(part).__name__ for part in parts] == ["_WeightNorm"]:
        norm_dims = _norm_dims(parameter, others[0])
    return ComputedWeight(path, parameter, others, by, norm_dims)


def _computed_shape(parts: Any) -> torch.Size | None:
    """Shape of the weight; None if it cannot be computed."""
    was_training = parts.training
    parts.eval()  # a spectral norm in training would move its vectors
    try:
        with torch.no_grad():
            shape: torch.Size = parts().shape
            return shape
    except Exception:  # a user's class may raise anything
        return None
    finally:
        parts.train(was_training)


def _hooked_name(hook: object) -> str | None:
    """Name of the weight that a hook of torch computes; None for other hooks."""
    if isinstance(hook, WeightNorm | SpectralNorm):
        return str(hook.name)
    return str(hook._tensor_name) if isinstance(hook, BasePruningMethod) else None


def _hooked(path: str, module: nn.Module, name: str, hook: object) -> ComputedWeight:
    is_weight_norm = isinstance(hook, WeightNorm)
    own = dict(module.named_parameters(recurse=False))
    parameter = own.get(f"{name}_v" if is_weight_norm else f"{name}_orig")
    others = (own[f"{name}_g"],) if is_weight_norm else ()
    norm_dims = _norm_dims(parameter, others[0]) if parameter is not None and others else ()
    return ComputedWeight(path, parameter, others, type(hook).__name__, norm_dims)


def _norm_dims(direction: torch.Tensor, norms: torch.Tensor) -> tuple[int, ...]:
    """Dimensions over which a weight norm is taken, from the shape of its norms."""
    if norms.dim() != direction.dim():
        return tuple(range(direction.dim()))
    return tuple(
        dim for dim, size in enumerate(norms.shape) if size == 1 or math.prod(norms.shape) == 1
    )
