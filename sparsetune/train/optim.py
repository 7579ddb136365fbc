"""Optimizers by name, and the parameters that they decay."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from sparsetune.spec import OptimSpec


def build_optimizer(spec: OptimSpec, model: nn.Module) -> torch.optim.Optimizer:
    """Declared optimizer over all parameters of ``model``; fused, so that a step is one call."""
    return OPTIMIZERS[spec.name](spec, decay_groups(spec, model))


def decay_groups(spec: OptimSpec, model: nn.Module) -> list[dict[str, object]]:
    """Parameter groups of an optimizer: those with weight decay, and those without.

    Parameters of fewer than two dimensions (biases, norms) are not decayed, unless the declaration
    says so with ``decay_bias_and_norm``.
    """
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        if parameter.dim() >= 2 or spec.decay_bias_and_norm:
            decayed.append(parameter)
        else:
            spared.append(parameter)
    return [
        {"params": decayed, "weight_decay": spec.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]


def sgd(spec: OptimSpec, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum; weight decay is added to the gradient."""
    nesterov = spec.nesterov and spec.momentum > 0
    return torch.optim.SGD(
        groups, lr=spec.lr, momentum=spec.momentum, nesterov=nesterov, fused=True
    )


def adamw(spec: OptimSpec, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""
    return torch.optim.AdamW(groups, lr=spec.lr, betas=(spec.beta1, spec.beta2), fused=True)


OPTIMIZERS: dict[str, Callable[[OptimSpec, list[dict[str, object]]], torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adamw": adamw,
}
