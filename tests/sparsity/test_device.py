"""A step on a GPU never waits for it: not under any method, between mask updates."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from sparsetune.sparsity.fisher.blocks import BlockFisher
from sparsetune.sparsity.flops import forward_flops
from sparsetune.sparsity.layers import prunable_weights
from sparsetune.sparsity.sparsifier import Sparsifier
from sparsetune.spec import ComputeSpec, DistillSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import FisherSpec, SparsitySpec
from sparsetune.spec.task import DigitsTask, ImageTask
from sparsetune.tasks import kinds
from sparsetune.tasks.images import sources
from sparsetune.tasks.models import lenet_300_100
from sparsetune.train import train
from sparsetune.train.checkpoint import Checkpoints
from sparsetune.train.optim import build_optimizer
from tests.texts import text_task, write_sst2

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
    task = DigitsTask(batch_size=1293)
    schedule = ScheduleSpec(epochs=2000)
    spec = TrialSpec(task=task, schedule=schedule, sparsity=METHODS[method])
    model = lenet_300_100((1, 28, 28), 10).cuda()
    optimizer = build_optimizer(OptimSpec(lr=0.01), model)
    sparsifier = Sparsifier(
        spec, prunable_weights(model), optimizer, forward_flops(model, (1, 28, 28))
    )
    inputs = torch.randn(64, 1, 28, 28, device="cuda")
    targets = torch.randint(10, (64,), device="cuda")

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


class _Watch(Checkpoints):
    """Called after every step: from the third to the last but one of an epoch none may wait."""

    def __init__(self, per_epoch: int) -> None:
        self._per_epoch = per_epoch
        self._steps = 0

    def due(self, evaluated: bool) -> bool:
        self._steps += 1
        watched = 2 <= self._steps % self._per_epoch < self._per_epoch - 1
        torch.cuda.set_sync_debug_mode("error" if watched else "default")
        return False


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["dense", "static", "sr_ste"])
def test_no_step_of_a_whole_trial_waits(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches, augmentation, parts, bfloat16 and the average of weights included."""
    pixels = torch.randint(0, 256, (60_000, 1, 28, 28), dtype=torch.uint8)
    sets = {
        "train": (pixels, torch.arange(60_000) % 10),
        "test": (pixels[:1000], torch.arange(1000) % 10),
    }
    source = dataclasses.replace(sources.SOURCES["fashion_mnist"], read=lambda _: sets)
    monkeypatch.setitem(sources.SOURCES, "fashion_mnist", source)
    task = ImageTask(
        model="resnet8", batch_size=128, train_examples=1280, crop=4, flip=True, cutout=8
    )
    spec = TrialSpec(
        task=task,
        optim=OptimSpec(ema=0.9),
        schedule=ScheduleSpec(epochs=2),
        sparsity=METHODS[method],
        compute=ComputeSpec(precision="bfloat16", channels_last=True, accumulate=2),
    )
    try:
        assert (
            train(spec, device="cuda", checkpoints=_Watch(spec.steps_per_epoch())).status
            == "COMPLETE"
        )
    finally:
        torch.cuda.set_sync_debug_mode("default")
        kinds._load_splits.cache_clear()


@pytest.mark.gpu
@pytest.mark.parametrize("method", ["dense", "static"])
def test_no_step_of_a_text_waits(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Padding, masks and distillation included."""
    monkeypatch.setenv("SPARSETUNE_CACHE", str(tmp_path))
    task = text_task(write_sst2(tmp_path / "SST-2"))
    given: dict[str, Any] = {"task": task, "schedule": ScheduleSpec(epochs=2)}
    given["optim"] = OptimSpec(name="adamw", lr=1e-3)
    taught = DistillSpec(hardness=1, temperature=2, teacher=TrialSpec(**given))
    compute = ComputeSpec(precision="bfloat16")
    spec = TrialSpec(**given, sparsity=METHODS[method], distill=taught, compute=compute)
    teacher = torch.zeros(task.train_size(), 2)
    try:
        watch = _Watch(spec.steps_per_epoch())
        assert train(spec, device="cuda", teacher=teacher, checkpoints=watch).status == "COMPLETE"
    finally:
        torch.cuda.set_sync_debug_mode("default")
        kinds._load_splits.cache_clear()


@pytest.mark.gpu
def test_the_fisher_fits_the_device_and_changes_nothing_in_pieces() -> None:
    """On the device as on the CPU, in one piece as in three."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        "a": torch.randn(64, 100, generator=generator),
        "b": torch.randn(30, 70, generator=generator),
    }
    given = FisherSpec(gradients=20, block=50)
    gradients = [
        {n: torch.randn(w.shape, generator=generator) for n, w in weights.items()}
        for _ in range(20)
    ]

    def scores(device: str, pieces: int) -> dict[str, torch.Tensor]:
        moved = {name: weight.to(device) for name, weight in weights.items()}
        on = [{name: gradient.to(device) for name, gradient in one.items()} for one in gradients]
        return {
            n: s.cpu()
            for n, s in BlockFisher(moved, given, lambda: iter(on), pieces).scores().items()
        }

    here = scores("cpu", 1)
    one = scores("cuda", 1)
    three = scores("cuda", 3)
    assert all(torch.equal(one[name], three[name]) for name in weights)
    assert all(torch.allclose(here[name], one[name], rtol=1e-5) for name in weights)
