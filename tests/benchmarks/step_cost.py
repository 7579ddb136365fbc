"""What a training step costs: ours against a bare PyTorch loop, masked against dense,
`torch.nn.utils.prune` beside.

All trainings advance in turn, some steps each, on the same random images, so that it runs anywhere.
A round's time is the median of its steps, which leaves rare mask updates out; the mean over all
steps is noted beside it. Evaluations are left out. Peak memory is of each training alone, the
images it reads not counted.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch.nn import functional
from torch.nn.utils import prune

from sparsetune.sparsity.layers import PRUNABLE_MODULES
from sparsetune.sparsity.methods.registry import METHODS
from sparsetune.spec import ComputeSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec import task as task_spec
from sparsetune.spec.rates import learning_rate
from sparsetune.spec.sparsity import AcdcSpec, FisherSpec, RampSpec, SparsitySpec
from sparsetune.spec.task import ImageTask
from sparsetune.tasks import kinds
from sparsetune.tasks.images import sources
from sparsetune.tasks.images.resident import ResidentSource, ResidentSplit
from sparsetune.tasks.models import build_model
from sparsetune.train import train
from sparsetune.train.checkpoint import Checkpoints
from sparsetune.train.compute import DTYPE_BY_PRECISION
from tests.benchmarks.mask_update import peak_bytes
from tests.benchmarks.rows import Row, Turn, in_turn

CLASSES = 10
SPARSITY = 0.9
BARE = "bare loop"
PRUNED = "bare loop with torch.nn.utils.prune"
HELD_OUT = CLASSES
"""Examples of the smallest validation split, which no time counts."""
Loop = Callable[[Turn], object]


@dataclass(frozen=True)
class Setting:
    """A network and how it is timed: in so many rounds, for some steps in each after others that
    are not.
    """

    model: str
    input_shape: tuple[int, ...]
    examples: int
    batch: int
    rounds: int
    timed: int
    untimed: int
    limit: float
    """Of a masked step over a dense one."""
    methods: tuple[str, ...] = tuple(
        method for method in METHODS if method != "transfer"
    )  # of encoders
    dense_limit: float = 1.05
    """Of our dense step over that of the bare loop."""
    epochs: int = 20
    label_smoothing: float = 0
    compute: ComputeSpec = TrialSpec().compute
    memory: bool = False
    """Whether the peak of each training is measured."""


LENET = Setting(
    "lenet_300_100", (1, 28, 28), 20_000, 128, rounds=100, timed=5, untimed=2, limit=1.10
)
RESNET18 = Setting(
    "resnet18",
    (3, 32, 32),
    6_400,
    64,
    rounds=28,
    timed=1,
    untimed=0,
    limit=1.05,
    # one_shot and obert have steps like those of static and gmp; the Fisher of 11 million weights
    # takes 2 GB
    methods=tuple(method for method in METHODS if method not in ("one_shot", "obert", "transfer")),
)
RESNET50 = Setting(
    "resnet50",
    (3, 176, 176),
    4_096,
    256,
    rounds=20,
    timed=5,
    untimed=1,
    limit=1.05,
    methods=("dense", "gmp", "rigl", "acdc"),
    dense_limit=1 / 0.97,  # 0.97 of the bare loop's images per second
    epochs=125,
    label_smoothing=0.1,
    compute=ComputeSpec(precision="bfloat16", channels_last=True),
    memory=True,
)
"""As ImageNet is trained on a GPU: a CPU takes a minute a step."""
DECLARED: dict[str, dict[str, Any]] = {
    "dense": {"target": 0.0},
    "one_shot": {"prune_at": 0.0},
    "gmp": {"ramp": RampSpec(start=0)},
    "granet": {"ramp": RampSpec(start=0, length=0.5)},
    "obert": {"ramp": RampSpec(start=0, updates=10), "fisher": FisherSpec(gradients=16)},
    "acdc": {"acdc": AcdcSpec(warmup=0, compress=0.3, decompress=0.05, last_dense=0.05, final=0.2)},
    "sr_ste": {"target": 0.5, "pattern": "2:4"},
    "powerpropagation": {"ramp": RampSpec(start=0)},
}
"""What puts masks in force from the start, where a method's defaults do not."""


def step_rows(setting: Setting, rounds: int, device: str = "cpu") -> list[Row]:
    """A row for the bare loop, for it with `torch.nn.utils.prune`, for our dense step, and for
    every method.
    """
    loops: dict[str, Loop] = {
        BARE: partial(bare, setting, device),
        PRUNED: partial(bare, setting, device, pruned=True),
    }
    for method in setting.methods:
        sparsity = SparsitySpec.model_validate(
            {"method": method, "target": SPARSITY} | DECLARED.get(method, {})
        )
        loops[method] = partial(ours, setting, sparsity, device)
    with random_images(setting.input_shape, setting.examples + HELD_OUT):
        taken = in_turn(loops, rounds, setting.timed, setting.untimed, device)
        peaks = (
            {name: _peak(loop, device) for name, loop in loops.items()} if setting.memory else {}
        )
    return [_row(setting, name, taken[name], peaks.get(name, {})) for name in loops]


