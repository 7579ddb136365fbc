"""How a sparsity is shared among the layers: which of them compete, and for how many places."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sparsetune.durations import round_half_up


@dataclass(frozen=True)
class Layer:
    """One prunable weight tensor: its parameter's name and shape."""

    name: str
    shape: tuple[int, ...]

    @property
    def weights(self) -> int:
        """How many there are."""
        return math.prod(self.shape)

    @property
    def convolution(self) -> bool:
        """Whether it is a kernel: a linear layer's weight has two dimensions."""
        return len(self.shape) > 2


@dataclass(frozen=True)
class Group:
    """Layers under one threshold, and exactly how many of their weights lie outside the mask."""

    names: tuple[str, ...]
    pruned: int


Allocation = Callable[[Sequence[Layer], float], list[Group]]


def global_(layers: Sequence[Layer], sparsity: float) -> list[Group]:
    """One threshold over all prunable weights; no layer is spared."""
    pruned = round_half_up(sparsity * sum(layer.weights for layer in layers))
    return [Group(tuple(layer.name for layer in layers), pruned)]


def uniform(layers: Sequence[Layer], sparsity: float) -> list[Group]:
    """The same sparsity in every layer, but a first convolution stays dense (Evci et al. 2020, section 3)."""
    spared = layers[0].name if layers and layers[0].convolution else None
    return [
        Group((layer.name,), 0 if layer.name == spared else round_half_up(sparsity * layer.weights)) for layer in layers
    ]


ALLOCATIONS: dict[str, Allocation] = {"global": global_, "uniform": uniform}
"""Each puts every layer into exactly one group."""
