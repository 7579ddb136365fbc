"""Drop and grow: kept weights of one layer are exchanged for others, their number unchanged."""

from __future__ import annotations

import torch

from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.masks.exact import compute_masks, count_nonzero


def exchange_weights(
    mask: torch.Tensor, drop_scores: torch.Tensor, grow_scores: torch.Tensor, exchanged: int
) -> torch.Tensor:
    """Mask after dropping the lowest kept weights and growing as many of the highest others.

    What was just dropped competes for growth with the rest, as in the authors' code
    (`sparse_optimizers_base.py`), so that fewer weights may change than were asked. Of equal
    scores, the first in order are dropped and do not grow.

    Source: Evci et al. 2020, arXiv 1911.11134, section 3.

    Args:
        mask: One layer's mask, of any shape: True where a weight is kept.
        drop_scores: Scores of the mask's shape, read inside it; NaN counts as the highest.
        grow_scores: Scores of the mask's shape, read outside what survives; NaN counts as the
            highest.
        exchanged: Number of weights to exchange, at least 0; all kept ones if it exceeds them.

    Returns:
        A new mask that keeps exactly as many weights.
    """
    kept = count_nonzero([mask])
    survivors = mask & _drop_lowest(mask, drop_scores, min(exchanged, kept))
    # Of the numel - survivors weights outside, all but kept - survivors stay pruned: numel - kept.
    pruned = ~survivors
    grown = pruned & _drop_lowest(pruned, grow_scores, mask.numel() - kept)
    return survivors | grown


def _drop_lowest(among: torch.Tensor, scores: torch.Tensor, dropped: int) -> torch.Tensor:
    """False at the ``dropped`` lowest scores among the True entries of ``among``, else True."""
    group = LayerGroup(("layer",), dropped)
    masks = compute_masks({"layer": scores}, [group], candidates={"layer": among})
    return masks["layer"]
