"""Densities of layers under one threshold over all weights, estimated before training.

Layers with many inputs start with small weights and lose most of them, and training changes this
little. A ResNet-8 on digits, pruned gradually by 90 %, had 0.208 of its dense FLOPs left after 40
epochs; the estimate is 0.209, and 0.1 would be left with every layer pruned equally.
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
"""Thresholds at which pruned weights are counted; counts between two are interpolated."""

Floats = npt.NDArray[np.float64]


class Magnitudes:
    """Sampled magnitudes of a network's weights.

    Args:
        weights: Prunable weights by parameter name.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self._sizes = {name: weight.numel() for name, weight in weights.items()}
        self._samples = {name: _sample_magnitudes(weight) for name, weight in weights.items()}
        self._counts: dict[tuple[str, ...], tuple[Floats, Floats]] = {}

    def densities(self, group: LayerGroup) -> dict[str, float]:
        """Fraction of each layer's weights above the group's threshold, in [0, 1], by name."""
        if group.names not in self._counts:
            self._counts[group.names] = self._count_pruned(group.names)
        in_group, in_layers = self._counts[group.names]
        density: dict[str, float] = {}
        for name, in_layer in zip(group.names, in_layers, strict=True):
            pruned = float(np.interp(group.pruned, in_group, in_layer))
            density[name] = max(0.0, 1 - pruned / self._sizes[name])
        return density

    def _count_pruned(self, names: tuple[str, ...]) -> tuple[Floats, Floats]:
        """Weights below each threshold, from none of them to all.

        Returns:
            Counts over the group, [thresholds], and in each layer, [layers, thresholds].
        """
        samples = [self._samples[name] for name in names]
        lengths = [len(sample) for sample in samples]
        # Layer of each sample, and the number of weights it stands for, by rising magnitude.
        order = np.concatenate(samples).argsort(kind="stable")
        layer = np.repeat(np.arange(len(samples)), lengths)[order]
        weights_per_sample = np.array(
            [self._sizes[name] / len(self._samples[name]) for name in names]
        )
        represented = weights_per_sample[layer]
        # Thresholds cut the samples into n parts of equal length.
        n = min(MAX_THRESHOLDS, len(layer))
        part = np.arange(len(layer)) * n // len(layer)
        counts = np.bincount(layer * n + part, represented, len(names) * n).reshape(len(names), n)
        none_pruned = np.zeros((len(names), 1))
        pruned = np.concatenate([none_pruned, counts.cumsum(axis=1)], axis=1)
        return pruned.sum(axis=0), pruned


def _sample_magnitudes(weight: torch.Tensor) -> Floats:
    """Magnitudes of equally spaced weights, at most `SAMPLED_WEIGHTS_PER_LAYER`."""
    every = -(-weight.numel() // SAMPLED_WEIGHTS_PER_LAYER)
    return weight.detach().flatten()[::every].abs().double().numpy()
