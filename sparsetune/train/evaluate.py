"""Evaluation of a network on a split: loss, accuracy, the task's score and the entropy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import nan

import torch
from torch import nn
from torch.nn import functional

from sparsetune.spec.task import Metric
from sparsetune.tasks.network import compute_logits
from sparsetune.tasks.task import Examples
from sparsetune.train.metrics import compute_metric


@dataclass(frozen=True)
class EvaluationResult:
    """Means over a split; all NaN for an empty one.

    Args:
        loss: Cross-entropy in nats; squared error where numbers are predicted.
        accuracy: Fraction of correct classes, in [0, 1]; NaN where numbers are predicted.
        score: The task's metric; see `sparsetune.train.metrics.compute_metric`.
        entropy: Entropy of the softmax in nats; NaN where numbers are predicted.
    """

    loss: float = nan
    accuracy: float = nan
    score: float = nan
    entropy: float = nan

    def columns(self, prefix: str) -> Mapping[str, float]:
        """Values by column name, such as ``test_loss``."""
        return {f"{prefix}_{name}": value for name, value in asdict(self).items()}


@torch.no_grad()
def evaluate_model(
    model: nn.Module, split: Examples, metric: Metric = "accuracy"
) -> EvaluationResult:
    """Measure a network in evaluation mode, and put its mode back.

    Args:
        model: Network, as `sparsetune.tasks.network.compute_logits` calls it.
        split: Examples, whose targets are class numbers, or numbers to predict.
        metric: Metric of the score.
    """
    if not len(split):
        return EvaluationResult()
    was_training = model.training
    model.eval()
    sums: list[torch.Tensor] = []
    all_logits: list[torch.Tensor] = []
    all_targets: list[torch.Tensor] = []
    # `read` gives copies: trials share the data, which a network may change in place.
    for inputs, targets in split.read(split.chunks()):
        logits = compute_logits(model, inputs).double()
        sums.append(_batch_sums(logits, targets))
        if metric != "accuracy":
            all_logits.append(logits)
            all_targets.append(targets)
    model.train(was_training)
    # Added one after the other: a sum over a stacked tensor may add in another order.
    total = sums[0]
    for batch_sums in sums[1:]:
        total = total + batch_sums
    loss, accuracy, entropy = (total / len(split)).tolist()
    if metric == "accuracy":
        return EvaluationResult(loss, accuracy, accuracy, entropy)
    score = compute_metric(metric, torch.cat(all_logits), torch.cat(all_targets))
    return EvaluationResult(loss, accuracy, score, entropy)


def _batch_sums(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Loss, number of correct classes, and entropy, summed over a batch, (3,).

    Args:
        logits: (n, outputs), in double precision.
        targets: Class numbers or numbers, (n,).
    """
    if targets.is_floating_point():
        loss = functional.mse_loss(logits.squeeze(1), targets.double(), reduction="sum")
        undefined = torch.full_like(loss, nan)
        return torch.stack([loss, undefined, undefined])
    loss = functional.cross_entropy(logits, targets, reduction="sum")
    right = (logits.argmax(1) == targets).sum()
    entropy = torch.special.entr(logits.softmax(1)).sum()
    return torch.stack([loss, right.double(), entropy])
