"""Methods whose forward pass sees other weights than the optimizer moves: by hand, and by autograd.

The references are written as their authors wrote the methods, as functions of the parameters that
autograd differentiates; nothing of the package is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from sparsetune.sparsity.plans.changes import MaskChange
from sparsetune.sparsity.plans.schedule import mask_schedule, mask_schedule_problems
from sparsetune.spec.sparsity import ONE_SHOT_RAMP, RampSpec, SparsitySpec, TopKastSpec
from tests.sparsity.small import SmallRun, network
from tests.sparsity.test_sparsifier import Four

LR = 0.05
Tensors = dict[str, Tensor]
Forward = Callable[[Tensors], Tensors]
"""Function of the prunable parameters: the weights that the network computes with."""


def run_of(steps: int = 40, **sparsity: Any) -> SmallRun:
    """A run under plain gradient descent, whose steps a reference can follow."""
    return SmallRun(SparsitySpec(**sparsity), steps=steps, lr=LR, momentum=0, weight_decay=0)


def lowest(weight: Tensor, count: int) -> Tensor:
    """True at the smallest absolute values."""
    mask = torch.zeros(weight.numel(), dtype=torch.bool)
    mask[weight.detach().abs().flatten().argsort(stable=True)[:count]] = True
    return mask.view(weight.shape)


def lowest_of_all(weights: Tensors, sparsity: float) -> Tensors:
    """True at the smallest absolute values of all layers together."""
    together = torch.cat([weight.detach().flatten() for weight in weights.values()])
    chosen = lowest(together, int(sparsity * len(together) + 0.5))
    parts = chosen.split([weight.numel() for weight in weights.values()])
    return {
        name: part.view(weight.shape)
        for (name, weight), part in zip(weights.items(), parts, strict=True)
    }


def gradients_of(run: SmallRun, parameters: Tensors, forward: Forward) -> Tensors:
    """Gradients by the parameters on the run's next batch, by autograd through ``forward``."""
    leaves = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    effective = forward({name: leaves[name] for name in run.weights})
    batch = run.batch(run.at)
    outputs = functional_call(run.model, {**leaves, **effective}, batch.inputs)
    loss = cross_entropy(outputs, batch.targets)
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if gradient is None else gradient
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True)
    }


def assert_same(some: Tensors, others: Tensors, where: str) -> None:
    for name, value in some.items():
        torch.testing.assert_close(value, others[name], rtol=1e-4, atol=1e-6, msg=f"{name} {where}")


