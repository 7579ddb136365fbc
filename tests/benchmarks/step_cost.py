"""What a training step costs: ours against a bare PyTorch loop, masked against dense, `torch.nn.utils.prune` beside.

All trainings advance in turn, some steps each, on random images, so that it runs anywhere. A round's time is the median
of its steps, which leaves rare mask updates out; the mean over all steps is noted beside it. Evaluations are left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch.nn import functional
from torch.nn.utils import prune

from sparsetune import tasks
from sparsetune.checkpoint import Checkpoints
from sparsetune.schedule import learning_rate
from sparsetune.sparsity.layers import PRUNABLE
from sparsetune.sparsity.methods import METHODS
from sparsetune.sparsity_spec import AcdcSpec, FisherSpec, RampSpec, SparsitySpec
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.task_spec import ImageTask
from sparsetune.tasks.models import build_model
from sparsetune.train import train
from tests.benchmarks.rows import Row, Turn, in_turn

CLASSES = 10
SPARSITY = 0.9
BARE, PRUNED = "bare loop", "bare loop with torch.nn.utils.prune"
DENSE_LIMIT = 1.05
"""Of our dense step over that of the bare loop."""


@dataclass(frozen=True)
class Setting:
    """A network and how it is timed: in so many rounds, for some steps in each after others that are not."""

    model: str
    input_shape: tuple[int, ...]
    examples: int
    batch: int
    rounds: int
    timed: int
    untimed: int
    limit: float
    """Of a masked step over a dense one."""
    without: tuple[str, ...] = ()
    """Methods left out."""


LENET = Setting("lenet_300_100", (1, 28, 28), 20_000, 128, rounds=100, timed=5, untimed=2, limit=1.10)
RESNET18 = Setting(
    "resnet18",
    (3, 32, 32),
    6_400,
    64,
    rounds=28,
    timed=1,
    untimed=0,
    limit=1.05,
    without=("one_shot", "obert"),  # steps like those of static and gmp; the Fisher of 11 million weights takes 2 GB
)
DECLARED: dict[str, dict[str, Any]] = {
    "dense": {"target": 0.0},
    "one_shot": {"prune_at": 0.0},
    "gmp": {"ramp": RampSpec(start=0)},
    "granet": {"ramp": RampSpec(start=0, length=0.5)},
    "obert": {"ramp": RampSpec(start=0, updates=10), "fisher": FisherSpec(gradients=16)},
    "acdc": {"acdc": AcdcSpec(warmup=0, compress=0.3, decompress=0.05, last_dense=0.05, final=0.2)},
    "sr_ste": {"target": 0.5, "pattern": "2:4"},
}
"""What puts masks in force from the start, where a method's defaults do not."""


def step_rows(setting: Setting, rounds: int, device: str = "cpu") -> list[Row]:
    """A row for the bare loop, for it with `torch.nn.utils.prune`, for our dense step, and for every method."""
    loops: dict[str, Callable[[Turn], object]] = {
        BARE: partial(bare, setting, device),
        PRUNED: partial(bare, setting, device, pruned=True),
    }
    for method in METHODS:
        if method not in setting.without:
            sparsity = SparsitySpec.model_validate({"method": method, "target": SPARSITY} | DECLARED.get(method, {}))
            loops[method] = partial(ours, setting, sparsity, device)
    with random_images(setting.input_shape):
        taken = in_turn(loops, rounds, setting.timed, setting.untimed, device)
    return [_row(setting, name, taken[name]) for name in loops]


def _row(setting: Setting, name: str, taken: list[list[float]]) -> Row:
    against = None if name == BARE else BARE if name in ("dense", PRUNED) else "dense"
    limit = {BARE: None, PRUNED: None, "dense": DENSE_LIMIT}.get(name, setting.limit)
    mean = statistics.fmean(second for steps in taken for second in steps)
    seconds = [statistics.median(steps) for steps in taken]
    return Row(
        f"a step of {setting.model}, batch {setting.batch}", name, seconds, against, limit, notes={"mean_seconds": mean}
    )


def _trial(setting: Setting, sparsity: SparsitySpec) -> TrialSpec:
    task = ImageTask(model=setting.model, validation=10, train_examples=setting.examples, batch_size=setting.batch)
    return TrialSpec(task=task, optim=OptimSpec(lr=0.01), schedule=ScheduleSpec(epochs=20), sparsity=sparsity)


class _Clock(Checkpoints):
    """Told of the end of every step; never writes."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def due(self, evaluated: bool) -> bool:
        self._turn.tick(counts=not evaluated)
        return False


def ours(setting: Setting, sparsity: SparsitySpec, device: str, turn: Turn) -> None:
    """Steps of `train`."""
    train(_trial(setting, sparsity), checkpoints=_Clock(turn), device=device)


def bare(setting: Setting, device: str, turn: Turn, pruned: bool = False) -> None:
    """Steps of the plainest loop: like batches, the same optimizer, a learning rate set at every step."""
    inputs = torch.randn(setting.examples, *setting.input_shape, device=device)
    targets = torch.randint(0, CLASSES, (setting.examples,), device=device)
    model = build_model(setting.model, setting.input_shape, CLASSES).to(device).train()
    if pruned:
        weights = [(module, "weight") for module in model.modules() if isinstance(module, PRUNABLE)]
        prune.global_unstructured(weights, prune.L1Unstructured, amount=SPARSITY)  # type: ignore[no-untyped-call]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True)
    order, trial = torch.randperm(setting.examples, device=device), _trial(setting, SparsitySpec())
    total, per_epoch, size = trial.total_steps(), trial.steps_per_epoch(), setting.batch
    rate = learning_rate(trial)
    for step in range(total):
        batch = step % per_epoch
        chosen = order[batch * size : (batch + 1) * size]
        optimizer.param_groups[0]["lr"] = rate(step)
        loss = functional.cross_entropy(model(inputs[chosen]), targets[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        turn.tick()


@contextmanager
def random_images(input_shape: tuple[int, ...]) -> Iterator[None]:
    """While open, Fashion-MNIST has random images of that shape."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (60_000, *input_shape), generator=generator, dtype=torch.uint8)
    targets = torch.randint(0, CLASSES, (60_000,), generator=generator)
    sets = {"train": (inputs, targets), "test": (inputs[:10], targets[:10])}
    source = tasks.SOURCES["fashion_mnist"]
    images = tasks.Source(input_shape, CLASSES, source.prepare, lambda _: sets, source.normalised)
    with patch.dict(tasks.SOURCES, {"fashion_mnist": images}):
        yield
