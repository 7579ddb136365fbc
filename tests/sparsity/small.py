"""A small network on random data under a sparsifier, which is called as `train` calls it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from sparsetune.sparsity.flops import ForwardFlops, forward_flops
from sparsetune.sparsity.layers import prunable_weights
from sparsetune.sparsity.masks.exact import Masks
from sparsetune.sparsity.sparsifier import Sparsifier
from sparsetune.spec import OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import DigitsTask, TextTask
from sparsetune.tasks.images.resident import ResidentSplit
from sparsetune.tasks.network import ImageNetwork
from sparsetune.tasks.task import Splits, Task
from sparsetune.train.optim import build_optimizer
from sparsetune.train.probe import GradientProbe

EXAMPLES = 1293
"""A batch of all of them makes one step an epoch, so that a plan in epochs is one in steps."""
DEAD = 3
"""Inputs that are always zero, as some pixels are: their weights' gradients tie at zero."""


def network(sizes: Sequence[int], norm: bool = False) -> nn.Module:
    """Linear layers with ReLU between them; with ``norm``, batch norm too."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [
            nn.Linear(inputs, outputs),
            *([nn.BatchNorm1d(outputs)] if norm else []),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers[:-1])


@cache
def flops(sizes: tuple[int, ...], norm: bool) -> ForwardFlops:
    return forward_flops(network(sizes, norm), sizes[:1])


def data(inputs: int, classes: int, examples: int = 64) -> ResidentSplit:
    """Random examples, the first inputs dead."""
    generator = torch.Generator().manual_seed(7)
    drawn = torch.randn(examples, inputs, generator=generator)
    drawn[:, :DEAD] = 0
    return ResidentSplit(drawn, torch.randint(classes, (examples,), generator=generator))


def prune_lowest(weights: Mapping[str, nn.Parameter], sparsity: float) -> None:
    """Zero this fraction of all weights, halves rounded up: a sparse checkpoint to start from."""
    together = torch.cat([weight.detach().flatten() for weight in weights.values()])
    lowest = together.abs().argsort()[: math.floor(sparsity * len(together) + 0.5)]
    together[lowest] = 0
    parts = together.split([weight.numel() for weight in weights.values()])
    with torch.no_grad():
        for weight, part in zip(weights.values(), parts, strict=True):
            weight.copy_(part.view_as(weight))


class SmallRun:
    """A trial on batches of `batch_size` random examples; `at` counts the steps done."""

    batch_size = 16

    def __init__(
        self,
        sparsity: SparsitySpec,
        *,
        steps: int = 100,
        sizes: tuple[int, ...] = (20, 16, 12, 5),
        norm: bool = False,
        seed: int = 0,
        **optim: object,
    ) -> None:
        transfers = sparsity.method == "transfer"
        texts = TextTask(train_examples=EXAMPLES, batch_size=EXAMPLES)
        self.spec = TrialSpec(
            task=texts if transfers else DigitsTask(batch_size=EXAMPLES),
            schedule=ScheduleSpec(epochs=steps),
            optim=OptimSpec(**({"lr": 0.05} | optim)),
            sparsity=sparsity,
            seed=seed,
        ).checked()
        self.steps = steps
        self.at = 0
        torch.manual_seed(seed)
        self.model = network(sizes, norm)
        self.weights = prunable_weights(self.model)
        if transfers:
            prune_lowest(self.weights, sparsity.target)
        self.optimizer = build_optimizer(self.spec.optim, self.model)
        self.split = data(sizes[0], sizes[-1])
        task = Task(Splits(*[self.split] * 4), ImageNetwork("mlp", sizes[:1], sizes[-1]))
        self.probe = GradientProbe(task, self.model, self.weights, self.batch_size, seed)
        self.sparsifier = Sparsifier(
            self.spec, self.weights, self.optimizer, flops(sizes, norm), self.probe
        )

    def batch(self, step: int) -> ResidentSplit:
        """The examples of a step, the next in order."""
        rows = torch.arange(step * self.batch_size, (step + 1) * self.batch_size) % len(self.split)
        return ResidentSplit(self.split.inputs[rows], self.split.targets[rows])

    def begin(self) -> None:
        """First part of `step`: the changes before a forward pass."""
        self.sparsifier.before_forward(self.at)

    def backward(self) -> None:
        """Second part: the gradients of the step's batch."""
        batch = self.batch(self.at)
        loss = cross_entropy(self.model(batch.inputs), batch.targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.sparsifier.after_backward()

    def optimize(self) -> None:
        """Third part: the optimizer's step, unless a mask update takes its place."""
        if not self.sparsifier.replaces_step:
            self.optimizer.step()

    def settle(self) -> None:
        """Last part: the mask again, changes that waited, and those due at the end of training."""
        self.sparsifier.after_step()
        self.at += 1
        if self.at == self.steps:
            self.sparsifier.finish()

    def step(self) -> None:
        self.begin()
        self.backward()
        self.optimize()
        self.settle()

    def run(self, until: int | None = None) -> SmallRun:
        """Steps up to ``until`` of them, or all."""
        while self.at < (self.steps if until is None else until):
            self.step()
        return self

    def values(self) -> dict[str, torch.Tensor]:
        """The parameters as they are, apart from the run."""
        return {
            name: parameter.detach().clone() for name, parameter in self.model.named_parameters()
        }

    def effective(self) -> dict[str, torch.Tensor]:
        """The prunable weights that an evaluation sees."""
        with self.sparsifier.effective_weights():
            return {name: weight.detach().clone() for name, weight in self.weights.items()}

    def masks(self) -> Masks:
        return {name: mask.clone() for name, mask in self.sparsifier.masks().items()}

    def slots(self) -> dict[str, dict[str, torch.Tensor]]:
        """The optimizer's slots of each prunable weight, apart from the run."""
        state = self.optimizer.state
        return {
            name: {
                slot: value.clone()
                for slot, value in state[weight].items()
                if isinstance(value, torch.Tensor)
            }
            for name, weight in self.weights.items()
        }
