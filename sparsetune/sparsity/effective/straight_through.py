"""Dense weights behind effective ones: the straight-through estimator of STE and SR-STE."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class ShadowWeights:
    """Keeps dense weights while effective ones take their place in a forward and backward pass.

    Weights are swapped because the two passes need different ones: the loss is that of the masked
    weights, while the optimizer updates the dense ones, so that a weight outside the mask can come
    back. The gradient by the effective weights goes to the dense ones as it is (Bengio et al. 2013,
    arXiv 1308.3432); under SR-STE dense weights outside the mask are also pulled towards zero by
    ``decay`` times themselves (Zhou et al. 2021, arXiv 2102.04010, equation 9).

    Args:
        weights: Tensors of the parameters, changed in place.
        decay: Strength of the pull, at least 0; no pull at 0.
    """

    def __init__(self, weights: Sequence[torch.Tensor], decay: float) -> None:
        self._weights = list(weights)
        self._dense = [torch.empty_like(weight) for weight in weights]
        self._decay = decay

    def mask(self, factors: list[torch.Tensor]) -> None:
        """Keep the dense weights and multiply the parameters by their masks (1 or 0)."""
        torch._foreach_copy_(self._dense, self._weights)
        torch._foreach_mul_(self._weights, factors)

    def unmask(self, gradients: list[torch.Tensor] | None = None) -> None:
        """Put the dense weights back.

        Args:
            gradients: Gradients of the parameters, to which the pull is added in place.
        """
        if gradients is not None and self._decay:
            # Effective minus dense is the negative of the dense weights outside the mask. The
            # difference is written over the effective weights, which saves a temporary.
            torch._foreach_sub_(self._weights, self._dense)
            torch._foreach_add_(gradients, self._weights, alpha=-self._decay)
        torch._foreach_copy_(self._weights, self._dense)
