"""How well a network does on a split: plain cross-entropy, accuracy, the task's score, and the softmax's entropy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import nan

import torch
from torch import nn
from torch.nn import functional

from sparsetune.tasks import Examples

BATCH = 1_000
"""Examples per forward pass; part of the numbers, since sums change in the last bit with it."""


@dataclass(frozen=True)
class Measures:
    """Means over a split: ``loss`` and ``entropy`` in nats, ``accuracy`` and ``score`` in [0, 1]; NaN if empty."""

    loss: float = nan
    accuracy: float = nan
    score: float = nan
    entropy: float = nan

    def columns(self, prefix: str) -> Mapping[str, float]:
        """The four by column name, as in ``test_loss``."""
        return {f"{prefix}_{name}": value for name, value in self.__dict__.items()}


@torch.no_grad()
def evaluate(model: nn.Module, split: Examples) -> Measures:
    """Measure ``model`` in evaluation mode; it is left in the mode that it came in. The score is the accuracy."""
    if not len(split):
        return Measures()
    was_training = model.training
    model.eval()
    # Batches are copies: trials share the data, and a network may begin with an operation in place.
    batches = split.read(torch.split(torch.arange(len(split)), BATCH))
    sums = reduce(torch.add, (_sums(model(inputs).double(), targets) for inputs, targets in batches))
    model.train(was_training)
    loss, right, entropy = (sums / len(split)).tolist()
    return Measures(loss, right, right, entropy)


def _sums(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Summed over a batch: cross-entropy, correct answers, entropy."""
    loss = functional.cross_entropy(logits, targets, reduction="sum")
    right = (logits.argmax(1) == targets).sum()
    return torch.stack([loss, right.double(), torch.special.entr(logits.softmax(1)).sum()])
