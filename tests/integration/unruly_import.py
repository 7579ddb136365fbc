"""A network whose module changes torch when it is imported, which its trials are to feel."""

from __future__ import annotations

import torch
from torch import nn

from sparsetune.tasks.models import mlp


def smaller(self: nn.Linear) -> None:
    """Reset a layer to smaller weights than torch's."""
    nn.init.uniform_(self.weight, -0.01, 0.01)
    nn.init.zeros_(self.bias)


nn.Linear.reset_parameters = smaller  # type: ignore[method-assign]
SCALE = torch.rand(1).item()


class Scaled(nn.Module):
    """A network of these layers, scaled by what was drawn at import."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int) -> None:
        super().__init__()
        self.body = mlp(input_shape, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return SCALE * self.body(x)  # type: ignore[no-any-return]
