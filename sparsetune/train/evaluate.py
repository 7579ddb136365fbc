"""How well a network does on a split: plain cross-entropy, accuracy, the task's score, and the softmax's entropy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
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
    """Means over a split: ``loss`` and ``entropy`` in nats, ``accuracy`` and ``compute_metric`` in [0, 1]; NaN if empty."""

    loss: float = nan
    accuracy: float = nan
    score: float = nan
    entropy: float = nan

    def columns(self, prefix: str) -> Mapping[str, float]:
        """The four by column name, as in ``test_loss``."""
        return {f"{prefix}_{name}": value for name, value in self.__dict__.items()}


@torch.no_grad()
def evaluate_model(
    model: nn.Module, split: Examples, metric: Metric = "accuracy"
) -> EvaluationResult:
    """Measure ``model`` in evaluation mode; it is left in the mode that it came in.

    Args:
        model: As `sparsetune.tasks.network.compute_logits` calls it.
        split: Its targets are class numbers, or numbers to predict: then the loss is the squared error, and there is no
            accuracy and no entropy.
        metric: What the score is.
    """
    if not len(split):
        return EvaluationResult()
    was_training = model.training
    model.eval()
    # Batches are copies: trials share the data, and a network may begin with an operation in place.
    batches = (
        (compute_logits(model, inputs).double(), targets)
        for inputs, targets in split.read(split.chunks())
    )
    said = [
        (_batch_sums(logits, targets), *((logits, targets) if metric != "accuracy" else ()))
        for logits, targets in batches
    ]
    model.train(was_training)
    loss, right, entropy = (reduce(torch.add, (sums for sums, *_ in said)) / len(split)).tolist()
    if metric == "accuracy":
        return EvaluationResult(loss, right, right, entropy)
    logits, targets = (torch.cat(parts) for parts in zip(*(rest for _, *rest in said), strict=True))
    return EvaluationResult(loss, right, compute_metric(metric, logits, targets), entropy)


def _batch_sums(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Summed over a batch: loss, correct answers, entropy."""
    if targets.is_floating_point():
        loss = functional.mse_loss(logits.squeeze(1), targets.double(), reduction="sum")
        return torch.stack([loss, torch.full_like(loss, nan), torch.full_like(loss, nan)])
    loss = functional.cross_entropy(logits, targets, reduction="sum")
    right = (logits.argmax(1) == targets).sum()
    return torch.stack([loss, right.double(), torch.special.entr(logits.softmax(1)).sum()])
