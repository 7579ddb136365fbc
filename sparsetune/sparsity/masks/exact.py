"""Masks with exact counts: the lowest scores are pruned, ties in order of index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.masks.threshold import ScoredLayer, prune_lowest

Masks = dict[str, torch.Tensor]
"""By layer, a boolean tensor of the weight's shape: True where the weight is kept."""


class LayerScores(NamedTuple):
    """Scores and flags that decide one layer's mask; every tensor has the weight's shape.

    Args:
        scores: Scores of the weights; NaN counts as infinite.
        within: Mask in force: weights outside it go first. None: there is none.
        candidates: True where a weight may be pruned. None: everywhere.
    """

    scores: torch.Tensor
    within: torch.Tensor | None = None
    candidates: torch.Tensor | None = None

    def count_candidates(self) -> int:
        """Number of weights that may be pruned."""
        if self.candidates is None:
            return self.scores.numel()
        return count_nonzero([self.candidates])


def compute_masks(
    scores: Mapping[str, torch.Tensor],
    groups: Iterable[LayerGroup],
    within: Masks | None = None,
    candidates: Masks | None = None,
    *,
    absolute: bool = False,
) -> Masks:
    """Masks in which each group prunes exactly its number of weights, the lowest scores.

    Of equal scores the first in order go first, so that counts are exact and a mask does not
    depend on the hardware.

    Args:
        scores: By layer, scores of the weight's shape; NaN counts as infinite.
        groups: Layers that share a threshold, and how many weights each group prunes.
        within: Current masks: weights outside them are pruned before a kept weight that happens
            to be zero. None: all compete.
        candidates: True where a weight may be pruned. None: everywhere.
        absolute: True if the scores' absolute values count; on the CPU no copy is made of them.

    Raises:
        ValueError: if a group asks for more weights than it has candidates.
    """
    masks: Masks = {}
    for group in groups:
        layers = []
        for name in group.names:
            mask = within[name] if within else None
            allowed = candidates[name] if candidates else None
            layers.append(LayerScores(scores[name], mask, allowed))
        n_candidates = sum(layer.count_candidates() for layer in layers)
        if group.pruned > n_candidates:
            raise ValueError(
                f"a group must prune at most its {n_candidates} candidates, got {group.pruned} of"
                f" {', '.join(group.names)}; lower their sparsity"
            )
        select = select_on_cpu if layers[0].scores.is_cpu else select_on_device
        kept = select(layers, group.pruned, absolute)
        masks.update(zip(group.names, kept, strict=True))
    return masks


def keep_highest(scores: torch.Tensor, pruned: int) -> torch.Tensor:
    """Mask (n,): False at the ``pruned`` lowest scores; ties are pruned in order of index."""
    return compute_masks({"scores": scores}, [LayerGroup(("scores",), pruned)])["scores"]


def select_on_cpu(
    layers: Sequence[LayerScores], pruned: int, absolute: bool = False
) -> list[torch.Tensor]:
    """Masks of one group whose tensors are on the CPU; arguments as for `compute_masks`."""
    # One array for the whole group: numpy asks the system for a large one in huge pages.
    kept = np.empty(sum(layer.scores.numel() for layer in layers), bool)
    parts = []
    start = 0
    for layer in layers:
        end = start + layer.scores.numel()
        part = ScoredLayer(
            _flat_array(layer.scores),
            kept[start:end],
            _flat_flags(layer.within),
            _flat_flags(layer.candidates),
            absolute,
        )
        parts.append(part)
        start = end
    prune_lowest(parts, pruned)
    return [
        torch.from_numpy(part.kept).view(layer.scores.shape)
        for part, layer in zip(parts, layers, strict=True)
    ]


def _flat_array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """Entries in order (n,), in a type that numpy compares fast; a view where that is possible."""
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    array: npt.NDArray[Any] = tensor.detach().cpu().reshape(-1).numpy()
    return array


def _flat_flags(mask: torch.Tensor | None) -> npt.NDArray[np.bool_] | None:
    return None if mask is None else _flat_array(mask)


