"""What a step of `train` costs against a bare PyTorch loop: LeNet-300-100, batch 128, one thread, the same run.

    python tests/benchmarks/step_cost.py [repeats]

Four epochs of 20,000 random images of Fashion-MNIST's shape, so that it runs anywhere; evaluations are left out. The
time is that of the processor, so that other work on the machine disturbs it little.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch.nn import functional

from sparsetune import tasks
from sparsetune.checkpoint import Checkpoints
from sparsetune.optim import learning_rate
from sparsetune.spec import ImageTask, ScheduleSpec, SparsitySpec, TrialSpec
from sparsetune.tasks.models import lenet_300_100
from sparsetune.train import train

EXAMPLES, BATCH, EPOCHS, REPEATS = 20_000, 128, 4, 3


def bare(steps: int, inputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Seconds a step of the plainest loop with like batches, the same optimizer and a learning rate set every step."""
    model = lenet_300_100((1, 28, 28), 10).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, fused=True)
    order = torch.randperm(len(targets))
    spec = TrialSpec()
    start = time.process_time()
    per_epoch = len(targets) // BATCH
    for step in range(steps):
        batch = step % per_epoch
        chosen = order[batch * BATCH : (batch + 1) * BATCH]
        optimizer.param_groups[0]["lr"] = learning_rate(spec, step, steps)
        loss = functional.cross_entropy(model(inputs[chosen]), targets[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
    return (time.process_time() - start) / steps


class Clock(Checkpoints):
    """Adds up the time from step to step, evaluations left out, and never writes."""

    def __init__(self) -> None:
        self.seconds, self.steps, self._last = 0.0, 0, 0.0

    def due(self, evaluated: bool) -> bool:
        now = time.process_time()
        if self._last and not evaluated:
            self.seconds, self.steps = self.seconds + now - self._last, self.steps + 1
        self._last = now
        return False


def ours(sparsity: SparsitySpec) -> float:
    """Seconds a step of `train`."""
    clock = Clock()
    train(
        TrialSpec(
            task=ImageTask(train_examples=EXAMPLES, batch_size=BATCH),
            schedule=ScheduleSpec(epochs=EPOCHS),
            sparsity=sparsity,
        ),
        checkpoints=clock,
    )
    return clock.seconds / clock.steps


def main() -> None:
    """Print median microseconds a step, and the ratio to the bare loop's."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (60_000, 1, 28, 28), generator=generator, dtype=torch.uint8)
    targets = torch.randint(0, 10, (60_000,), generator=generator)
    sets = {"train": (inputs, targets), "test": (inputs[:100], targets[:100])}
    source = tasks.SOURCES["fashion_mnist"]
    random_data = tasks.Source(source.input_shape, source.n_classes, source.prepare, lambda _: sets, source.normalised)
    floats = source.normalised(inputs[:EXAMPLES])
    rows: dict[str, Callable[[], float]] = {
        "bare loop": lambda: bare(EPOCHS * (EXAMPLES // BATCH), floats, targets[:EXAMPLES]),
        "dense": lambda: ours(SparsitySpec()),
        "one mask throughout": lambda: ours(SparsitySpec(method="one_shot", target=0.9, prune_at=0.0)),
        "gmp, 50 updates": lambda: ours(SparsitySpec(method="gmp", target=0.9)),
        "acdc": lambda: ours(SparsitySpec(method="acdc", target=0.9)),
    }
    with patch.dict(tasks.SOURCES, {"fashion_mnist": random_data}):
        times: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS):
            for name, measure in rows.items():
                times[name].append(measure())
    base = statistics.median(times["bare loop"])
    print(f"{'':22}{'us/step':>10}{'ratio':>8}")
    for name, values in times.items():
        print(f"{name:22}{statistics.median(values) * 1e6:10.0f}{statistics.median(values) / base:8.2f}")


if __name__ == "__main__":
    main()
