"""Dense weights behind effective ones: the straight-through estimator of SR-STE."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class ShadowWeights:
    """Swaps effective weights in for a forward and backward pass, and the dense ones back for the optimizer's step.

    The gradient by the effective weights goes to the dense ones as it is; those outside the mask are pulled towards
    zero by ``decay`` times themselves (Zhou et al. 2021, arXiv 2102.04010, eq. 9).

    Args:
        weights: Parameters' tensors, changed in place.
        decay: The pull, added to the gradient.
    """

    def __init__(self, weights: Sequence[torch.Tensor], decay: float) -> None:
        self._weights = list(weights)
        self._dense = [torch.empty_like(weight) for weight in weights]
        self._decay = decay

    def mask(self, factors: list[torch.Tensor]) -> None:
        """Multiply the weights by their masks, keeping the dense ones."""
        torch._foreach_copy_(self._dense, self._weights)
        torch._foreach_mul_(self._weights, factors)

    def unmask(self, gradients: list[torch.Tensor] | None = None) -> None:
        """Put the dense weights back; add to the gradients what draws those outside the mask to zero."""
        if gradients is not None:
            torch._foreach_sub_(
                self._weights, self._dense
            )  # what is outside the mask, negative: no temporary
            torch._foreach_add_(gradients, self._weights, alpha=-self._decay)
        torch._foreach_copy_(self._weights, self._dense)
