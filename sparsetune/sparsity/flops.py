"""What a network costs: multiply-adds of its linear and convolution layers, counted twice, for one example.

Biases, norms and the loss are left out, and a backward pass costs two forward passes (Evci et al. 2020, appendix H).
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
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
    model = copy.deepcopy(model).to("meta").eval()
    names = {id(parameter): name for name, parameter in prunable_weights(model).items()}
    flops: Counter[str] = Counter(dict.fromkeys(names.values(), 0))

    def count(module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        weight = module.get_parameter("weight")
        flops[names[id(weight)]] += 2 * weight.numel() * (output.numel() // weight.shape[0])

    for module in model.modules():
        if isinstance(module, PRUNABLE):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.empty((1, *input_shape), device="meta"))
    return dict(flops)


def cost_fraction(flops: Mapping[str, int], density: Mapping[str, float]) -> float:
    """FLOPs of a masked pass as a fraction of the dense one's: a layer's cost falls with its density."""
    total = sum(flops.values())
    return sum(flops[name] * density[name] for name in flops) / total if total else 1.0
