"""Masks with exact counts: the lowest scores are pruned, ties in order of index, whatever the hardware."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from sparsetune.sparsity.allocation import Group

Masks = dict[str, torch.Tensor]
"""Per layer, a boolean tensor of the weight's shape: True where the weight is kept."""


def compute_masks(scores: Mapping[str, torch.Tensor], groups: Iterable[Group], within: Masks | None = None) -> Masks:
    """Masks in which each group has exactly its number of weights pruned, those with the lowest scores.

    Args:
        scores: Per layer, of the weight's shape; NaN counts as the highest.
        groups: Which layers share a threshold, and how many weights each group prunes.
        within: The masks in force: weights outside go first, so that an active zero outlives them. None: all compete.
    """
    masks: Masks = {}
    for group in groups:
        flat = [_outside_last(scores[name], within[name] if within else None).flatten() for name in group.names]
        kept = keep_highest(torch.cat(flat), group.pruned)
        parts = torch.split(kept, [part.numel() for part in flat])
        masks |= {name: part.view_as(scores[name]) for name, part in zip(group.names, parts, strict=True)}
    return masks


def _outside_last(scores: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    scores = scores.nan_to_num(nan=torch.inf, posinf=torch.inf)
    return scores if mask is None else scores.masked_fill(~mask, -torch.inf)


def keep_highest(scores: torch.Tensor, pruned: int) -> torch.Tensor:
    """True at all but the ``pruned`` lowest of ``scores`` (n,); of equal ones the first in order go first."""
    if pruned == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    threshold = _smallest(scores, pruned)
    kept = scores > threshold
    ties = (scores == threshold).nonzero().flatten()
    spared = scores.numel() - int(kept.sum()) - pruned
    kept[ties[ties.numel() - spared :]] = True
    return kept


def _smallest(scores: torch.Tensor, k: int) -> float:
    """The ``k``-th smallest value, from 1."""
    if scores.device.type != "cpu":
        return float(scores.kthvalue(k).values)
    values = scores.float().numpy()
    while True:  # numpy selects ten times faster than torch, but slowly where many are equal, as those outside a mask
        lowest = values.min()
        above = values[values > lowest]
        equal = values.size - above.size
        if k <= equal:
            return float(lowest)
        if equal < values.size / 10:
            return float(np.partition(values, k - 1)[k - 1])
        values, k = above, k - equal


def intersection_over_union(first: Masks, second: Masks) -> float:
    """Of the kept weights of two masks over the same layers, in [0, 1]; NaN where both keep nothing."""
    both = sum(int((first[name] & second[name]).sum()) for name in first)
    either = sum(int((first[name] | second[name]).sum()) for name in first)
    return both / either if either else float("nan")


def pack(masks: Masks) -> dict[str, torch.Tensor]:
    """The masks with eight weights a byte, on the CPU."""
    return {name: torch.from_numpy(np.packbits(mask.cpu().numpy())) for name, mask in masks.items()}


def unpack(packed: Mapping[str, torch.Tensor], like: Mapping[str, torch.Tensor]) -> Masks:
    """Masks from ``pack``, each with the shape and on the device of its tensor in ``like``."""
    return {name: _unpacked(packed[name], tensor) for name, tensor in like.items()}


def _unpacked(bits: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    flat = np.unpackbits(bits.numpy(), count=like.numel()).astype(bool)
    return torch.from_numpy(flat).view(like.shape).to(like.device)


def count(tensors: Sequence[torch.Tensor]) -> int:
    """How many entries are not zero (True, for masks), with one look at the device."""
    return int(torch.stack([tensor.count_nonzero() for tensor in tensors]).sum()) if tensors else 0
