"""Sparse transfer: the check that a checkpoint has the sparsity that a trial asks for."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sparsetune.errors import Problem
from sparsetune.sparsity.masks.exact import count_nonzero
from sparsetune.sparsity.methods.registry import method_of
from sparsetune.spec.sparsity import SparsitySpec

TARGET_TOLERANCE = 1e-3
"""Largest distance of the target from the checkpoint's sparsity.

The mask has the target's count exactly. Where the two differ, a few of the checkpoint's zeros
train, or a few of its lowest weights become zero.
"""


def transfer_problems(weights: Mapping[str, torch.Tensor], spec: SparsitySpec) -> list[Problem]:
    """Problem of a target that is not the checkpoint's sparsity; empty for other methods.

    Args:
        weights: Prunable weights as they are before the first step.
        spec: Declaration of sparsity.
    """
    if "checkpoint" not in method_of(spec.method).fields:
        return []
    total = sum(weight.numel() for weight in weights.values())
    zeros = total - count_nonzero(weight.detach() for weight in weights.values())
    # Half a weight more: in a tiny network, the target's count is rounded by so much.
    if abs(zeros - spec.target * total) <= TARGET_TOLERANCE * total + 0.5:
        return []
    rule = f"must be the checkpoint's sparsity, {zeros / total:.4f}: set it"
    return [Problem("sparsity.target", rule, f"{spec.target:g}")]
