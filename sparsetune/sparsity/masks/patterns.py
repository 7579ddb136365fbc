"""N:M patterns: of every M consecutive weights of one output, at most N are kept.

Weights are consecutive along the input dimension, channels last: those of a linear layer (out, in)
row by row, those of a convolution (out, in, height, width) in the order (out, height, width, in).
SR-STE (Zhou et al. 2021, arXiv 2102.04010) and AC/DC group so, and sparse kernels read so. Groups
of the stored order (out, in, height, width) would be others.
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
    """True if the weights of one output divide into groups of ``m``."""
    return math.prod(shape[1:]) % m == 0


def pattern_problems(
    layers: Sequence[Layer], groups: Sequence[LayerGroup], spec: SparsitySpec
) -> list[Problem]:
    """Problem of pruned layers whose weights do not divide into the pattern's groups.

    Empty if all do, or without a pattern.
    """
    n_m = parse_pattern(spec.pattern)
    if n_m is None:
        return []
    m = n_m[1]
    pruned = {name for group in groups if group.pruned for name in group.names}
    turned = [layer for layer in layers if layer.name in pruned and not layer.inputs_follow]
    if turned:
        named = ", ".join(f"`{layer.name}` ({layer.kind})" for layer in turned)
        rule = "groups weights along their inputs, which must be the second dimension of a layer"
        return [Problem("sparsity.pattern", rule, f"{spec.pattern!r} with {named}")]
    odd = {}
    for layer in layers:
        if layer.name in pruned and not fits_pattern(layer.shape, m):
            odd[layer.name] = math.prod(layer.shape[1:])
    if not odd:
        return []
    rule = (
        f"the weights of each output of a pruned layer must divide by {m}:"
        f" keep the others dense by adding {', '.join(odd)} to `sparsity.spared`"
    )
    sizes = ", ".join(f"{size} in {name}" for name, size in odd.items())
    return [Problem("sparsity.pattern", rule, f"{spec.pattern!r} with {sizes}")]


def n_m_mask(scores: torch.Tensor, n: int, m: int) -> torch.Tensor:
    """Mask that is True at the ``n`` highest scores of every ``m``.

    Of equal scores the first in order are pruned.

    Args:
        scores: Scores of a weight's shape (out, in, ...); NaN counts as the highest.
        n: Weights kept in each group, in [0, m].
        m: Size of a group.

    Raises:
        ValueError: if the weights of one output do not divide into groups.
    """
    _require_fit(scores.shape, m)
    detached = scores.detach()
    kernel = math.prod(scores.shape[2:])
    # Where M divides the input channels, the weights of a group lie a kernel apart in the stored
    # order, and nothing has to be moved. Otherwise groups run on from one position of the kernel
    # to the next, and only channels last puts them side by side.
    if scores.shape[1] % m == 0:
        return _highest_of_groups(_nan_to_inf(detached), n, m, stride=kernel)
    channels_last = _nan_to_inf(detached.movedim(1, -1))
    kept = _highest_of_groups(channels_last, n, m, stride=1)
    return kept.movedim(-1, 1).contiguous()


def _nan_to_inf(scores: torch.Tensor) -> torch.Tensor:
    """Scores with infinity in place of NaN, which would compare as neither higher nor lower."""
    return scores.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)


def _highest_of_groups(scores: torch.Tensor, n: int, m: int, stride: int) -> torch.Tensor:
    """True at the ``n`` highest of each group of scores (out, ...), neighbours ``stride`` apart."""
    flat = scores.flatten(1)
    positions = _group_positions(flat.shape[1], stride, m, flat.device)
    higher = positions.expand(flat.shape).clone()
    kept = torch.empty(flat.shape, dtype=torch.uint8, device=flat.device)
    if flat.is_cpu:
        # numpy compares six times faster than torch, but knows no bfloat16.
        full = flat if flat.itemsize > 2 else flat.float()
        arrays = (full.numpy(), higher.numpy(), kept.numpy(), positions.numpy())
        keep_highest_by_count(*arrays, n, m, stride)
    else:
        keep_highest_by_count(flat, higher, kept, positions, n, m, stride)
    return kept.view(torch.bool).view(scores.shape)


def keep_highest_by_count(
    scores: Any, higher: Any, kept: Any, positions: Any, n: int, m: int, stride: int
) -> None:
    """Fill ``kept`` by counting, for each score, the higher ones of its group.

    Each score is compared with the one ``k`` places further on in its group, for one ``k`` after
    the other over all scores, so that memory is read in order. All arrays are NumPy's, or all are
    tensors.

    Args:
        scores: Scores (out, width), without NaN.
        higher: Position of each score in its group (out, width): the count starts as if all
            earlier scores were higher, which makes the later of equal ones win. Changed.
        kept: Bytes (out, width). On return, 1 at the ``n`` highest of each group, else 0.
        positions: Positions of one output's scores in their groups (width,).
        n: Weights kept in each group.
        m: Size of a group.
        stride: Distance between neighbours of a group.
    """
    values = scores.reshape(-1)
    counts = higher.reshape(-1)
    later_wins = kept.reshape(-1)
    for k in range(1, m):
        near = slice(None, -k * stride)
        far = slice(k * stride, None)
        later_wins[near] = values[far] >= values[near]
        # The last k of a group have no score k places further on in it: that pair does not count.
        kept &= positions < m - k
        counts[near] += later_wins[near]
        counts[far] -= later_wins[near]
    kept[:] = higher < n


@functools.cache
def _group_positions(width: int, stride: int, m: int, device: torch.device) -> torch.Tensor:
    """Position in its group, in [0, m), of each weight of one output (width,)."""
    positions = torch.arange(width, device=device) // stride % m
    return positions.to(torch.uint8 if m <= 256 else torch.int16)


def n_m_faults(tensor: torch.Tensor, n: int, m: int) -> int:
    """Number of groups of ``m`` that keep more than ``n`` weights: True, or not zero.

    Args:
        tensor: A mask or weight (out, in, ...).
        n: Weights that a group may keep.
        m: Size of a group.

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
