"""A step on a GPU never waits for it: not under any method, between mask updates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch.nn.functional import cross_entropy

from sparsetune.optim import build_optimizer
from sparsetune.sparsity.flops import forward_flops
from sparsetune.sparsity.layers import prunable_weights
from sparsetune.sparsity.sparsifier import Sparsifier
from sparsetune.sparsity_spec import SparsitySpec
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.task_spec import DigitsTask
from sparsetune.tasks.models import lenet_300_100

METHODS = {
    "dense": SparsitySpec(),
    "static": SparsitySpec(method="static", target=0.9),
    "rigl": SparsitySpec(method="rigl", target=0.9, reset="none"),
    "sr_ste": SparsitySpec(method="sr_ste", target=0.5, pattern="2:4"),
}


@contextmanager
def no_waiting() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.parametrize("method", list(METHODS))
def test_no_step_waits_for_the_device(method: str) -> None:
    task, schedule = DigitsTask(batch_size=1293), ScheduleSpec(epochs=2000)
    spec = TrialSpec(task=task, schedule=schedule, sparsity=METHODS[method])
    model = lenet_300_100((1, 28, 28), 10).cuda()
    optimizer = build_optimizer(OptimSpec(lr=0.01), model)
    sparsifier = Sparsifier(spec, prunable_weights(model), optimizer, forward_flops(model, (1, 28, 28)))
    inputs, targets = torch.randn(64, 1, 28, 28, device="cuda"), torch.randint(10, (64,), device="cuda")

    def step(number: int) -> None:
        sparsifier.before_forward(number)
        loss = cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        sparsifier.after_backward()
        optimizer.step()
        sparsifier.after_step()

    for number in range(3):
        step(number)
    with no_waiting():
        for number in range(3, 20):
            step(number)
