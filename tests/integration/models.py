"""Networks that a user might write, well or badly."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torch import nn

from sparsetune.tasks.models import mlp


class Fragile(nn.Module):
    """Raises in training when its weights have moved far: at a learning rate of 30, not at 0.1 or
    at 1e20.
    """

    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        self.body = mlp(input_shape, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(x)
        if not logits.is_meta and self.training and 60 < logits.detach().abs().max() < 1e6:
            raise RuntimeError("the logits left the range that I was built for")
        return logits


class Deadly(nn.Module):
    """Takes its process down with it, as a driver's bug would."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        self.body = mlp(input_shape, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not x.is_meta:
            os._exit(7)
        return self.body(x)  # type: ignore[no-any-return]


class Tiring(nn.Module):
    """Raises at its fiftieth training step in one process life: a second attempt from a checkpoint
    gets through.
    """

    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        self.body = mlp(input_shape, n_classes)
        self.steps = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training and not x.is_meta
        if self.steps == 50:
            raise RuntimeError("fifty steps are enough")
        return self.body(x)  # type: ignore[no-any-return]


class Greedy(nn.Module):
    """Wants more memory than any machine has."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        self.body = mlp(input_shape, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not x.is_meta:
            torch.empty(2**60)
        return self.body(x)  # type: ignore[no-any-return]


class Swelling(nn.Module):
    """Takes five gibibytes at its thirtieth training step, but only where the file that `SWELLING`
    names is not yet.
    """

    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        self.body = mlp(input_shape, n_classes)
        self.steps = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training and not x.is_meta
        mark = Path(os.environ.get("SWELLING", ""))
        if self.steps == 30 and not mark.exists():
            mark.write_text("taken")
            self.taken = [torch.ones(1 << 28) for _ in range(5)]
            time.sleep(60)  # Ray looks every quarter of a second
        return self.body(x)  # type: ignore[no-any-return]
