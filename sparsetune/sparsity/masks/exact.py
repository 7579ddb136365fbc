"""Masks with exact counts: the lowest scores are pruned, ties in order of index, whatever the hardware."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.masks.threshold import ScoredLayer, prune_lowest

Masks = dict[str, torch.Tensor]
"""Per layer, a boolean tensor of the weight's shape: True where the weight is kept."""
Layers = Sequence[tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]]
"""Of each layer of a group, the scores, the mask in force and the candidates."""


def compute_masks(
    scores: Mapping[str, torch.Tensor],
    groups: Iterable[LayerGroup],
    within: Masks | None = None,
    candidates: Masks | None = None,
    *,
    absolute: bool = False,
) -> Masks:
    """Masks in which each group has exactly its number of weights pruned, those with the lowest scores.

    Args:
        scores: Per layer, of the weight's shape; NaN counts as infinite.
        groups: Which layers share a threshold, and how many weights each group prunes.
        within: The masks in force: weights outside go first, so that an active zero outlives them. None: all compete.
        candidates: True where a weight may be pruned. None: everywhere.
        absolute: Whether the scores' absolute values count, of which no copy is made on the CPU.

    Raises:
        ValueError: if a group asks for more than its candidates.
    """
    masks: Masks = {}
    for group in groups:
        layers = [
            (
                scores[name],
                within[name] if within else None,
                candidates[name] if candidates else None,
            )
            for name in group.names
        ]
        allowed = [
            score.numel() if chosen is None else count_nonzero([chosen])
            for score, _, chosen in layers
        ]
        if group.pruned > sum(allowed):
            raise ValueError(
                f"a group must prune at most its {sum(allowed)} candidates, got {group.pruned} of"
                f" {', '.join(group.names)}; lower their sparsity"
            )
        select = select_on_cpu if layers[0][0].device.type == "cpu" else select_on_device
        masks |= dict(zip(group.names, select(layers, group.pruned, absolute), strict=True))
    return masks


def keep_highest(scores: torch.Tensor, pruned: int) -> torch.Tensor:
    """True at all but the ``pruned`` lowest of ``scores`` (n,); of equal ones the first in order go first."""
    return compute_masks({"scores": scores}, [LayerGroup(("scores",), pruned)])["scores"]


def select_on_cpu(layers: Layers, pruned: int, absolute: bool = False) -> list[torch.Tensor]:
    """The masks of one group."""
    ends = list(accumulate((scores.numel() for scores, _, _ in layers), initial=0))
    kept = np.empty(ends[-1], bool)  # in one piece, which numpy asks the system for in huge pages
    parts = [
        ScoredLayer(
            _flat_array(scores),
            kept[start:end],
            _flat_flags(within),
            _flat_flags(candidates),
            absolute,
        )
        for (scores, within, candidates), (start, end) in zip(layers, pairwise(ends), strict=True)
    ]
    prune_lowest(parts, pruned)
    return [
        torch.from_numpy(part.kept).view(scores.shape)
        for part, (scores, _, _) in zip(parts, layers, strict=True)
    ]


def _flat_array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """The entries in order, in a type that numpy compares fast."""
    half = tensor.dtype in (torch.bfloat16, torch.float16)
    array: npt.NDArray[Any] = (
        (tensor.float() if half else tensor).detach().cpu().reshape(-1).numpy()
    )
    return array


def _flat_flags(mask: torch.Tensor | None) -> npt.NDArray[np.bool_] | None:
    return None if mask is None else _flat_array(mask)


def select_on_device(layers: Layers, pruned: int, absolute: bool = False) -> list[torch.Tensor]:
    """The masks of one group, by bisection over the integers that order as scores do: the host never waits."""
    keys = torch.cat(
        [_order_keys(scores.abs() if absolute else scores, *flags) for scores, *flags in layers]
    )
    low, high = (
        torch.full((), end, dtype=keys.dtype, device=keys.device)
        for end in _integer_range(keys.dtype)
    )
    for _ in range(torch.iinfo(keys.dtype).bits):
        middle = (low & high) + ((low ^ high) >> 1)  # their mean, with no overflow
        enough = (keys <= middle).sum() >= pruned
        low = torch.where(enough, low, middle + 1)
        high = torch.where(enough, middle, high)
    ties = keys == low
    kept = (keys > low) | (ties & (ties.cumsum(0) > pruned - (keys < low).sum()))
    parts = torch.split(kept, [scores.numel() for scores, _, _ in layers])
    return [part.view(scores.shape) for part, (scores, _, _) in zip(parts, layers, strict=True)]


def _order_keys(
    scores: torch.Tensor, within: torch.Tensor | None, candidates: torch.Tensor | None
) -> torch.Tensor:
    """Integers in the order of the scores, with the least outside the mask and the greatest at what stays."""
    values = scores.detach().flatten()
    values = values if values.dtype == torch.float64 else values.float()
    values = (
        values.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf) + 0.0
    )  # -0 and 0 are one
    bits = values.view(torch.int64 if values.dtype == torch.float64 else torch.int32)
    least, greatest = _integer_range(bits.dtype)
    keys = torch.where(bits < 0, bits ^ greatest, bits)
    keys = keys if within is None else keys.masked_fill(~within.flatten(), least)
    return keys if candidates is None else keys.masked_fill(~candidates.flatten(), greatest)


def _integer_range(dtype: torch.dtype) -> tuple[int, int]:
    return torch.iinfo(dtype).min, torch.iinfo(dtype).max


def intersection_over_union(first: Masks, second: Masks) -> float:
    """Of the kept weights of two masks over the same layers, in [0, 1]; NaN where both keep nothing."""
    both = count_nonzero(first[name] & second[name] for name in first)
    either = count_nonzero(first.values()) + count_nonzero(second[name] for name in first) - both
    return both / either if either else float("nan")


def pack_masks(masks: Masks) -> dict[str, torch.Tensor]:
    """The masks with eight weights a byte, on the CPU."""
    return {name: torch.from_numpy(np.packbits(mask.cpu().numpy())) for name, mask in masks.items()}


def unpack_masks(packed: Mapping[str, torch.Tensor], like: Mapping[str, torch.Tensor]) -> Masks:
    """Masks from ``pack_masks``, each with the shape and on the device of its tensor in ``like``."""
    return {name: _unpack_mask(packed[name], tensor) for name, tensor in like.items()}


def _unpack_mask(bits: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    flat = np.unpackbits(bits.numpy(), count=like.numel()).astype(bool)
    return torch.from_numpy(flat).view(like.shape).to(like.device)


def count_nonzero(tensors: Iterable[torch.Tensor]) -> int:
    """How many entries are not zero (True, for masks), with one look at the device."""
    on_cpu = 0
    on_device = []
    for tensor in tensors:
        if tensor.device.type != "cpu":
            on_device.append(tensor.count_nonzero())
        else:
            values = _flat_array(tensor)
            on_cpu += int(
                np.count_nonzero(values if values.dtype == bool else values != 0)
            )  # counts bits, fast
    return on_cpu + (int(torch.stack(on_device).sum()) if on_device else 0)


def fill_factors(factors: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> None:
    """Write masks as zeros and ones of the factors' dtypes, in place."""
    if all(factor.is_cpu and factor.dtype == torch.float32 for factor in factors):
        for factor, mask in zip(
            factors, masks, strict=True
        ):  # numpy converts three times faster than torch
            np.copyto(factor.numpy(), mask.numpy())
    else:
        torch._foreach_copy_(list(factors), list(masks))