def select_on_device(
    layers: Sequence[LayerScores], pruned: int, absolute: bool = False
) -> list[torch.Tensor]:
    """Masks of one group, found where its tensors are; arguments as for `compute_masks`.

    Scores become integers in the same order, and the threshold is bisected among all integers of
    that width: 32 or 64 counts, whose results the host never waits for.
    """
    keys = torch.cat([_order_keys(layer, absolute) for layer in layers])
    least, greatest = _integer_range(keys.dtype)
    low = torch.full((), least, dtype=keys.dtype, device=keys.device)
    high = torch.full((), greatest, dtype=keys.dtype, device=keys.device)
    for _ in range(torch.iinfo(keys.dtype).bits):
        # The mean of both, rounded down: `low + high` could overflow.
        middle = (low & high) + ((low ^ high) >> 1)
        enough = (keys <= middle).sum() >= pruned
        low = torch.where(enough, low, middle + 1)
        high = torch.where(enough, middle, high)
    ties = keys == low
    pruned_ties = pruned - (keys < low).sum()
    kept = (keys > low) | (ties & (ties.cumsum(0) > pruned_ties))
    parts = torch.split(kept, [layer.scores.numel() for layer in layers])
    return [part.view(layer.scores.shape) for part, layer in zip(parts, layers, strict=True)]


def _order_keys(layer: LayerScores, absolute: bool) -> torch.Tensor:
    """Integers (n,) in the order in which weights are pruned.

    They are ordered as the scores are. Weights outside the current mask get the smallest integer,
    weights that may not be pruned the largest.
    """
    scores = layer.scores.abs() if absolute else layer.scores
    values = scores.detach().flatten()
    if values.dtype != torch.float64:
        values = values.float()
    values = values.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
    # Adding zero makes -0 and 0 one key.
    values = values + 0.0
    # The bits of positive floats order as the floats do. Those of negative ones order the other way
    # round, which flipping all bits but the sign's corrects.
    bits = values.view(torch.int64 if values.dtype == torch.float64 else torch.int32)
    least, greatest = _integer_range(bits.dtype)
    keys = torch.where(bits < 0, bits ^ greatest, bits)
    if layer.within is not None:
        keys = keys.masked_fill(~layer.within.flatten(), least)
    if layer.candidates is not None:
        keys = keys.masked_fill(~layer.candidates.flatten(), greatest)
    return keys


def _integer_range(dtype: torch.dtype) -> tuple[int, int]:
    limits = torch.iinfo(dtype)
    return limits.min, limits.max


def intersection_over_union(first: Masks, second: Masks) -> float:
    """Weights kept by both masks over those kept by either, in [0, 1]; NaN if none is kept.

    Args:
        first: A mask for each layer.
        second: Another, for the same layers.
    """
    both = count_nonzero(first[name] & second[name] for name in first)
    kept_by_second = count_nonzero(second[name] for name in first)
    either = count_nonzero(first.values()) + kept_by_second - both
    return both / either if either else float("nan")


def pack_masks(masks: Masks) -> dict[str, torch.Tensor]:
    """Masks as bytes of eight weights each, on the CPU."""
    return {name: torch.from_numpy(np.packbits(mask.cpu().numpy())) for name, mask in masks.items()}


def unpack_masks(packed: Mapping[str, torch.Tensor], like: Mapping[str, torch.Tensor]) -> Masks:
    """Masks from `pack_masks`, each with the shape and on the device of its tensor in ``like``."""
    return {name: _unpack_mask(packed[name], tensor) for name, tensor in like.items()}


def _unpack_mask(bits: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    flat = np.unpackbits(bits.numpy(), count=like.numel()).astype(bool)
    return torch.from_numpy(flat).view(like.shape).to(like.device)


def count_nonzero(tensors: Iterable[torch.Tensor]) -> int:
    """Number of entries that are not zero (True, for masks), over all tensors."""
    on_cpu = 0
    on_device = []
    for tensor in tensors:
        if tensor.is_cpu:
            on_cpu += _count_on_cpu(tensor)
        else:
            on_device.append(tensor.count_nonzero())
    # Reading a number from a device waits for its queue: read one sum, not a count per tensor.
    return on_cpu + (int(torch.stack(on_device).sum()) if on_device else 0)


def _count_on_cpu(tensor: torch.Tensor) -> int:
    values = _flat_array(tensor)
    # numpy counts booleans many at a time, so that comparing numbers first is faster.
    flags = values if values.dtype == bool else values != 0
    return int(np.count_nonzero(flags))


def fill_factors(factors: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> None:
    """Copy boolean masks into the tensors of zeros and ones that multiply the weights."""
    if all(factor.is_cpu and factor.dtype == torch.float32 for factor in factors):
        # numpy converts booleans to floats three times faster than torch.
        for factor, mask in zip(factors, masks, strict=True):
            np.copyto(factor.numpy(), mask.numpy())
    else:
        torch._foreach_copy_(list(factors), list(masks))
