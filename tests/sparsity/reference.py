"""Slow, obvious NumPy versions of GMP, AC/DC and RigL, to compare the package with.

Nothing of the package is imported here. Weights are float32 arrays by name; those of two dimensions
are pruned and decayed, biases neither. Each method yields its masks and weights after every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
Weights = dict[str, Array]
Masks = dict[str, Mask]
Gradients = Callable[[Weights, int], Weights]
"""Function of weights and a step: the gradient of the loss on the step's batch, by weight."""
Trace = Iterator[tuple[Masks, Weights]]


@dataclass(frozen=True)
class Recipe:
    """Length of training, and stochastic gradient descent's settings."""

    steps: int
    lr: float
    momentum: float
    weight_decay: float


def gmp(
    weights: Weights,
    gradients: Gradients,
    recipe: Recipe,
    target: float,
    start: int,
    end: int,
    gap: int,
) -> Trace:
    """Gradual magnitude pruning (Zhu & Gupta 2017).

    Every ``gap`` steps of the ramp, the lowest magnitudes of the whole network are pruned.
    """
    masks = dense(weights)
    momentum = zeros(weights)
    for step in range(recipe.steps):
        if start <= step <= end and (step - start) % gap == 0:
            left = 1 - (step - start) / (end - start)
            masks = prune_globally(weights, masks, target - target * left * left * left)
            weights = masked(weights, masks)
        descend(weights, momentum, masks, gradients(weights, step), recipe)
        yield masks, weights


def acdc(
    weights: Weights,
    gradients: Gradients,
    recipe: Recipe,
    target: float,
    phases: list[tuple[int, int]],
) -> Trace:
    """AC/DC (Peste et al. 2021, algorithm 1).

    It is compressed in each half-open range of steps of ``phases``, and dense otherwise.
    """
    masks = dense(weights)
    momentum = zeros(weights)
    for step in range(recipe.steps):
        for first, after in phases:
            if step == first:
                masks = prune_globally(weights, dense(weights), target)
                weights = masked(weights, masks)
            if step == after:
                masks = dense(weights)
                momentum = zeros(weights)
        descend(weights, momentum, masks, gradients(weights, step), recipe)
        yield masks, weights


def rigl(
    weights: Weights,
    masks: Masks,
    gradients: Gradients,
    recipe: Recipe,
    *,
    fraction: float,
    every: int,
    until: int,
    batches: int = 1,
    reset_grown: bool = True,
) -> Trace:
    """RigL (Evci et al. 2020, algorithm 1) from given masks.

    Weights grow by the summed gradients of the last ``batches``.
    """
    weights = masked(weights, masks)
    momentum = zeros(weights)
    recent: list[Weights] = []
    for step in range(recipe.steps):
        dense_gradients = gradients(weights, step)
        recent = [*recent, dense_gradients][-batches:]
        if step > 0 and step % every == 0 and step < until:
            exchanged = fraction / 2 * (1 + math.cos(math.pi * step / until))
            for name in masks:
                summed = np.sum([batch[name] for batch in recent], axis=0, dtype=np.float32)
                before = masks[name]
                # A whole number may come out just below.
                number = math.floor(exchanged * before.sum() + 1e-9)
                survivors = without_lowest(np.abs(weights[name]), before, number)
                stay_pruned = int((~survivors).sum()) - number
                grown = without_lowest(np.abs(summed), ~survivors, stay_pruned)
                masks = masks | {name: survivors | grown}
                if reset_grown:
                    momentum[name] = np.where(masks[name] & ~before, np.float32(0), momentum[name])
            weights = masked(weights, masks)
        else:
            descend(weights, momentum, masks, dense_gradients, recipe)
        yield masks, weights


def descend(
    weights: Weights, momentum: Weights, masks: Masks, gradients: Weights, recipe: Recipe
) -> None:
    """One step in place: gradients within the mask, weight decay, momentum, and the mask again."""
    for name in weights:
        gradient = gradients[name]
        if name in masks:
            gradient = gradient * masks[name] + np.float32(recipe.weight_decay) * weights[name]
        momentum[name] = np.float32(recipe.momentum) * momentum[name] + gradient
        weights[name] = weights[name] - np.float32(recipe.lr) * momentum[name]
        if name in masks:
            weights[name] = weights[name] * masks[name]


def prune_globally(weights: Weights, masks: Masks, sparsity: float) -> Masks:
    """Masks within those given that prune this fraction of all their entries, halves rounded up."""
    scores = np.concatenate([np.abs(weights[name]).ravel() for name in masks])
    mask = np.concatenate([masks[name].ravel() for name in masks])
    pruned = math.floor(sparsity * mask.size + 0.5)
    kept = without_lowest(scores, mask, pruned - int((~mask).sum()))
    found = {}
    start = 0
    for name in masks:
        end = start + masks[name].size
        found[name] = kept[start:end].reshape(masks[name].shape)
        start = end
    return found


def without_lowest(scores: Array, mask: Mask, number: int) -> Mask:
    """The mask without its ``number`` entries with the lowest scores.

    Of equal scores the first go.
    """
    kept = mask.ravel().copy()
    for index in np.argsort(scores, axis=None, kind="stable"):
        if number > 0 and kept[index]:
            kept[index] = False
            number -= 1
    return kept.reshape(mask.shape)


def erk_kept(shapes: dict[str, tuple[int, ...]], sparsity: float) -> dict[str, float]:
    """Weights that each layer keeps under ERK, before rounding.

    Layers that would exceed their size are dense.
    """
    size = {name: math.prod(shape) for name, shape in shapes.items()}
    full: set[str] = set()
    while True:
        budget = (1 - sparsity) * sum(size.values()) - sum(size[name] for name in full)
        share = {name: sum(shape) for name, shape in shapes.items() if name not in full}
        kept = {name: budget * share[name] / sum(share.values()) for name in share}
        over = {name for name in kept if kept[name] > size[name]}
        if not over:
            return kept | {name: float(size[name]) for name in full}
        full |= over


def masked(weights: Weights, masks: Masks) -> Weights:
    return {
        name: weight * masks[name] if name in masks else weight for name, weight in weights.items()
    }


def dense(weights: Weights) -> Masks:
    return {
        name: np.ones(weight.shape, dtype=bool)
        for name, weight in weights.items()
        if weight.ndim > 1
    }


def zeros(weights: Weights) -> Weights:
    return {name: np.zeros_like(weight) for name, weight in weights.items()}
