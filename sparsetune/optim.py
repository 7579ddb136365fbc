"""Optimizers with stated decay groups, and the learning rate of every step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

from sparsetune.durations import round_half_up
from sparsetune.spec import OptimSpec, TrialSpec


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
    return [{"params": decayed, "weight_decay": spec.weight_decay}, {"params": spared, "weight_decay": 0.0}]


def sgd(spec: OptimSpec, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum; weight decay is added to the gradient."""
    nesterov = spec.nesterov and spec.momentum > 0
    return torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum, nesterov=nesterov, fused=True)


def adamw(spec: OptimSpec, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""
    return torch.optim.AdamW(groups, lr=spec.lr, betas=(spec.beta1, spec.beta2), fused=True)


OPTIMIZERS: dict[str, Callable[[OptimSpec, list[dict[str, object]]], torch.optim.Optimizer]] = {
    "sgd": sgd,
    "adamw": adamw,
}


def linear(fraction: float) -> float:
    """From 1 to 0 in a straight line."""
    return 1 - fraction


def cosine(fraction: float) -> float:
    """From 1 to 0 along half a cosine (Loshchilov & Hutter 2017)."""
    return (1 + math.cos(math.pi * fraction)) / 2


def constant(fraction: float) -> float:
    """Always 1."""
    return 1.0


DECAYS: dict[str, Callable[[float], float]] = {"linear": linear, "cosine": cosine, "constant": constant}
"""Each maps the fraction of training done since the warm-up to the fraction of the peak learning rate."""


def learning_rate(spec: TrialSpec, step: int, total: int) -> float:
    """The learning rate of step ``step`` (from 0) of ``total``: a linear rise to the peak, then the declared decay.

    The last step of the warm-up and the first after it have the peak.
    """
    warmup = round_half_up(spec.schedule.warmup * total)
    if step < warmup:
        return spec.optim.lr * (step + 1) / warmup
    return spec.optim.lr * DECAYS[spec.schedule.lr]((step - warmup) / (total - warmup))
