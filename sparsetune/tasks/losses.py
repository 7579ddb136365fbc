"""Losses by name: means over all elements of the targets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.nn import functional

TensorLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def class_loss(
    outputs: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Loss of one class number, or one number to predict, per example: a mean over the batch.

    Args:
        outputs: Logits, (n, classes); or predicted numbers, (n, 1).
        targets: Class numbers or numbers, (n,).
        label_smoothing: Smoothing of the labels, in [0, 1).

    Returns:
        Cross-entropy in nats; the squared error where targets are numbers.
    """
    if targets.is_floating_point():
        return functional.mse_loss(outputs.squeeze(1), targets)
    return functional.cross_entropy(outputs, targets, label_smoothing=label_smoothing)


def _matching(loss: TensorLoss) -> TensorLoss:
    """A loss of outputs and targets of equal shape, whose last dimension of 1 may be left out."""

    def matched(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        # torch would broadcast (n, 1) against (n,) to (n, n), and only warn.
        if outputs.shape != targets.shape and outputs.numel() == targets.numel():
            outputs = outputs.reshape(targets.shape)
        return loss(outputs, targets.to(outputs.dtype))

    return matched


LOSSES: dict[str, TensorLoss] = {
    "cross_entropy": functional.cross_entropy,
    "mse": _matching(functional.mse_loss),
    "l1": _matching(functional.l1_loss),
    "huber": _matching(functional.huber_loss),
    "bce_with_logits": _matching(functional.binary_cross_entropy_with_logits),
}
"""Losses of a user's task, by name."""


def smoothed_cross_entropy(label_smoothing: float) -> TensorLoss:
    """Cross-entropy with smoothed labels (Szegedy et al. 2016)."""
    return partial(functional.cross_entropy, label_smoothing=label_smoothing)
