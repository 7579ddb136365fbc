"""Drop and grow: kept weights of one layer are exchanged for others, so that their number stays as it is."""

from __future__ import annotations

import torch

from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.masks.exact import compute_masks, count_nonzero


def exchange_weights(
    mask: torch.Tensor, drop_scores: torch.Tensor, grow_scores: torch.Tensor, exchanged: int
) -> torch.Tensor:
    """The mask after dropping the lowest kept weights and growing as many of the highest others (Evci et al. 2020).

    What was just dropped competes for growth with the rest, as in the authors' code (`sparse_optimizers_base.py`), so
    that fewer places may change than were asked. Of equal scores, the first in order are dropped and do not grow.

    Args:
        mask: Of one layer, any shape: True where a weight is kept.
        drop_scores: Of the mask's shape, looked at inside it; NaN counts as the highest.
        grow_scores: Of the mask's shape, looked at outside what survives; NaN counts as the highest.
        exchanged: How many, from 0; all that are kept where it exceeds them.

    Returns:
        A new mask with exactly as many weights kept.
    """
    kept = count_nonzero([mask])
    survivors = mask & _drop_lowest(mask, drop_scores, min(exchanged, kept))
    grown = ~survivors
    return survivors | (grown & _drop_lowest(grown, grow_scores, mask.numel() - kept))


def _drop_lowest(among: torch.Tensor, scores: torch.Tensor, dropped: int) -> torch.Tensor:
    """False at the lowest scores among the True entries."""
    return compute_masks({"": scores}, [LayerGroup(("",), dropped)], candidates={"": among})[""]
