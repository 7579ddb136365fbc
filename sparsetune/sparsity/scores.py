"""Scores: how much each weight matters. The lowest scores are pruned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from sparsetune.errors import DeclarationError, Problem
from sparsetune.imports import import_function, is_import_path
from sparsetune.seeds import derived_seed
from sparsetune.sparsity.fisher.blocks import BlockFisher
from sparsetune.sparsity.masks.exact import Masks
from sparsetune.spec.sparsity import SparsitySpec

Tensors = dict[str, torch.Tensor]
"""A tensor of the weight's shape for each layer."""


@dataclass(frozen=True)
class ScoreContext:
    """The network at the time of a mask update: everything that a score may read.

    Args:
        weights: Weights by layer, zero outside the mask; not to be changed.
        masks: Masks in force; empty where the network is dense.
        spec: Resolved declaration.
        seed: Seed of what the score draws at this update.
        gradients: Function that yields mean gradients of ``weights``, given the number of batches,
            the examples in each (None: training's batch size) and whether the network is in
            training mode. Every call yields the same gradients.
    """

    weights: Mapping[str, torch.Tensor]
    masks: Masks
    spec: SparsitySpec
    seed: int
    gradients: Callable[[int, int | None, bool], Iterator[Tensors]]


@dataclass(frozen=True)
class ScoreResult:
    """Scores of every weight, and what becomes of the weights that survive.

    Args:
        values: Scores by layer, of the weights' shapes.
        absolute: True if the absolute values of ``values`` are the scores; a mask update then
            makes no copy of them.
        compensate: Function that changes the surviving weights in place, given the newly pruned
            ones (True) by layer; None if they stay.
    """

    values: Tensors
    absolute: bool = False
    compensate: Callable[[Masks], None] | None = None

    def absolute_values(self) -> Tensors:
        """Scores by layer, with absolute values taken where they are meant."""
        if not self.absolute:
            return self.values
        return {name: value.abs() for name, value in self.values.items()}


Score = Callable[[ScoreContext], ScoreResult]


def magnitude(context: ScoreContext) -> ScoreResult:
    """``|w|`` (Janowsky 1989; Han et al. 2015, arXiv 1506.02626)."""
    return ScoreResult(dict(context.weights), absolute=True)


def random(context: ScoreContext) -> ScoreResult:
    """Uniform numbers in [0, 1), by the context's seed and the layer's name: the control."""
    values = {}
    for name, weight in context.weights.items():
        # Drawn on the CPU: a device's generator would give other numbers for the same seed.
        generator = torch.Generator().manual_seed(derived_seed(context.seed, name))
        values[name] = torch.rand(weight.shape, generator=generator).to(weight.device)
    return ScoreResult(values)


def saliency(context: ScoreContext) -> ScoreResult:
    """``|g w|`` with the mean gradient of ``saliency_batches`` training batches.

    Source: SNIP, Lee et al. 2019, arXiv 1810.02340, equation 6.
    """
    batches = context.spec.saliency_batches
    mean = {name: torch.zeros_like(weight) for name, weight in context.weights.items()}
    for gradients in context.gradients(batches, None, True):
        for name, gradient in gradients.items():
            mean[name] += gradient / batches
    return ScoreResult(
        {name: (mean[name] * weight).abs() for name, weight in context.weights.items()}
    )


def fisher(context: ScoreContext) -> ScoreResult:
    """``w^2 / (2 [F^-1]_qq)`` with the block-diagonal empirical Fisher; survivors compensate.

    Gradients are taken in evaluation mode, within the mask.

    Source: oBERT, Kurtic et al. 2022, arXiv 2203.07259, section 3.2.
    """
    spec = context.spec.fisher
    masks = context.masks

    def gradients_within_mask() -> Iterator[Tensors]:
        # Zero gradients outside the mask keep pruned weights at zero when survivors compensate.
        for gradients in context.gradients(spec.gradients, spec.batch_size, False):
            yield {name: g * masks[name] if masks else g for name, g in gradients.items()}

    estimate = BlockFisher(context.weights, spec, gradients_within_mask)
    return ScoreResult(estimate.scores(), compensate=estimate.compensate)


SCORES: dict[str, Score] = {
    "magnitude": magnitude,
    "random": random,
    "saliency": saliency,
    "fisher": fisher,
}
"""Scores by name.

Each gives finite numbers of the weights' shapes, at least 0 unless absolute values are meant, and
changes no weight.
"""


def score_function(name: str) -> Score:
    """Score of that name, or at that import path; a user's own is checked at every use.

    Raises:
        DeclarationError: if the import path does not lead to a function.
    """
    if not is_import_path(name):
        return SCORES[name]
    score: Score = import_function(name, "sparsity.score")
    return partial(_checked_score, name, score)


def _checked_score(name: str, score: Score, context: ScoreContext) -> ScoreResult:
    """Result of a user's own score.

    Raises:
        DeclarationError: if it is not one score for each weight.
    """
    result = score(context)
    if not isinstance(result, ScoreResult):
        rule = "the score must return a ScoreResult"
        got = f"{type(result).__name__} from {name!r}"
        raise DeclarationError([Problem("sparsity.score", rule, got)])
    for layer, weight in context.weights.items():
        scores = result.values.get(layer)
        if scores is None or scores.shape != weight.shape:
            rule = f"the score must give `{layer}` scores of its shape, {tuple(weight.shape)}"
            got = "none" if scores is None else str(tuple(scores.shape))
            raise DeclarationError([Problem("sparsity.score", rule, f"{got} from {name!r}")])
    return result
