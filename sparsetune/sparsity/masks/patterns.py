"""N:M patterns: of every M consecutive weights of one output, at most N are kept.

Consecutive along the input dimension, channels last: the weights (out, in) of a linear layer row by row, those of a
convolution (out, in, height, width) in the order (out, height, width, in). SR-STE (Zhou et al. 2021, arXiv 2102.04010)
and AC/DC group so, and sparse kernels read so; groups of the stored order (out, in, height, width) are others.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch

from sparsetune.errors import Problem
from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.spec.sparsity import SparsitySpec, parse_pattern


def fits_pattern(shape: Sequence[int], m: int) -> bool:
    """Whether the weights of one output divide into groups of ``m``."""
    return math.prod(shape[1:]) % m == 0


def pattern_problems(
    layers: Sequence[Layer], groups: Sequence[LayerGroup], spec: SparsitySpec
) -> list[Problem]:
    """Pruned layers whose weights do not divide into the pattern's groups; empty when all do, or without a pattern."""
    if (n_m := parse_pattern(spec.pattern)) is None:
        return []
    pruned = {name for group in groups if group.pruned for name in group.names}
    odd = {
        layer.name: layer.shape
        for layer in layers
        if layer.name in pruned and not fits_pattern(layer.shape, n_m[1])
    }
    if not odd:
        return []
    rule = (
        f"the weights of each output of a pruned layer must divide by {n_m[1]}:"
        f" keep the others dense by adding {', '.join(odd)} to `sparsity.spared`"
    )
    sizes = ", ".join(f"{math.prod(shape[1:])} in {name}" for name, shape in odd.items())
    return [Problem("sparsity.pattern", rule, f"{spec.pattern!r} with {sizes}")]


def n_m_mask(scores: torch.Tensor, n: int, m: int) -> torch.Tensor:
    """True at the ``n`` highest scores of every ``m``; of equal ones the first in order are pruned.

    Args:
        scores: Of a weight's shape (out, in, ...); NaN counts as the highest.
        n: Kept in each group, in [0, m].
        m: Size of a group.

    Raises:
        ValueError: if the weights of one output do not divide into groups.
    """
    _require_fit(scores.shape, m)
    # where the groups divide the input channels, their weights lie a kernel apart in the stored order: nothing moves
    stored = scores.shape[1] % m == 0
    ordered = scores.detach() if stored else scores.detach().movedim(1, -1)
    outputs = ordered.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf).flatten(1)
    kept = _highest_of_groups(outputs, n, m, math.prod(scores.shape[2:]) if stored else 1).view(
        ordered.shape
    )
    return kept if stored else kept.movedim(-1, 1).contiguous()


def _highest_of_groups(scores: torch.Tensor, n: int, m: int, stride: int) -> torch.Tensor:
    """True at the ``n`` highest of each group of ``scores`` (out, width), whose neighbours lie ``stride`` apart."""
    positions = _group_positions(scores.shape[1], stride, m, scores.device)
    higher = positions.expand(scores.shape).clone()
    kept = torch.empty(scores.shape, dtype=torch.uint8, device=scores.device)
    if scores.is_cpu:  # numpy, which knows no bfloat16, compares six times faster than torch
        full = scores if scores.itemsize > 2 else scores.float()
        keep_highest_by_count(
            full.numpy(), higher.numpy(), kept.numpy(), positions.numpy(), n, m, stride
        )
    else:
        keep_highest_by_count(scores, higher, kept, positions, n, m, stride)
    return kept.view(torch.bool)


def keep_highest_by_count(
    scores: Any, higher: Any, kept: Any, positions: Any, n: int, m: int, stride: int
) -> None:
    """Fill ``kept`` by counting the higher ones in the group of each score; all are NumPy arrays, or all tensors.

    Each is compared with the one ``k`` places further on in its group, for one k after the other over all scores, so
    that memory is read in order.

    Args:
        scores: (out, width), without NaN.
        higher: The place of each in its group: as many are higher as if all earlier ones were. Changed.
        kept: Bytes (out, width): comes out as 1 for the ``n`` highest of each group, of equal ones the later, else 0.
        positions: Of the scores of one output in their groups (width,).
        n: Kept in each group.
        m: Size of a group.
        stride: Distance between neighbours of a group.
    """
    values = scores.reshape(-1)
    counts = higher.reshape(-1)
    later = kept.reshape(-1)
    for k in range(1, m):
        near = slice(None, -k * stride)
        far = slice(k * stride, None)
        later[near] = values[far] >= values[near]
        kept &= positions < m - k
        counts[near] += later[near]
        counts[far] -= later[near]
    kept[:] = higher < n


@functools.cache
def _group_positions(width: int, stride: int, m: int, device: torch.device) -> torch.Tensor:
    """The place in its group, in [0, m), of each weight of one output."""
    places = torch.arange(width, device=device) // stride % m
    return places.to(torch.uint8 if m <= 256 else torch.int16)


def n_m_faults(tensor: torch.Tensor, n: int, m: int) -> int:
    """Groups of ``m`` of a mask or weight (out, in, ...) in which more than ``n`` are kept: True, or not zero.

    Raises:
        ValueError: if the weights of one output do not divide into groups.
    """
    _require_fit(tensor.shape, m)
    groups = tensor.detach().movedim(1, -1).reshape(-1, m)
    return int((groups.count_nonzero(1) > n).sum())


def _require_fit(shape: torch.Size, m: int) -> None:
    if not fits_pattern(shape, m):
        raise ValueError(
            f"the weights of each output must divide by {m}, got the shape {tuple(shape)}."
            " Leave the layer dense: `sparsity.spared`"
        )
