"""Trainings by `train`, recorded step by step, and what a user's loop has of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sparsetune.loops.sparse_training import SparseTraining
from sparsetune.seeds import seed_generators
from sparsetune.sparsity.masks.exact import Masks
from sparsetune.sparsity.scores import ScoreContext, ScoreResult
from sparsetune.sparsity.sparsifier import Sparsifier
from sparsetune.spec import EvaluateSpec, OptimSpec, ScheduleSpec, TrialSpec
from sparsetune.spec.rates import learning_rate
from sparsetune.spec.sparsity import SparsitySpec
from sparsetune.spec.task import DigitsTask
from sparsetune.tasks.kinds import load_task
from sparsetune.tasks.task import Batch, Task, TrainingBatch
from sparsetune.train import TrialResult, train
from sparsetune.train import loop as trainer
from sparsetune.train.initialisation import initialisation_seed
from sparsetune.train.optim import build_optimizer
from tests.train.test_resume import METHOD_SPECS

BATCH_SIZE = 200


def without_recalibration(given: dict[str, Any]) -> dict[str, Any]:
    """What a user's loop does itself: see the refusal of `recalibrate`."""
    return {name: value for name, value in given.items() if name != "recalibrate"}


METHODS = {
    name: {"method": name, **without_recalibration(given)} for name, given in METHOD_SPECS.items()
}
"""A short schedule of every method."""


def trial(optimizer: str = "sgd", *, lr: str = "linear", **sparsity: Any) -> TrialSpec:
    """A trial of six steps an epoch."""
    given = {"target": 0.8, "epochs": 4} | sparsity
    return TrialSpec(
        task=DigitsTask(batch_size=BATCH_SIZE),
        optim=OptimSpec(name=optimizer, lr=0.02),
        schedule=ScheduleSpec(epochs=given.pop("epochs"), lr=lr, warmup=0),
        sparsity=SparsitySpec(**given),
        evaluate=EvaluateSpec(every="5 steps"),
        seed=3,
    ).canonical()


@dataclass
class Recorded:
    """A training by `train`.

    Args:
        masks: Masks that each step's forward pass saw, and at last the final ones.
        weights: Final effective weights.
        result: What it returned.
    """

    masks: list[Masks] = field(default_factory=list)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    result: TrialResult | None = None


def recorded(spec: TrialSpec, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Train by `train`, and record the masks of every step."""
    record = Recorded()

    class Recording(Sparsifier):
        def before_forward(self, step: int) -> None:
            super().before_forward(step)
            record.masks.append(copied(self.masks()))

        def finish(self) -> None:
            super().finish()
            with self.effective_weights():
                record.masks.append(copied(self.masks()))

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "Sparsifier", Recording)
        path = folder / "trained.safetensors"
        record.result = train(spec, save_to=path)
    record.weights = load_file(path)
    return record


def copied(masks: Masks) -> Masks:
    return {name: mask.clone() for name, mask in masks.items()}


class UserLoop:
    """A user's model, optimizer, data and extra batches: those of a trial, without its trainer."""

    def __init__(self, spec: TrialSpec, model: type[nn.Module] | None = None) -> None:
        self.spec = spec
        self.task: Task = load_task(spec.task)
        seed_generators(initialisation_seed(spec.task, spec.seed))
        built = self.task.build_model()
        self.model = model(*built) if model else built
        self.optimizer = build_optimizer(spec.optim, self.model)
        self.rate = learning_rate(spec)

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `sparsify` or of a callback, but for the length of training."""
        return {"seed": self.spec.seed, "losses": self.losses}

    def length(self) -> dict[str, int]:
        return {
            "total_steps": self.spec.total_steps(),
            "steps_per_epoch": self.spec.steps_per_epoch(),
            "batch_size": BATCH_SIZE,
        }

    def batches(self, first: int = 0) -> Iterator[TrainingBatch]:
        return iter(self.task.splits.train.training(self.spec, first))

    def losses(self, batches: int, batch_size: int | None, seed: int) -> Iterator[torch.Tensor]:
        """Losses of extra batches, as `sparsify` asks for them."""
        for inputs, targets in self.extra(batches, batch_size, seed):
            yield self.task.loss(self.model(inputs), targets)

    def extra(self, batches: int, batch_size: int | None, seed: int) -> Iterator[Batch]:
        """Random examples, none drawn a second time before all were drawn once."""
        split = self.task.splits.train
        size = batch_size or BATCH_SIZE
        generator = torch.Generator().manual_seed(seed)
        rounds = -(-batches * size // len(split))
        order = [torch.randperm(len(split), generator=generator) for _ in range(rounds)]
        yield from split.read(torch.cat(order)[: batches * size].split(size))

    def backward(self, batch: TrainingBatch) -> None:
        inputs, targets, _ = batch
        self.optimizer.zero_grad()
        self.task.loss(self.model(inputs), targets).backward()

    def run(
        self, training: SparseTraining, until: int | None = None, masks: list[Masks] | None = None
    ) -> list[bool]:
        """Steps up to ``until`` of them, or all; for each, whether the optimizer made it."""
        made = []
        first = training.steps
        last = training.total_steps if until is None else until
        for step, batch in zip(range(first, last), self.batches(first), strict=False):
            if masks is not None:
                masks.append(copied(training.masks()))
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate(step)
            self.backward(batch)
            made.append(training.step())
        if masks is not None and training.steps == training.total_steps:
            masks.append(copied(training.masks()))
        return made


def first_difference(one: Sequence[Masks], other: Sequence[Masks]) -> str:
    """Where two lists of masks differ first; empty if they are equal."""
    if len(one) != len(other):
        return f"{len(one)} and {len(other)} masks"
    for step, (masks, others) in enumerate(zip(one, other, strict=True)):
        if list(masks) != list(others):
            return f"step {step}: other layers"
        for name, mask in masks.items():
            if not mask.equal(others[name]):
                return f"step {step}: `{name}`"
    return ""


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}


def assert_same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not one[name].equal(other[name])] == []


def taylor(context: ScoreContext) -> ScoreResult:
    """A user's own score, which reads gradients."""
    (gradients,) = context.gradients(1, None, True)
    weights = context.weights.items()
    return ScoreResult({name: (weight * gradients[name]) ** 2 for name, weight in weights})
