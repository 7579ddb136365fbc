"""Weights that are powers of the parameters: the parametrisation of powerpropagation."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class PowerWeights:
    """Keeps parameters ``p`` while the weights ``p |p|^(power - 1)`` take their place.

    The step of a weight shrinks with its size, so that small weights stay small, and a weight of
    zero does not move. Parameters start as ``sign(w) |w|^(1 / power)``, whose weights are those
    that the network was initialised with.

    Source: Schwarz et al. 2021, arXiv 2110.00296, section 2.

    Args:
        weights: Tensors of the parameters with the initial weights, changed in place.
        power: Exponent alpha, at least 1; 1 for the parameters themselves.
    """

    def __init__(self, weights: Sequence[torch.Tensor], power: float) -> None:
        self._weights = list(weights)
        self._power = power
        self._parameters = [torch.empty_like(weight) for weight in weights]
        self._slopes = [torch.empty_like(weight) for weight in weights]
        for weight in self._weights:
            weight.copy_(weight.sign() * weight.abs().pow(1 / power))

    def mask(self, factors: list[torch.Tensor]) -> None:
        """Keep the parameters and put their powers in their place, zero outside the mask."""
        torch._foreach_copy_(self._parameters, self._weights)
        torch._foreach_copy_(self._slopes, self._weights)
        torch._foreach_abs_(self._slopes)
        torch._foreach_pow_(self._slopes, self._power - 1)
        torch._foreach_mul_(self._weights, self._slopes)
        if factors:
            torch._foreach_mul_(self._weights, factors)

    def unmask(self, gradients: list[torch.Tensor] | None = None) -> None:
        """Put the parameters back.

        Args:
            gradients: Gradients by the weights, made those by the parameters in place: times
                ``power |p|^(power - 1)``.
        """
        if gradients is not None:
            torch._foreach_mul_(gradients, self._slopes)
            torch._foreach_mul_(gradients, self._power)
        torch._foreach_copy_(self._weights, self._parameters)
