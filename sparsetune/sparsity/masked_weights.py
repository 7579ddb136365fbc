"""Weights under a mask: what is outside it is multiplied by zero, step after step."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from sparsetune.sparsity.masks.exact import Masks, count_nonzero, fill_factors
from sparsetune.sparsity.methods.method import EffectiveWeights


class MaskedWeights:
    """A network's prunable weights and the mask in force on them, if there is one.

    Args:
        weights: Tensors of the parameters by layer, changed in place.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.masks: Masks = {}
        """The last masks set, also where they are no longer in force; empty before the first."""
        self.in_force = False
        """True if the masks are in force; otherwise the network is dense."""
        self.shadow: EffectiveWeights | None = None
        """Weights that the forward pass sees in place of the optimizer's, under STE and SR-STE."""
        self.reparametrized: EffectiveWeights | None = None
        """Weights that the forward pass sees in place of the optimizer's, under any mask."""
        self.trained: Masks = {}
        """True where a weight trains behind the mask on this step; empty where all do."""
        self._weights = dict(weights)
        self._tensors = list(weights.values())
        self._factors: list[torch.Tensor] = []
        self._before: Mapping[str, torch.Tensor] = {}

    def set_masks(self, masks: Masks) -> None:
        """Put masks in force and zero the weights outside them."""
        self._put_in_force(masks)
        torch._foreach_mul_(self._tensors, self._factors)

    def release(self) -> None:
        """Lift the mask: every weight may train again."""
        self.in_force = False

    def start_shadow(self, shadow: EffectiveWeights) -> None:
        """Keep the optimizer's weights behind those that the forward pass sees, from now on."""
        self.shadow = shadow

    def swap_in(self, shadow: EffectiveWeights, masks: Masks) -> None:
        """Put masks in force and the effective weights in the place of the dense ones."""
        self._put_in_force(masks)
        shadow.mask(self._factors)

    def swap_in_reparametrized(self, effective: EffectiveWeights) -> None:
        """Put the effective weights in the place of the optimizer's, within the mask in force."""
        effective.mask(self._factors if self.in_force else [])

    def swap_out(self, gradients: list[torch.Tensor] | None = None) -> None:
        """Put the optimizer's weights back in the place of the effective ones, if they differ.

        Args:
            gradients: Gradients by the effective weights, turned into those by the optimizer's, in
                place; None outside training.
        """
        effective = self.shadow or self.reparametrized
        if effective:
            effective.unmask(gradients)

    def apply(self) -> None:
        """Zero what has moved outside the mask; nothing where dense weights are kept behind it."""
        if self.in_force and not self.shadow:
            torch._foreach_mul_(self._tensors, self._factors)

    def mask_gradients(self, gradients: list[torch.Tensor]) -> None:
        """Zero the gradients outside the mask in force, in place."""
        torch._foreach_mul_(gradients, self._factors)

    def train_only(self, masks: Masks) -> None:
        """Let these weights alone (True) train on this step; the others are kept as they are."""
        self.trained = masks
        if not self._before:
            self._before = {name: torch.empty_like(one) for name, one in self._weights.items()}
        torch._foreach_copy_(list(self._before.values()), self._tensors)

    def mask_untrained(self, gradients: list[torch.Tensor]) -> None:
        """Zero the gradients of the weights that do not train, in place."""
        for name, gradient in zip(self._weights, gradients, strict=True):
            gradient.mul_(self.trained[name])

    def restore_untrained(self) -> None:
        """Put back weights that do not train, which momentum or weight decay has moved."""
        for name, weight in self._weights.items():
            weight.copy_(torch.where(self.trained[name], weight, self._before[name]))

    def effective_masks(self) -> Masks:
        """Masks in force; all True where the network is dense."""
        if self.in_force:
            return self.masks
        return {
            name: torch.ones_like(weight, dtype=torch.bool)
            for name, weight in self._weights.items()
        }

    def count_kept(self) -> dict[str, int]:
        """Number of weights inside the last masks set, by layer."""
        return {name: count_nonzero([mask]) for name, mask in self.masks.items()}

    def _put_in_force(self, masks: Masks) -> None:
        self.masks = masks
        self.in_force = True
        if not self._factors:
            # Factors keep their memory from mask to mask: fresh pages cost more than the writing.
            self._factors = [torch.empty_like(weight) for weight in self._tensors]
        fill_factors(self._factors, [masks[name] for name in self._weights])