def _row(setting: Setting, name: str, taken: list[list[float]], peak: dict[str, float]) -> Row:
    against = None if name == BARE else BARE if name in ("dense", PRUNED) else "dense"
    limit = {BARE: None, PRUNED: None, "dense": setting.dense_limit}.get(name, setting.limit)
    mean = statistics.fmean(second for steps in taken for second in steps)
    seconds = [statistics.median(steps) for steps in taken]
    notes = {"mean_seconds": mean, "per_second": setting.batch / statistics.median(seconds), **peak}
    return Row(
        f"a step of {setting.model}, batch {setting.batch}, and images a second",
        name,
        seconds,
        against,
        limit,
        notes=notes,
    )


def _peak(loop: Loop, device: str) -> dict[str, float]:
    """Of a few steps, the first among them; the images lie in memory before, for all loops
    together.
    """
    work = partial(in_turn, {"alone": loop}, rounds=1, timed=2, untimed=0, device=device)
    return {"mebibytes": peak_bytes(work, device) / 2**20}


def _trial(setting: Setting, sparsity: SparsitySpec) -> TrialSpec:
    task = ImageTask(
        model=setting.model,
        validation=HELD_OUT,
        train_examples=setting.examples,
        batch_size=setting.batch,
        label_smoothing=setting.label_smoothing,
    )
    schedule = ScheduleSpec(epochs=setting.epochs)
    return TrialSpec(
        task=task,
        optim=OptimSpec(lr=0.01),
        schedule=schedule,
        sparsity=sparsity,
        compute=setting.compute,
    )


class Clock(Checkpoints):
    """Told of the end of every step; never writes."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def due(self, evaluated: bool) -> bool:
        self._turn.tick(counts=not evaluated)
        return False


def ours(setting: Setting, sparsity: SparsitySpec, device: str, turn: Turn) -> None:
    """Steps of `train`."""
    train(_trial(setting, sparsity), checkpoints=Clock(turn), device=device)


def bare(setting: Setting, device: str, turn: Turn, pruned: bool = False) -> None:
    """Steps of the plainest loop: the same images, optimizer and arithmetic, a learning rate set at
    every step.
    """
    trial = _trial(setting, SparsitySpec())
    compute = setting.compute
    train_split = kinds.load_task(trial.task, device=device).splits.train
    assert isinstance(train_split, ResidentSplit)
    inputs = train_split.inputs
    targets = train_split.targets
    layout = torch.channels_last if compute.channels_last else torch.contiguous_format
    model = build_model(setting.model, setting.input_shape, CLASSES).to(device).train()
    if pruned:
        weights = [
            (module, "weight") for module in model.modules() if isinstance(module, PRUNABLE_MODULES)
        ]
        prune.global_unstructured(weights, prune.L1Unstructured, amount=SPARSITY)  # type: ignore[no-untyped-call]
    model.to(memory_format=layout)  # last: `prune` takes no other than the usual
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True
    )
    order = torch.randperm(setting.examples, device=device)
    total = trial.total_steps()
    per_epoch = trial.steps_per_epoch()
    size = setting.batch
    rate = learning_rate(trial)
    for step in range(total):
        batch = step % per_epoch
        chosen = order[batch * size : (batch + 1) * size]
        optimizer.param_groups[0]["lr"] = rate(step)
        images = inputs[chosen]
        if compute.channels_last:
            images = images.contiguous(memory_format=layout)
        with _autocast(compute, device):
            loss = functional.cross_entropy(
                model(images), targets[chosen], label_smoothing=setting.label_smoothing
            )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        turn.tick()


def _autocast(compute: ComputeSpec, device: str) -> AbstractContextManager[Any]:
    """Nothing at all in float32, as a bare loop is written."""
    if compute.precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, DTYPE_BY_PRECISION[compute.precision])


@contextmanager
def random_images(
    input_shape: tuple[int, ...], examples: int = 60_000, dataset: str = "fashion_mnist"
) -> Iterator[None]:
    """While open, that data set has so many random training images of that shape."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (examples, *input_shape), generator=generator, dtype=torch.uint8)
    targets = torch.arange(examples) % CLASSES
    sets = {"train": (inputs, targets), "test": (inputs[:10], targets[:10])}
    source = sources.SOURCES[dataset]
    images = ResidentSource(input_shape, CLASSES, source.prepare, lambda _: sets, source.normalised)
    with (
        patch.dict(sources.SOURCES, {dataset: images}),
        patch.dict(task_spec.IMAGE_TRAIN_SIZES, {dataset: examples}),
    ):
        yield
