"""The choice of the next mask: score, allocation and pattern together, and what is exchanged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import torch

from sparsetune.seeds import derived_seed
from sparsetune.sparsity.layers import Layer, layers_of
from sparsetune.sparsity.masks.allocation import LayerGroup, allocate
from sparsetune.sparsity.masks.exact import Masks, compute_masks, count_nonzero
from sparsetune.sparsity.masks.patterns import n_m_mask
from sparsetune.sparsity.masks.regrow import exchange_weights
from sparsetune.sparsity.scores import ScoreContext, Tensors, random, score_function
from sparsetune.spec import TrialSpec
from sparsetune.spec.sparsity import parse_pattern

Compensate = Callable[[Masks], None]
"""Function that changes the surviving weights, given the newly pruned ones (True)."""


class GradientSource(Protocol):
    """Passes over training data that leave no trace in the trial's random state."""

    def gradients(
        self, seed: int, batches: int, batch_size: int | None, training: bool
    ) -> Iterator[Tensors]:
        """Mean gradients of the prunable weights on batches drawn by ``seed``.

        See `ScoreContext` for the other arguments.
        """

    def recalibrate(self, seed: int, examples: int) -> None:
        """Estimate batch-norm statistics again on training examples drawn by ``seed``."""


class MaskChooser:
    """Chooses masks for one trial's network.

    Args:
        spec: A canonical trial.
        weights: Prunable weights by name; effective ones whenever a mask is chosen.
        gradients: As in `ScoreContext`, with a seed in front.
        layers: Layers of the weights, in order; by default with what their shapes say.
    """

    def __init__(
        self,
        spec: TrialSpec,
        weights: Mapping[str, torch.Tensor],
        gradients: Callable[[int, int, int | None, bool], Iterator[Tensors]],
        layers: Sequence[Layer] | None = None,
    ) -> None:
        self.spec = spec.sparsity.resolved()
        self.layers = layers_of(weights) if layers is None else list(layers)
        self._trial_seed = spec.seed
        self._weights = weights
        self._gradients = gradients
        self._score = score_function(self.spec.score or "magnitude")
        self._n_m = parse_pattern(self.spec.pattern)
        self._patterned: set[str] = set()
        self._groups_at: dict[float, list[LayerGroup]] = {}
        if self._n_m:
            for group in self.groups(self.spec.target):
                if group.pruned:
                    self._patterned.update(group.names)

    def groups(self, sparsity: float, allocation: str | None = None) -> list[LayerGroup]:
        """Layers that compete, and how many of their weights are pruned at ``sparsity``.

        Args:
            sparsity: Sparsity in [0, 1).
            allocation: Name of the allocation; by default the declared one.
        """
        spec = self.spec
        if allocation:
            spec = spec.model_copy(update={"allocation": allocation})
        return allocate(self.layers, sparsity, spec)

    def prune(
        self,
        sparsity: float,
        masks: Masks,
        seed: int,
        score: str | None = None,
        allocation: str | None = None,
    ) -> tuple[Masks, Compensate | None]:
        """Masks of a sparsity, nested in those in force.

        Args:
            sparsity: Sparsity to reach, in [0, 1).
            masks: Masks in force; empty where the network is dense.
            seed: Seed of what the score draws.
            score: Name of the score; by default the declared one.
            allocation: Name of the allocation; by default the declared one.

        Returns:
            The masks; and how the surviving weights make up for the pruned ones, or None.
        """
        context = self._score_context(masks, seed)
        scored = score_function(score)(context) if score else self._score(context)
        groups = self.groups(sparsity, allocation)
        within = masks or None
        if self._n_m is None:
            chosen = compute_masks(
                scored.values, groups, within, self._candidates(masks), absolute=scored.absolute
            )
        else:
            scores = scored.absolute_values()
            if masks:
                # The pattern is chosen by score alone: what is outside the mask must rank last.
                scores = {
                    name: score.masked_fill(~masks[name], -torch.inf)
                    for name, score in scores.items()
                }
            # Only the lowest of every M weights may be pruned; the counts then fill the pattern
            # gradually, as along a ramp, and exactly at the target.
            kept = self._n_m_masks(scores)
            candidates = {name: ~mask for name, mask in kept.items()}
            chosen = compute_masks(scores, groups, within, candidates)
        return chosen, scored.compensate

    def straight_through_masks(self, sparsity: float) -> Masks:
        """Masks of the weights as they are now, by magnitude, whatever the mask in force.

        Args:
            sparsity: Sparsity of the masks, in [0, 1); an N:M pattern has its own.
        """
        if self._n_m is None:
            # Kept, since every step asks for the same.
            if sparsity not in self._groups_at:
                self._groups_at[sparsity] = self.groups(sparsity)
            groups = self._groups_at[sparsity]
            candidates = self._candidates({})
            return compute_masks(self._weights, groups, None, candidates, absolute=True)
        return self._n_m_masks({name: weight.abs() for name, weight in self._weights.items()})

    def _n_m_masks(self, scores: Tensors) -> Masks:
        """Masks in the pattern where layers are pruned at the target, dense ones elsewhere."""
        n, m = self._n_m or (1, 1)
        masks = {}
        for name, score in scores.items():
            if name in self._patterned:
                masks[name] = n_m_mask(score, n, m)
            else:
                masks[name] = torch.ones_like(score, dtype=torch.bool)
        return masks

    def exchange_weights(
        self, fraction: float, masks: Masks, gradients: list[torch.Tensor], seed: int
    ) -> Masks:
        """Masks with the same counts, a fraction of each layer's kept weights exchanged.

        The lowest scores are dropped. The weights with the largest gradients grow; without
        gradients, as in SET, random ones.

        Args:
            fraction: Fraction of each layer's kept weights to exchange, in [0, 1).
            masks: Masks to start from.
            gradients: A gradient for each layer, in order, of the weights' shapes; or none.
            seed: Seed of random scores.
        """
        drop_scores = self._score(self._score_context(masks, seed)).absolute_values()
        if gradients:
            grow_scores = dict(zip(self._weights, gradients, strict=True))
        else:
            context = self._score_context({}, derived_seed(seed, "grow"))
            grow_scores = random(context).values
        held = self._held(masks)
        exchanged = {}
        for name, mask in masks.items():
            # 1e-9: a fraction such as 0.3 times a multiple of ten may lie just below the integer.
            kept = count_nonzero([mask])
            count = math.floor(fraction * kept + 1e-9)
            if self.spec.regrow.rounding == "up":
                count = math.ceil(fraction * kept - 1e-9)
            drop = drop_scores[name]
            if name in held:
                drop = drop.masked_fill(held[name], torch.inf)
                count = min(count, kept - count_nonzero([held[name]]))
            exchanged[name] = exchange_weights(mask, drop, grow_scores[name].abs(), count)
        return exchanged

    def _candidates(self, masks: Masks) -> Masks | None:
        """True where a weight may be pruned; None: everywhere."""
        held = self._held(masks)
        if not held:
            return None
        candidates = {}
        for name, weight in self._weights.items():
            everywhere = torch.ones_like(weight, dtype=torch.bool)
            candidates[name] = ~held[name] if name in held else everywhere
        return candidates

    def _held(self, masks: Masks) -> Masks:
        """By layer with a weight norm, True at the largest weight of each slice in the mask.

        A slice without one would have a norm of zero, which the weight norm divides by.
        """
        held = {}
        for layer in self.layers:
            if layer.norm_dims:
                sizes = self._weights[layer.name].abs()
                if masks:
                    sizes = sizes.masked_fill(~masks[layer.name], -1)
                held[layer.name] = _largest_of_slices(sizes, layer.norm_dims)
        return held

    def _score_context(self, masks: Masks, seed: int) -> ScoreContext:
        def gradients(batches: int, batch_size: int | None, training: bool) -> Iterator[Tensors]:
            return self._gradients(seed, batches, batch_size, training)

        return ScoreContext(
            self._weights,
            masks,
            self.spec,
            derived_seed(self._trial_seed, "score", seed),
            gradients,
        )


def _largest_of_slices(sizes: torch.Tensor, dims: Sequence[int]) -> torch.Tensor:
    """True at the largest number of each slice along ``dims``, the first of equal ones."""
    others = [dim for dim in range(sizes.dim()) if dim not in dims]
    ordered = sizes.permute(*others, *dims)
    slices = ordered.reshape(math.prod(ordered.shape[: len(others)]), -1)
    chosen = torch.zeros_like(slices, dtype=torch.bool)
    chosen.scatter_(1, slices.argmax(1, keepdim=True), True)
    inverse = [[*others, *dims].index(dim) for dim in range(sizes.dim())]
    return chosen.view(ordered.shape).permute(*inverse).contiguous()
