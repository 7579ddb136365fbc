"""Checks that users call: each says in a sentence what a function breaks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch

from sparsetune.sparsity.layers import Layer
from sparsetune.sparsity.masks.allocation import LayerGroup
from sparsetune.sparsity.scores import ScoreContext, ScoreResult
from sparsetune.spec.sparsity import RampSpec, SparsitySpec
from sparsetune.testing import check_allocation, check_ramp, check_score


def square(fraction: float, ramp: RampSpec, target: float) -> float:
    first = min(ramp.first, target)
    return first + (target - first) * (1 - (1 - fraction) ** 2)


def even(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
    return [LayerGroup((one.name,), math.floor(sparsity * one.weights + 0.5)) for one in layers]


def taylor(context: ScoreContext) -> ScoreResult:
    """Squares of weight times gradient (Molchanov et al. 2019, arXiv 1906.10771)."""
    (gradients,) = context.gradients(1, None, True)
    weights = context.weights.items()
    return ScoreResult({name: (weight * gradients[name]) ** 2 for name, weight in weights})


def test_functions_that_keep_their_contracts_pass() -> None:
    check_ramp(square)
    check_allocation(even)
    check_score(taylor)


@pytest.mark.parametrize(
    ("ramp", "sentence"),
    [
        (lambda f, ramp, target: 0.1, "must start at its first sparsity, got 0.1 at 0 of a"),
        (lambda f, ramp, target: min(ramp.first, target), "must end at its target, 0.5, got 0"),
        (lambda f, ramp, target: 2 * f * target, "must not exceed its target, got"),
        (
            lambda f, ramp, target: square(1 - abs(1 - 2 * f), ramp, target),
            "must not fall, got 0.5, then",
        ),
        (lambda f, ramp, target: float("nan"), "must return a finite sparsity, got nan at 0"),
        (lambda f, ramp, target: None, "must return a finite sparsity, got None at 0"),
    ],
)
def test_a_faulty_ramp(ramp: Callable[[float, RampSpec, float], float], sentence: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_ramp(ramp)
    assert sentence in str(caught.value)


def group(layers: Sequence[Layer], pruned: float) -> list[LayerGroup]:
    return [LayerGroup(tuple(layer.name for layer in layers), round(pruned))]


def total(layers: Sequence[Layer]) -> int:
    return sum(layer.weights for layer in layers)


@pytest.mark.parametrize(
    ("allocation", "sentence"),
    [
        (lambda layers, s, spec: even(layers[1:], s, spec), "each layer must be in one group, got"),
        (lambda layers, s, spec: even([*layers, *layers], s, spec), "must be in one group, got"),
        (lambda layers, s, spec: {"conv": 3}, "must return a list of LayerGroup, got {"),
        (lambda layers, s, spec: group(layers, -1), "must prune 0 to 9269 weights, got -1 at"),
        (lambda layers, s, spec: group(layers, 1), "nothing may be pruned at a sparsity of 0"),
        (lambda layers, s, spec: group(layers, s**2 * total(layers)), "together must prune 46.3"),
        (
            lambda layers, s, spec: even(layers, s, spec) if s < 0.3 else group(layers, s * 9269),
            "the groups must stay as they are, got others at 0.3",
        ),
    ],
)
def test_a_faulty_allocation(
    allocation: Callable[[Sequence[Layer], float, SparsitySpec], list[LayerGroup]], sentence: str
) -> None:
    with pytest.raises(AssertionError) as caught:
        check_allocation(allocation)
    assert sentence in str(caught.value)


def test_an_allocation_whose_layers_come_back() -> None:
    def swings(layers: Sequence[Layer], sparsity: float, spec: SparsitySpec) -> list[LayerGroup]:
        """Ten more of the first layer's weights between 20 and 60 of 200, and ten fewer of the
        other's.
        """
        pruned = round(200 * sparsity)
        shift = 10 if 20 <= pruned < 60 else 0
        return [
            LayerGroup(("a",), pruned // 2 + shift),
            LayerGroup(("b",), pruned - pruned // 2 - shift),
        ]

    layers = [Layer("a", (10, 10)), Layer("b", (10, 10))]
    with pytest.raises(AssertionError, match="no group may prune fewer weights as the sparsity"):
        check_allocation(swings, layers=layers)


def scores(context: ScoreContext, value: float) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(weight, value) for name, weight in context.weights.items()}


def changes_weights(context: ScoreContext) -> ScoreResult:
    for weight in context.weights.values():
        weight.mul_(2)
    return ScoreResult(scores(context, 1.0))


def draws_globally(context: ScoreContext) -> ScoreResult:
    torch.rand(1)
    return ScoreResult(scores(context, 1.0))


class Counting:
    """A score that depends on how often it was asked."""

    calls = 0

    def __call__(self, context: ScoreContext) -> ScoreResult:
        self.calls += 1
        return ScoreResult(scores(context, float(self.calls)))


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        (lambda context: dict(context.weights), "must return a ScoreResult, got dict"),
        (lambda context: ScoreResult(dict(context.weights)), "scores of a must be at least 0"),
        (lambda context: ScoreResult({"a": context.weights["a"]}), "a, b; got a"),
        (lambda context: ScoreResult(scores(context, math.nan)), "scores of a must be finite"),
        (
            lambda context: ScoreResult(
                {name: weight.abs().sum(1) for name, weight in context.weights.items()}
            ),
            "scores of a must have the shape (3, 4), got (3,)",
        ),
        (changes_weights, "must not change weights, got others in a"),
        (draws_globally, "must draw from a generator with the context's seed"),
        (Counting(), "the same context must give the same scores, got others in a"),
    ],
)
def test_a_faulty_score(score: Callable[[ScoreContext], ScoreResult], sentence: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_score(score)
    assert sentence in str(caught.value)
