"""How one threshold over all weights will share its places among the layers, told from the weights before training.

Layers with many inputs start with small weights and lose most of them. Training moves this little: of a ResNet-8 on
digits, pruned gradually by 90 %, 0.208 of the dense FLOPs were left after 40 epochs, 0.209 are forecast so, and 0.1
would be with every layer pruned equally.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from sparsetune.sparsity.masks.allocation import LayerGroup

SAMPLED_WEIGHTS_PER_LAYER = 4096
"""Weights of a layer that stand for all of it."""
MAX_THRESHOLDS = 4096
"""At which shares are counted; between two of them they are interpolated."""

Floats = npt.NDArray[np.float64]


class Magnitudes:
    """Sampled weights of a network, from the smallest magnitude up.

    Args:
        weights: The prunable ones, by layer.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self._sizes = {name: weight.numel() for name, weight in weights.items()}
        self._samples = {name: _sample_magnitudes(weight) for name, weight in weights.items()}
        self._tables: dict[tuple[str, ...], tuple[Floats, Floats]] = {}

    def densities(self, group: LayerGroup) -> dict[str, float]:
        """The share of each of the group's layers that lies above its threshold, in [0, 1]."""
        if group.names not in self._tables:
            self._tables[group.names] = self._table(group.names)
        below, pruned = self._tables[group.names]
        shares = {
            name: np.interp(group.pruned, below, each)
            for name, each in zip(group.names, pruned, strict=True)
        }
        return {
            name: max(0.0, 1 - float(share) / self._sizes[name]) for name, share in shares.items()
        }

    def _table(self, names: tuple[str, ...]) -> tuple[Floats, Floats]:
        """Weights below each threshold, from none to all: of the group [n], and of each layer [n_layers, n]."""
        samples = [self._samples[name] for name in names]
        order = np.concatenate(samples).argsort(kind="stable")
        layer = np.repeat(np.arange(len(samples)), [len(sample) for sample in samples])[order]
        stands_for = np.array([self._sizes[name] / len(self._samples[name]) for name in names])[
            layer
        ]
        n = min(MAX_THRESHOLDS, len(layer))
        part = np.arange(len(layer)) * n // len(layer)
        counts = np.bincount(layer * n + part, stands_for, len(names) * n).reshape(len(names), n)
        pruned = np.concatenate([np.zeros((len(names), 1)), counts.cumsum(axis=1)], axis=1)
        return pruned.sum(axis=0), pruned


def _sample_magnitudes(weight: torch.Tensor) -> Floats:
    every = -(-weight.numel() // SAMPLED_WEIGHTS_PER_LAYER)
    return weight.detach().flatten()[::every].abs().double().numpy()