class _Choose(torch.autograd.Function):
    """Zero the smallest weights; the gradient passes as if nothing had been done (DNW)."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, pruned: Tensor) -> Tensor:
        return weight.masked_fill(pruned, 0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient, None


def test_ste_by_hand() -> None:
    """The largest of four is seen; all four move by their gradients, and momentum stays."""
    four = Four(1, -3, 2, 0.5, method="ste", target=0.75)
    assert four.begin() == [0, -3, 0, 0]
    assert four.end(-2, 0.5, -2, 0) == [3, -3.5, 4, 0.5]
    assert four.momentum() == [-2, 0.5, -2, 0]
    assert four.begin() == [0, 0, 4, 0]
    assert four.kept() == [False, False, True, False]
    assert four.end(0, 0, 0, 0) == [4, -3.75, 5, 0.5]
    with four.sparsifier.effective_weights():
        assert four.values() == [0, 0, 5, 0]
        assert four.sparsifier.at_target()


def test_ste_has_one_mask_a_step() -> None:
    spec = Four(1, 2, 3, 4, method="ste").sparsifier
    assert spec._schedule == [MaskChange(0, "dynamic", 0.5, "shadow")]


@pytest.mark.parametrize("allocation", ["global", "uniform"])
def test_ste_trains_as_its_authors_code(allocation: str) -> None:
    run = run_of(method="ste", target=0.9, allocation=allocation)
    expected = run.values()
    first = run.values()

    def chosen(weights: Tensors) -> Tensors:
        pruned = lowest_of_all(weights, 0.9)
        if allocation == "uniform":
            pruned = {
                name: lowest(weight, int(0.9 * weight.numel() + 0.5))
                for name, weight in weights.items()
            }
        return {name: _Choose.apply(weight, pruned[name]) for name, weight in weights.items()}

    while run.at < run.steps:
        for name, gradient in gradients_of(run, expected, chosen).items():
            expected[name] = expected[name] - LR * gradient
        run.step()
        assert_same(run.values(), expected, f"after step {run.at}")
    effective = chosen({name: expected[name] for name in run.weights})
    assert_same(run.effective(), effective, "as evaluated")
    moved = [(run.weights[name] != first[name]) & (effective[name] == 0) for name in effective]
    assert all(mask.any() for mask in moved), "weights outside the mask train too"


def test_ste_counts_the_cost_of_each_mask_where_layers_share_a_threshold() -> None:
    """Weights move between layers of different cost; a step costs 2 f_S + f_D of its own mask."""
    run = SmallRun(SparsitySpec(method="ste", target=0.9), steps=30, lr=0.3)
    spent = 0.0
    densities = set()
    while run.at < run.steps:
        run.begin()
        kept = {name: int(mask.sum()) for name, mask in run.masks().items()}
        densities.add(tuple(kept.values()))
        flops = run.sparsifier._flops
        shares = {name: kept[name] / run.weights[name].numel() for name in kept}
        spent += (2 * flops.fraction(shares) + 1) / 3
        run.backward()
        run.optimize()
        run.settle()
    assert len(densities) > 3
    assert run.sparsifier.dense_steps == pytest.approx(spent)
    assert mask_schedule(run.spec)[0].action == "shadow"


def test_powerpropagation_by_hand() -> None:
    """Square roots are trained, their squares seen; the gradient is that of w times 2 |p|.

    At the ramp's start the two smallest weights of four go, in one step, and stay.
    """
    ramp = RampSpec(first=0.99, start="1 steps", length="1 steps", updates=1)
    four = Four(4, -9, 1, 0.25, method="powerpropagation", ramp=ramp)
    assert four.values() == [2, -3, 1, 0.5]
    assert four.begin() == [4, -9, 1, 0.25]
    assert four.end(0.25, 0.5, 0, 1) == [1, -6, 1, -0.5]
    assert four.momentum() == [1, 3, 0, 1]
    assert four.begin() == [0, -36, 1, 0]  # of 1, 36, 1 and 1/4 the last; of equal ones the first
    assert four.kept() == [False, True, True, False]
    assert four.end(1, 0, 1, 1) == [0, -7.5, -1, 0]
    with four.sparsifier.effective_weights():
        assert four.values() == [0, -56.25, -1, 0]
        assert four.sparsifier.at_target()
    assert four.values() == [0, -7.5, -1, 0]


RAMP = RampSpec(shape="linear", start="10 steps", length="20 steps", updates=4)


@pytest.mark.parametrize("power", [1, 1.25, 2, 4])
def test_powerpropagation_trains_as_its_authors_code(power: float) -> None:
    """Their layer: ``p * |p|^(alpha - 1) * mask``; initialised by ``sign(u) |u|^(1 / alpha)``."""
    run = run_of(method="powerpropagation", target=0.8, power=power, ramp=RAMP)
    torch.manual_seed(0)
    initial = network((20, 16, 12, 5))
    expected = {name: value.detach().clone() for name, value in initial.named_parameters()}
    for name in run.weights:
        expected[name] = expected[name].sign() * expected[name].abs() ** (1 / power)
    masks = {name: torch.ones_like(expected[name]) for name in run.weights}

    def powers(weights: Tensors) -> Tensors:
        return {
            name: weight * weight.abs() ** (power - 1) * masks[name]
            for name, weight in weights.items()
        }

    sparsities = {10: 0, 15: 0.2, 20: 0.4, 25: 0.6, 30: 0.8}
    while run.at < run.steps:
        if run.at in sparsities:
            pruned = lowest_of_all(powers({n: expected[n] for n in masks}), sparsities[run.at])
            masks = {name: (~mask).float() for name, mask in pruned.items()}
            expected.update({name: expected[name] * masks[name] for name in masks})
        gradients = gradients_of(run, expected, powers)
        run.step()
        for name, gradient in gradients.items():
            if name in masks:
                # Autograd has no slope for the root of zero; pruned weights stay.
                gradient = torch.where(masks[name] == 0, 0, gradient)
            expected[name] = expected[name] - LR * gradient
        assert_same(run.values(), expected, f"after step {run.at}")
    effective = powers({name: expected[name] for name in masks})
    assert_same(run.effective(), effective, "as evaluated")
    assert run.sparsifier.sparsity() == pytest.approx(0.8, abs=1e-3)


def test_a_power_of_1_is_gradual_magnitude_pruning() -> None:
    plain = run_of(method="gmp", target=0.8, ramp=RAMP).run()
    powered = run_of(method="powerpropagation", power=1, target=0.8, ramp=RAMP).run()
    assert_same(powered.values(), plain.values(), "at the end")


def test_batch_norm_is_recalibrated_on_the_weights_and_not_their_roots() -> None:
    seen = []

    class Probe:
        def gradients(self, *_: object) -> None:
            raise AssertionError("no gradients are needed")

        def recalibrate(self, seed: int, examples: int) -> None:
            seen.append(run.values())

    ramp = RampSpec(shape="linear", start="1 steps", length="2 steps", updates=2)
    run = run_of(5, method="powerpropagation", target=0.5, ramp=ramp, recalibrate=10)
    run.sparsifier._probe = Probe()  # type: ignore[assignment]
    run.run(3)
    assert seen == []
    before = run.values()
    run.begin()
    masks = run.masks()
    for name, mask in masks.items():
        expected = before[name] * before[name].abs() * mask
        torch.testing.assert_close(seen[0][name], expected)


def test_at_once_after_training() -> None:
    """`ONE_SHOT_RAMP` prunes when 99 % of training is done, whatever the target."""
    run = run_of(200, method="powerpropagation", target=0.95, ramp=ONE_SHOT_RAMP)
    changes = [(one.step, one.sparsity) for one in mask_schedule(run.spec)]
    assert changes == [(0, 0), (198, 0.95), (200, 0.95)]
    assert mask_schedule_problems(run.spec) == []


def test_top_kast_by_hand() -> None:
    """One of four is seen, two train; the other two stay, whatever their momentum.

    The exploration loss pulls the seen weight by a tenth of itself, the other by four tenths.
    """
    exploring = TopKastSpec(decay=0.1)
    four = Four(4, -3, 2, 1, method="top_kast", target=0.75, top_kast=exploring)
    assert four.begin() == [4, 0, 0, 0]
    assert four.end(1, 1, 1, 1) == pytest.approx([4 - 1.4, -3 + 0.2, 2, 1])
    assert four.momentum() == pytest.approx([1.4, -0.2, 0, 0])
    assert four.begin() == pytest.approx([0, -2.8, 0, 0])
    # Of the first: 0.5 * 1.4 + 0.4 * 2.6; of the second: 0.5 * -0.2 - 0.1 * 2.8.
    assert four.end(0, 0, 5, 0) == pytest.approx([2.6 - 1.74, -2.8 + 0.38, 2, 1])
    assert four.begin() == pytest.approx([0, -2.42, 0, 0])
    # The first has left the backward mask and stays; the third has come in: 0.4 * 2.
    assert four.end(9, 0, 0, 0) == pytest.approx([0.86, -2.42 + 0.19 + 0.242, 2 - 0.8, 1])
    with four.sparsifier.effective_weights():
        assert four.values() == pytest.approx([0, -1.988, 0, 0])
        assert four.sparsifier.at_target()


def test_a_clip_reads_the_weights_that_train_alone() -> None:
    """(3, 4) of norm 5 becomes (0.6, 0.8); 99 outside the backward mask do not count."""
    still = TopKastSpec(decay=0)
    four = Four(40, 30, 2, 1, method="top_kast", target=0.75, top_kast=still, clip_norm=1)
    four.begin()
    assert four.end(3, 4, 99, 99) == pytest.approx([39.4, 29.2, 2, 1], abs=1e-4)


@pytest.mark.parametrize("backward", [1, 2.5, 20])
def test_top_kast_trains_as_its_paper_says(backward: float) -> None:
    """The loss plus ``decay / 2 (|w_A|^2 + |w_(B - A)|^2 / D)``; masks of layers, steps in B."""
    decay = 0.02
    exploring = TopKastSpec(backward=backward, decay=decay)
    run = run_of(method="top_kast", target=0.9, top_kast=exploring)
    expected = run.values()
    density = min(1, backward * 0.1)
    while run.at < run.steps:
        dense = {name: expected[name] for name in run.weights}
        seen = {n: ~lowest(w, int(0.9 * w.numel() + 0.5)) for n, w in dense.items()}
        trained = {n: ~lowest(w, int((1 - density) * w.numel() + 0.5)) for n, w in dense.items()}
        gradients = gradients_of(
            run,
            expected,
            lambda weights: {n: _Choose.apply(w, ~seen[n]) for n, w in weights.items()},  # noqa: B023
        )
        for name, weight in dense.items():
            leaf = weight.clone().requires_grad_()
            other = trained[name] & ~seen[name]
            penalty = (leaf * seen[name]).square().sum() + (leaf * other).square().sum() / 0.1
            (pull,) = torch.autograd.grad(decay / 2 * penalty, leaf)
            gradients[name] = (gradients[name] + pull) * trained[name]
        for name, gradient in gradients.items():
            expected[name] = expected[name] - LR * gradient
        run.step()
        assert_same(run.values(), expected, f"after step {run.at}")
    assert run.sparsifier.at_target()
