"""How much a weight matters: the lowest scores are pruned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch

from sparsetune.seeds import derived_seed
from sparsetune.sparsity.fisher.blocks import BlockFisher
from sparsetune.sparsity.masks.exact import Masks
from sparsetune.spec.sparsity import SparsitySpec

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class ScoreContext:
    """What a score may look at: the network at the time of a mask update.

    Args:
        weights: By layer, those outside the mask zero; not to be changed.
        masks: In force; empty where the network is dense.
        spec: Resolved.
        seed: For whatever the score draws at this update.
        gradients: Gradients of ``weights`` on so many batches of that many examples (None: training's batch size), in
            training mode or evaluation mode; every call gives the same.
    """

    weights: Mapping[str, torch.Tensor]
    masks: Masks
    spec: SparsitySpec
    seed: int
    gradients: Callable[[int, int | None, bool], Iterator[Tensors]]


@dataclass(frozen=True)
class ScoreResult:
    """Scores of every weight, and what becomes of the survivors once the newly pruned (True) are known.

    Args:
        values: By layer, of the weights' shapes.
        absolute: Whether their absolute values are meant, of which a mask update then makes no copy.
        compensate: Changes the survivors in place.
    """

    values: Tensors
    absolute: bool = False
    compensate: Callable[[Masks], None] | None = None

    def absolute_values(self) -> Tensors:
        """The scores themselves, absolute values taken."""
        return (
            {name: value.abs() for name, value in self.values.items()}
            if self.absolute
            else self.values
        )


Score = Callable[[ScoreContext], ScoreResult]


def magnitude(moment: ScoreContext) -> ScoreResult:
    """``|w|`` (Janowsky 1989; Han et al. 2015)."""
    return ScoreResult(dict(moment.weights), absolute=True)


def random(moment: ScoreContext) -> ScoreResult:
    """Uniform in [0, 1), a function of the moment's seed and the layer's name: the control."""
    return ScoreResult(
        {
            name: _uniform_scores(weight, derived_seed(moment.seed, name))
            for name, weight in moment.weights.items()
        }
    )


def _uniform_scores(like: torch.Tensor, seed: int) -> torch.Tensor:
    return torch.rand(like.shape, generator=torch.Generator().manual_seed(seed)).to(like.device)


def saliency(moment: ScoreContext) -> ScoreResult:
    """``|g w|`` with the mean gradient of training batches (SNIP, Lee et al. 2019, eq. 6)."""
    batches = moment.spec.saliency_batches
    summed = {name: torch.zeros_like(weight) for name, weight in moment.weights.items()}
    for gradients in moment.gradients(batches, None, True):
        for name, gradient in gradients.items():
            summed[name] += gradient / batches
    return ScoreResult(
        {name: (summed[name] * weight).abs() for name, weight in moment.weights.items()}
    )


def fisher(moment: ScoreContext) -> ScoreResult:
    """``w^2 / (2 [F^-1]_qq)`` with the block-diagonal empirical Fisher; survivors make up for what is pruned.

    Gradients are taken in evaluation mode, within the mask (Kurtic et al. 2022, arXiv 2203.07259, section 3.2).
    """
    given = moment.spec.fisher

    def within_mask() -> Iterator[Tensors]:
        for gradients in moment.gradients(given.gradients, given.batch_size, False):
            yield {
                name: g * moment.masks[name] if moment.masks else g for name, g in gradients.items()
            }

    estimate = BlockFisher(moment.weights, given, within_mask)
    return ScoreResult(estimate.scores(), compensate=estimate.compensate)


SCORES: dict[str, Score] = {
    "magnitude": magnitude,
    "random": random,
    "saliency": saliency,
    "fisher": fisher,
}
"""Each gives finite scores of the weights' shapes, not negative unless absolute values are meant; no weight changes."""
