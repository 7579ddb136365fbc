"""The record of masks over training: density by layer, overlaps, and weights ever active."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from sparsetune.sparsity.masks.exact import Masks, intersection_over_union, pack_masks, unpack_masks

MAX_KEPT_MASKS = 16
"""Largest number of whole masks kept, to compare with the last; beyond it, every second goes."""


@dataclass
class MaskEntry:
    """One mask of a trial.

    Args:
        step: Optimizer steps done when it came into force.
        phase: Phase of training.
        density: Density of each layer, in [0, 1], in the layers' order.
        iou_previous: Intersection over union with the mask before, in [0, 1]; NaN for the first.
        bits: The mask as packed bits by layer; empty where it is not kept.
    """

    step: int
    phase: str
    density: list[float]
    iou_previous: float
    bits: dict[str, torch.Tensor] = field(default_factory=dict)


class MaskRecorder:
    """Records every mask of a trial in order, and keeps at most `MAX_KEPT_MASKS` of them whole.

    Args:
        weights: Prunable weights by layer, for their shapes.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.all_active = False
        """True once every weight has been trained, in a dense or decompressed phase."""
        self._weights = dict(weights)
        self._sizes = {name: weight.numel() for name, weight in weights.items()}
        self._entries: list[MaskEntry] = []
        self._ever_active: dict[str, torch.Tensor] = {}
        self._stride = 1

    def record(
        self, step: int, phase: str, masks: Masks, kept: Mapping[str, int], iou_previous: float
    ) -> None:
        """Record the mask that comes into force.

        Args:
            step: Optimizer steps done.
            phase: Phase of training.
            masks: The mask of each layer.
            kept: Number of weights kept in each layer.
            iou_previous: Intersection over union with the mask before; NaN if there is none.
        """
        bits = pack_masks(masks)
        if not self.all_active:
            self._add_active(bits)
        # The last mask is always whole while it is the last; then it stays only on the stride.
        if self._entries and (len(self._entries) - 1) % self._stride:
            self._entries[-1].bits = {}
        density = [kept[name] / size for name, size in self._sizes.items()]
        self._entries.append(MaskEntry(step, phase, density, iou_previous, bits))
        while sum(bool(entry.bits) for entry in self._entries) > MAX_KEPT_MASKS:
            self._stride *= 2
            for index, entry in enumerate(self._entries[:-1]):
                if index % self._stride:
                    entry.bits = {}

    def ever_active(self) -> float:
        """Fraction of the prunable weights that have been inside a mask, in [0, 1]."""
        if self.all_active or not self._entries:
            return 1.0
        active = sum(_count_ones(bits) for bits in self._ever_active.values())
        return active / sum(self._sizes.values())

    def summary(self) -> list[dict[str, Any]]:
        """A row per mask in order: ``step phase sparsity density iou_previous iou_final``.

        Values are plain JSON; ``density`` is by layer. Overlaps are intersections over unions,
        None where there is nothing to compare with or the mask was not kept.
        """
        if not self._entries:
            return []
        final = unpack_masks(self._entries[-1].bits, self._weights)
        return [self._row(entry, final) for entry in self._entries]

    def _row(self, entry: MaskEntry, final: Masks) -> dict[str, Any]:
        """One row of the `summary`; ``final`` is the last mask."""
        total = sum(self._sizes.values())
        density = dict(zip(self._sizes, entry.density, strict=True))
        # Densities are counts over sizes, so rounding gives back the exact count.
        kept = round(sum(density[name] * size for name, size in self._sizes.items()))
        iou_final = None
        if entry.bits:
            iou_final = intersection_over_union(unpack_masks(entry.bits, self._weights), final)
        return {
            "step": entry.step,
            "phase": entry.phase,
            "sparsity": (total - kept) / total,
            "density": density,
            "iou_previous": None if math.isnan(entry.iou_previous) else entry.iou_previous,
            "iou_final": iou_final,
        }

    def _add_active(self, bits: Mapping[str, torch.Tensor]) -> None:
        """Add the weights of a mask, as packed bits, to those that have been active."""
        before = self._ever_active
        self._ever_active = {
            name: before[name] | packed if before else packed.clone()
            for name, packed in bits.items()
        }

    def state(self) -> dict[str, Any]:
        """Tensors and plain values from which `load` continues."""
        return {
            "entries": [asdict(entry) for entry in self._entries],
            "ever": self._ever_active,
            "stride": self._stride,
            "all_active": self.all_active,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`."""
        self._entries = [MaskEntry(**entry) for entry in state["entries"]]
        self._ever_active = state["ever"]
        self._stride = state["stride"]
        self.all_active = state["all_active"]


def _count_ones(bits: torch.Tensor) -> int:
    return int(np.bitwise_count(bits.numpy()).sum())
