"""The choice of the next mask: score, allocation and pattern together, and what is exchanged."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import torch

from sparsetune.seeds import derived_seed
from sparsetune.sparsity.layers import layers_of
from sparsetune.sparsity.masks.allocation import LayerGroup, allocate
from sparsetune.sparsity.masks.exact import Masks, compute_masks, count_nonzero
from sparsetune.sparsity.masks.patterns import n_m_mask
from sparsetune.sparsity.masks.regrow import exchange_weights
from sparsetune.sparsity.scores import SCORES, ScoreContext, Tensors
from sparsetune.spec import TrialSpec
from sparsetune.spec.sparsity import parse_pattern

Compensate = Callable[[Masks], None]


class GradientSource(Protocol):
    """Passes over training data beside training, which leave no trace in the trial's random state."""

    def gradients(
        self, seed: int, batches: int, batch_size: int | None, training: bool
    ) -> Iterator[Tensors]:
        """Mean gradients of the prunable weights on so many batches, drawn by ``seed``; see `Moment.gradients`."""

    def recalibrate(self, seed: int, examples: int) -> None:
        """Estimate batch-norm statistics anew on training examples drawn by ``seed``."""


class MaskChooser:
    """Chooses masks for one trial's network.

    Args:
        spec: A canonical trial.
        weights: Prunable weights by name, effective whenever a mask is chosen.
        gradients: As `ScoreContext` has them, with a seed in front.
    """

    def __init__(
        self,
        spec: TrialSpec,
        weights: Mapping[str, torch.Tensor],
        gradients: Callable[[int, int, int | None, bool], Iterator[Tensors]],
    ) -> None:
        self.spec = spec.sparsity.resolved()
        self.layers = layers_of(weights)
        self._trial_seed = spec.seed
        self._weights = weights
        self._gradients = gradients
        self._n_m = parse_pattern(self.spec.pattern)
        pruned = {
            name for group in self.groups(self.spec.target) if group.pruned for name in group.names
        }
        self._patterned = pruned if self._n_m else set()

    def groups(self, sparsity: float) -> list[LayerGroup]:
        """Which layers compete, and how many of their weights are pruned."""
        return allocate(self.layers, sparsity, self.spec)

    def prune(
        self, sparsity: float, masks: Masks, seed: int, score: str | None = None
    ) -> tuple[Masks, Compensate | None]:
        """Masks of a sparsity nested in those in force (empty: none are), and how survivors make up for the pruned."""
        scored = SCORES[score or self.spec.score or "magnitude"](self._moment(masks, seed))
        groups = self.groups(sparsity)
        if self._n_m is None:
            chosen = compute_masks(scored.values, groups, masks or None, absolute=scored.absolute)
            return chosen, scored.compensate
        scores = scored.absolute_values()
        if masks:
            scores = {
                name: score.masked_fill(~masks[name], -torch.inf) for name, score in scores.items()
            }
        return compute_masks(
            scores, groups, masks or None, candidates=self._candidates(scores)
        ), scored.compensate

    def _candidates(self, scores: Tensors) -> Masks:
        """What the pattern lets go: the lowest of every M weights, in layers that are pruned at the target."""
        kept = self._n_m_masks(scores)
        return {name: ~mask for name, mask in kept.items()}

    def straight_through_masks(self) -> Masks:
        """N:M masks of the weights as they are now."""
        return self._n_m_masks({name: weight.abs() for name, weight in self._weights.items()})

    def _n_m_masks(self, scores: Tensors) -> Masks:
        n, m = self._n_m or (1, 1)
        return {
            name: n_m_mask(score, n, m)
            if name in self._patterned
            else torch.ones_like(score, dtype=torch.bool)
            for name, score in scores.items()
        }

    def exchange_weights(
        self, fraction: float, masks: Masks, gradients: list[torch.Tensor], seed: int
    ) -> Masks:
        """Masks with the same counts, a fraction of each layer's kept weights exchanged.

        The lowest scores are dropped; what has the largest of ``gradients`` grows, or for SET (no gradients) a random
        choice.
        """
        drop = SCORES[self.spec.score or "magnitude"](self._moment(masks, seed)).absolute_values()
        if gradients:
            grow = dict(zip(self._weights, gradients, strict=True))
        else:
            grow = self._random(derived_seed(seed, "grow"))
        exchanged = {
            name: math.floor(fraction * count_nonzero([mask]) + 1e-9)
            for name, mask in masks.items()
        }
        return {
            name: exchange_weights(mask, drop[name], grow[name].abs(), exchanged[name])
            for name, mask in masks.items()
        }

    def _random(self, seed: int) -> Tensors:
        return SCORES["random"](self._moment({}, seed)).values

    def _moment(self, masks: Masks, seed: int) -> ScoreContext:
        def gradients(batches: int, batch_size: int | None, training: bool) -> Iterator[Tensors]:
            return self._gradients(seed, batches, batch_size, training)

        return ScoreContext(
            self._weights,
            masks,
            self.spec,
            derived_seed(self._trial_seed, "score", seed),
            gradients,
        )
