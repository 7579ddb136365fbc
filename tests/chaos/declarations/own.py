"""Functions of a user's own that generated declarations name: sound ones, and faulty ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from sparsetune import METHODS, MaskChange, TrialSpec
from sparsetune.sparsity.scores import ScoreContext, ScoreResult


def data(count: int = 200) -> dict[str, Any]:
    """Vectors of six numbers, and which of the first three is largest."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count + 60, 6, generator=generator)
    targets = inputs[:, :3].argmax(1)
    return {"train": (inputs[:count], targets[:count]), "test": (inputs[count:], targets[count:])}


def numbers() -> dict[str, Any]:
    """Vectors of six numbers, and their sum."""
    sound = data()
    return {part: (inputs, inputs.sum(1)) for part, (inputs, _) in sound.items()}


def net(input_shape: tuple[int, ...], n_outputs: int, width: int = 16) -> nn.Module:
    """A network of one hidden layer."""
    return nn.Sequential(
        nn.Linear(input_shape[-1], width), nn.ReLU(), nn.Linear(width, n_outputs or 1)
    )


def convolutions(input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """A network for images."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, n_outputs),
    )


def halves(spec: TrialSpec) -> list[MaskChange]:
    """A random mask, and one exchange in the middle of training."""
    target = spec.sparsity.target
    exchange = MaskChange(spec.total_steps() // 2, "fixed", target, "regrow", exchanged=0.5)
    return [MaskChange(0, "dynamic", target, "draw"), exchange]


HALVES = replace(METHODS["rigl"], name="halves", plan=halves, schedule_rules=())


def raising(*args: Any, **given: Any) -> Any:
    """Raise."""
    raise RuntimeError("no GPU is left\nsecond line")


def nothing(*args: Any, **given: Any) -> None:
    """Return None."""


def leaving(*args: Any, **given: Any) -> None:
    """Leave the process, as a script does."""
    raise SystemExit(3)


NO_FUNCTION = 7


def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy."""
    return nn.functional.cross_entropy(outputs, targets)


def regret(outputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Share of wrong answers."""
    return float((outputs.argmax(1) != targets).float().mean())


def score(context: ScoreContext) -> ScoreResult:
    """Magnitude."""
    return ScoreResult(dict(context.weights), absolute=True)


def ramp(progress: float, spec: Any, target: float) -> float:
    """A straight line."""
    return progress * target


def falling(progress: float, spec: Any, target: float) -> float:
    """A ramp that goes the wrong way."""
    return (1 - progress) * target


def decay(progress: float) -> float:
    """A straight line to zero."""
    return 1 - progress


def optimizer(groups: Any, lr: float, momentum: float = 0.0) -> torch.optim.Optimizer:
    """SGD."""
    return torch.optim.SGD(groups, lr=lr, momentum=momentum)
