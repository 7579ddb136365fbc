"""The life of a mask during training: changed when the plan says, enforced after every step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sparsetune.sparsity.allocation import ALLOCATIONS, Group, Layer
from sparsetune.sparsity.flops import cost_fraction
from sparsetune.sparsity.masks import Masks, compute_masks, count, intersection_over_union, pack, unpack
from sparsetune.sparsity.plan import Change, plan
from sparsetune.sparsity.scores import SCORES
from sparsetune.spec import TrialSpec
from sparsetune.tables import Phase


class Sparsifier:
    """Follows a trial's plan: ``before_step`` and ``after_step`` around every optimizer step, ``finish`` at the end.

    Args:
        spec: A canonical trial.
        weights: The prunable parameters by name; changed in place.
        optimizer: Whose momentum the plan may zero.
        flops: Dense forward FLOPs per prunable weight.
    """

    def __init__(
        self,
        spec: TrialSpec,
        weights: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        flops: Mapping[str, int],
    ) -> None:
        self.layers = [Layer(name, tuple(weight.shape)) for name, weight in weights.items()]
        self.phase: Phase = "dense"
        self.mask_iou = math.nan
        self.inference_flops = 1.0
        self.dense_steps = 0.0
        """What the steps so far cost, in steps of the dense network."""
        self._spec = spec.sparsity
        self._total = spec.total_steps()
        self._plan = plan(spec)
        self._position = 0
        self._next_change: float = self._plan[0].step
        self._weights = {name: weight.detach() for name, weight in weights.items()}
        self._optimizer = optimizer
        self._flops = flops
        self._masks: Masks = {}
        self._masked: list[torch.Tensor] = []
        self._factors: list[torch.Tensor] = []

    def before_step(self, step: int) -> None:
        """Make every change that is due once ``step`` steps are done."""
        while step >= self._next_change:
            self._make(self._plan[self._position])
            self._position += 1
            left = self._plan[self._position :]
            self._next_change = left[0].step if left else math.inf

    def after_step(self) -> None:
        """Set the weights outside the mask back to zero: momentum moves them even where their gradient is ignored."""
        if self._factors:
            torch._foreach_mul_(self._masked, self._factors)
        self.dense_steps += self.inference_flops

    def finish(self) -> None:
        """Make the changes due at the end of training."""
        self.before_step(self._total)

    def groups(self, sparsity: float | None = None) -> list[Group]:
        """Which layers compete, and how many of their weights are pruned at ``sparsity``; by default the target."""
        return ALLOCATIONS[self._spec.allocation](self.layers, self._spec.target if sparsity is None else sparsity)

    def masks(self) -> Masks:
        """The masks in force, all-True ones where the network is dense."""
        if self._factors:
            return self._masks
        return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in self._weights.items()}

    def at_target(self) -> bool:
        """Whether the masks in force prune exactly as many weights as the target asks for."""
        kept = {name: count([mask]) for name, mask in self.masks().items()}
        sizes = {layer.name: layer.weights for layer in self.layers}
        return all(sum(sizes[n] - kept[n] for n in group.names) == group.pruned for group in self.groups())

    def sparsity(self) -> float:
        """Fraction of the prunable weights outside the mask in force."""
        weights = sum(layer.weights for layer in self.layers)
        return (weights - count(list(self.masks().values()))) / weights

    def zeros_in_mask(self) -> int:
        """Exact zeros among the weights inside the mask in force."""
        return count(list(self.masks().values())) - count(list(self._weights.values()))

    def _make(self, change: Change) -> None:
        self.phase = change.phase
        if change.sparsity:
            score = SCORES[self._spec.score]
            scores = {name: score(weight) for name, weight in self._weights.items()}
            masks = compute_masks(scores, self.groups(change.sparsity), self._masks if self._factors else None)
            self.mask_iou = intersection_over_union(masks, self._masks) if self._masks else math.nan
            self._enforce(masks)
        else:
            self._release()
        if change.reset == "all":
            reset_moments(self._optimizer)

    def _enforce(self, masks: Masks) -> None:
        """Put masks in force: prune now, and after every step from now on."""
        self._masks = masks
        self._masked = list(self._weights.values())
        self._factors = [masks[name].to(weight.dtype) for name, weight in self._weights.items()]
        torch._foreach_mul_(self._masked, self._factors)
        density = {layer.name: count([masks[layer.name]]) / layer.weights for layer in self.layers}
        self.inference_flops = cost_fraction(self._flops, density)

    def _release(self) -> None:
        """Every weight trains again; the last masks are remembered, to compare the next with."""
        self._masked, self._factors = [], []
        self.inference_flops = 1.0

    def state(self) -> dict[str, Any]:
        """Everything that changes during training but the weights: tensors and plain values."""
        return {
            "position": self._position,
            "phase": self.phase,
            "mask_iou": self.mask_iou,
            "dense_steps": self.dense_steps,
            "in_force": bool(self._factors),
            "masks": pack(self._masks),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self._position = state["position"]
        left = self._plan[self._position :]
        self._next_change = left[0].step if left else math.inf
        self.phase, self.mask_iou, self.dense_steps = state["phase"], state["mask_iou"], state["dense_steps"]
        if state["masks"]:
            self._masks = unpack(state["masks"], self._weights)
        if state["in_force"]:
            self._enforce(self._masks)


def reset_moments(optimizer: torch.optim.Optimizer) -> None:
    """Zero every momentum, moment and step count: the next step is that of a fresh optimizer."""
    for values in optimizer.state.values():
        for value in values.values():
            if isinstance(value, torch.Tensor):
                value.zero_()
