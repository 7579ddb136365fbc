"""How much a weight matters: the lowest scores are pruned."""

from __future__ import annotations

from collections.abc import Callable

import torch

Score = Callable[[torch.Tensor], torch.Tensor]


def magnitude(weight: torch.Tensor) -> torch.Tensor:
    """Absolute values, the same shape as ``weight`` (Janowsky 1989; Han et al. 2015)."""
    return weight.abs()


SCORES: dict[str, Score] = {"magnitude": magnitude}
"""Each maps one layer's weights to finite scores of the same shape, without changing the weights."""
