"""What a network costs: multiply-adds of its linear and convolution layers, counted twice, for one example.

Biases, norms and the loss are left out, and a backward pass costs two forward passes (Evci et al. 2020, appendix H).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""Modules whose weight is pruned: never a bias, a norm or an embedding."""


def prunable_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of every linear and convolution layer by parameter name, in the model's order, a shared one once."""
    weights = {id(module.weight) for module in model.modules() if isinstance(module, PRUNABLE)}
    return {name: parameter for name, parameter in model.named_parameters() if id(parameter) in weights}


def forward_flops(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """Dense forward FLOPs of one example of ``input_shape`` per prunable weight; runs on the meta device."""
    names = {id(parameter): name for name, parameter in prunable_weights(model).items()}
    flops = dict.fromkeys(names.values(), 0)
    on_meta = copy.deepcopy(model).to("meta").eval()
    # the copy no longer knows which weights are shared, so that names come from the original
    for module, copied in zip(model.modules(), on_meta.modules(), strict=True):
        if isinstance(module, PRUNABLE):
            copied.register_forward_hook(partial(_count, flops, names[id(module.weight)]))
    with torch.no_grad():
        on_meta(torch.empty((1, *input_shape), device="meta"))
    return flops


def _count(flops: dict[str, int], name: str, module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
    weight = module.get_parameter("weight")
    flops[name] += 2 * weight.numel() * (output.numel() // weight.shape[0])


def cost_fraction(flops: Mapping[str, int], density: Mapping[str, float]) -> float:
    """FLOPs of a masked pass as a fraction of the dense one's: a layer's cost falls with its density."""
    total = sum(flops.values())
    return sum(flops[name] * density[name] for name in flops) / total if total else 1.0
