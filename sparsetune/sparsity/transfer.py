"""Sparse transfer: whether a checkpoint has the sparsity that a trial asks for."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sparsetune.errors import Problem
from sparsetune.sparsity.masks.exact import count_nonzero
from sparsetune.spec.sparsity import SparsitySpec

TARGET_TOLERANCE = 1e-3
"""How far the target may lie from the checkpoint's sparsity. The mask has the target's count exactly: where they
differ, a few of the checkpoint's zeros train, or a few of its lowest weights become zero."""


def transfer_problems(weights: Mapping[str, torch.Tensor], spec: SparsitySpec) -> list[Problem]:
    """Where the method is ``transfer``, what is wrong with a target that is not the weights' sparsity.

    Args:
        weights: The prunable ones, as they are before the first step.
        spec: The declaration.
    """
    if spec.method != "transfer":
        return []
    total = sum(weight.numel() for weight in weights.values())
    zeros = total - count_nonzero(weight.detach() for weight in weights.values())
    if abs(zeros - spec.target * total) <= TARGET_TOLERANCE * total + 0.5:
        return []
    sparsity = zeros / total
    return [
        Problem(
            "sparsity.target",
            f"must be the checkpoint's sparsity, {sparsity:.4f}: set it",
            f"{spec.target:g}",
        )
    ]
