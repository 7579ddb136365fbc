import math
from typing import Any

import pytest
import torch
from torch import nn

from sparsetune.optim import build_optimizer
from sparsetune.sparsity.flops import forward_flops, prunable_weights
from sparsetune.sparsity.sparsifier import Sparsifier, reset_moments
from sparsetune.spec import DigitsTask, OptimSpec, ScheduleSpec, SparsitySpec, TrialSpec
from sparsetune.tasks.models import mlp

TOTAL = 100


class Run:
    """A small network on random data under a sparsifier: 100 steps, one an epoch."""

    def __init__(self, optimizer: str = "sgd", lr: float = 0.01, **sparsity: Any) -> None:
        task, schedule = DigitsTask(batch_size=1293), ScheduleSpec(epochs=TOTAL)
        self.spec = TrialSpec(task=task, schedule=schedule, sparsity=SparsitySpec(**sparsity)).checked().canonical()
        torch.manual_seed(0)
        self.model = mlp((1, 8, 8), 10)
        self.weights = prunable_weights(self.model)
        self.optimizer = build_optimizer(OptimSpec(name=optimizer, lr=lr), self.model)
        self.sparsifier = Sparsifier(self.spec, self.weights, self.optimizer, forward_flops(self.model, (1, 8, 8)))

    def step(self, step: int) -> None:
        self.sparsifier.before_step(step)
        self.optimizer.zero_grad()
        self.model(torch.randn(16, 1, 8, 8)).square().mean().backward()
        self.optimizer.step()
        self.sparsifier.after_step()

    def zeros(self) -> int:
        return sum(int((weight == 0).sum()) for weight in self.weights.values())


def test_weights_outside_the_mask_stay_zero_after_every_step() -> None:
    run = Run(method="one_shot", target=0.9, prune_at=0.1)
    weights = sum(weight.numel() for weight in run.weights.values())
    for step in range(20):
        run.step(step)
        assert run.zeros() == (0 if step < 10 else round(0.9 * weights))
    assert run.sparsifier.at_target()
    assert run.sparsifier.sparsity() == round(0.9 * weights) / weights
    assert run.sparsifier.zeros_in_mask() == 0
    with torch.no_grad():
        weight = run.weights["1.weight"]
        weight[run.sparsifier.masks()["1.weight"]] = 0
    assert run.sparsifier.zeros_in_mask() == int(run.sparsifier.masks()["1.weight"].sum()) > 0


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_decompression_restarts_pruned_weights_at_zero_and_zeroes_all_momentum(name: str) -> None:
    run = Run(name, method="acdc", target=0.9)
    for step in range(15):
        run.step(step)
    pruned = {name: ~mask for name, mask in run.sparsifier.masks().items()}
    assert run.sparsifier.phase == "compressed"
    moments = [v for s in run.optimizer.state.values() for v in s.values()]
    assert all(moment.any() for moment in moments)
    run.sparsifier.before_step(15)
    assert run.sparsifier.phase == "decompressed"
    assert not any(moment.any() for moment in moments)
    assert all((run.weights[name][outside] == 0).all() for name, outside in pruned.items())
    run.step(15)
    assert run.zeros() < sum(int(outside.sum()) for outside in pruned.values())
    assert run.sparsifier.sparsity() == 0
    assert not run.sparsifier.at_target()


def test_compression_keeps_momentum() -> None:
    run = Run(method="acdc", target=0.9)
    for step in range(10):
        run.step(step)
    before = [s["momentum_buffer"].clone() for s in run.optimizer.state.values()]
    run.sparsifier.before_step(10)
    after = [s["momentum_buffer"] for s in run.optimizer.state.values()]
    assert all(torch.equal(first, second) for first, second in zip(before, after, strict=True))


def test_a_step_after_a_reset_is_that_of_a_fresh_optimizer() -> None:
    parameter = nn.Parameter(torch.ones(3, 3))
    optimizer = torch.optim.AdamW([parameter], lr=0.1, weight_decay=0, fused=True)
    for _ in range(50):
        parameter.grad = torch.full((3, 3), 5.0)
        optimizer.step()
    reset_moments(optimizer)
    before = parameter.detach().clone()
    parameter.grad = torch.full((3, 3), 1e-3)
    optimizer.step()
    assert torch.allclose(before - parameter, torch.full((3, 3), 0.1), atol=1e-4)  # Adam's first step is lr * sign


def test_mask_iou_compares_consecutive_pruning_masks() -> None:
    run = Run("adamw", method="acdc", target=0.5)
    for step in range(20):
        run.step(step)
        assert math.isnan(run.sparsifier.mask_iou)
    first = run.sparsifier._masks
    run.step(20)
    second = run.sparsifier.masks()
    both = sum(int((first[n] & second[n]).sum()) for n in first)
    either = sum(int((first[n] | second[n]).sum()) for n in first)
    assert run.sparsifier.mask_iou == both / either < 1


def test_a_gradual_ramp_only_shrinks_the_mask() -> None:
    run = Run(method="gmp", target=0.95)
    kept = [math.inf]
    for step in range(TOTAL):
        before = {name: mask.clone() for name, mask in run.sparsifier.masks().items()}
        run.step(step)
        assert all((mask <= before[name]).all() for name, mask in run.sparsifier.masks().items())
        kept.append(sum(int(mask.sum()) for mask in run.sparsifier.masks().values()))
    assert sorted(kept, reverse=True) == kept
    assert run.sparsifier.phase == "fixed"
    assert run.sparsifier.at_target()


def test_cost_follows_the_mask_in_force() -> None:
    run = Run(method="one_shot", target=0.75, allocation="uniform", prune_at=0.5)
    for step in range(TOTAL):
        run.step(step)
    assert run.sparsifier.inference_flops == pytest.approx(0.25)
    assert run.sparsifier.dense_steps == pytest.approx(50 + 50 * 0.25)
    dense = Run()
    for step in range(TOTAL):
        dense.step(step)
    assert dense.sparsifier.dense_steps == TOTAL


def test_a_change_due_at_the_end_is_made_by_finish() -> None:
    run = Run(method="one_shot", target=0.9, prune_at=1.0)
    for step in range(TOTAL):
        run.step(step)
    assert not run.sparsifier.at_target()
    run.sparsifier.finish()
    assert run.sparsifier.at_target()
    assert run.sparsifier.phase == "fixed"
