"""Optimizers with stated decay groups."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from sparsetune.spec import OptimSpec


def build_optimizer(spec: OptimSpec, model: nn.Module) -> torch.optim.Optimizer:
    """The declared optimizer over all parameters of ``model``; fused, so that a step is one call."""
    return OPTIMIZERS[spec.name](spec, decay_groups(spec, model))


def decay_groups(spec: OptimSpec, model: nn.Module) -> list[dict[str, object]]:
    """Two groups: parameters with weight decay, and those without.

    Without are those of fewer than two dimensions (biases, norms), unless ``decay_bias_and_norm``.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.dim() >= 2 or spec.decay_bias_and_norm]
    spared = [p for p in parameters if p.dim() < 2 and not spec.decay_bias_and_norm]
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
