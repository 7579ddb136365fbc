"""The record of masks over training: densities by layer, overlaps, and the share of weights ever active."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from sparsetune.sparsity.masks.exact import Masks, intersection_over_union, pack_masks, unpack_masks

MAX_KEPT_MASKS = 16
"""Masks kept as packed bits, for the overlap with the last one: every second is dropped when there are more."""


@dataclass
class MaskEntry:
    """One mask: where in training it came into force, each layer's density, its overlap with the mask before."""

    step: int
    phase: str
    density: list[float]
    iou_previous: float
    bits: dict[str, torch.Tensor] = field(default_factory=dict)


class MaskRecorder:
    """Every mask of a trial in order; whole masks as packed bits, at most `MAX_KEPT_MASKS` of them.

    Args:
        weights: Prunable weights by layer, for their shapes.
    """

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.all_active = False
        """Whether every weight has been trained, in a dense or decompressed phase."""
        self._weights = dict(weights)
        self._sizes = {name: weight.numel() for name, weight in weights.items()}
        self._entries: list[MaskEntry] = []
        self._ever: dict[str, torch.Tensor] = {}
        self._stride = 1

    def record(
        self, step: int, phase: str, masks: Masks, kept: Mapping[str, int], iou_previous: float
    ) -> None:
        """Take down the mask that comes into force after ``step`` steps, with ``kept`` weights in each layer."""
        bits = pack_masks(masks)
        if not self.all_active:
            self._ever = {
                n: _union(self._ever[n], bits[n]) if self._ever else bits[n].clone() for n in bits
            }
        if self._entries and (len(self._entries) - 1) % self._stride:
            self._entries[-1].bits = {}
        density = [kept[name] / size for name, size in self._sizes.items()]
        self._entries.append(MaskEntry(step, phase, density, iou_previous, bits))
        while sum(bool(entry.bits) for entry in self._entries) > MAX_KEPT_MASKS:
            self._stride *= 2
            for place, entry in enumerate(self._entries[:-1]):
                if place % self._stride:
                    entry.bits = {}

    def ever_active(self) -> float:
        """Share of the prunable weights that have been inside a mask, in [0, 1]."""
        if self.all_active or not self._entries:
            return 1.0
        return sum(_count_ones(bits) for bits in self._ever.values()) / sum(self._sizes.values())

    def summary(self) -> list[dict[str, Any]]:
        """A row per mask, as plain JSON values: ``step phase sparsity density iou_previous iou_final``.

        Overlaps are intersections over unions, None where there is nothing to compare with or the mask was not kept.
        """
        if not self._entries:
            return []
        final = unpack_masks(self._entries[-1].bits, self._weights)
        return [self._row(entry, final) for entry in self._entries]

    def _row(self, entry: MaskEntry, final: Masks) -> dict[str, Any]:
        kept = round(
            sum(d * size for d, size in zip(entry.density, self._sizes.values(), strict=True))
        )
        overlap = (
            intersection_over_union(unpack_masks(entry.bits, self._weights), final)
            if entry.bits
            else None
        )
        return {
            "step": entry.step,
            "phase": entry.phase,
            "sparsity": (sum(self._sizes.values()) - kept) / sum(self._sizes.values()),
            "density": dict(zip(self._sizes, entry.density, strict=True)),
            "iou_previous": None
            if entry.iou_previous != entry.iou_previous
            else entry.iou_previous,
            "iou_final": overlap,
        }

    def state(self) -> dict[str, Any]:
        """Tensors and plain values that ``load`` goes on from."""
        entries = [asdict(entry) for entry in self._entries]
        return {
            "entries": entries,
            "ever": self._ever,
            "stride": self._stride,
            "all_active": self.all_active,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self._entries = [MaskEntry(**entry) for entry in state["entries"]]
        self._ever = state["ever"]
        self._stride = state["stride"]
        self.all_active = state["all_active"]


def _union(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return first | second


def _count_ones(bits: torch.Tensor) -> int:
    return int(np.bitwise_count(bits.numpy()).sum())
